"""What a run has scored so far, so that one that is cut goes on from there."""

import time
from typing import Any, Self

from padalib.engine.runs import SO_FAR, Run
from padalib.train import TrainConfig

EVERY = 10.0  # seconds: what is killed loses no more


class Partial:
    """The scored parts of a run, by name. A context: saved when it is left, and every so often."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._parts: dict[str, dict[str, Any]] = {}
        self._saved = time.monotonic()

    def __enter__(self) -> Self:
        if self.run.has_state(SO_FAR):
            self._parts = self.run.load_state(SO_FAR)
        return self

    def __exit__(self, *_: object) -> None:
        if any(part["known"] for part in self._parts.values()):
            self._save()

    def part(self, name: str, training: TrainConfig) -> dict[Any, Any]:
        """What is known of a part, to be added to: numbers, strings, tensors.

        Empty where the training recorded other tables since: its weights may be others.
        """
        of = Run(training).record()["tables"]
        if self._parts.get(name, {}).get("of") != of:
            self._parts[name] = {"of": of, "known": {}}
        return self._parts[name]["known"]

    def added(self) -> None:
        """Say that something was added; saved if the last time was long ago."""
        if time.monotonic() - self._saved >= EVERY:
            self._save()

    def _save(self) -> None:
        self.run.save_state(SO_FAR, self._parts)
        self._saved = time.monotonic()
