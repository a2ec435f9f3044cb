"""What a path sampler, a data sampler and an update rule are, and how a method is made of them."""

import copy
import inspect
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from padalib.engine import checked, origin
from padalib.engine.source import code_of, difference
from padalib.engine.values import Speller, plain
from padalib.samplers import checking
from padalib.spaces import Arch, Entries, Space, Supernet


class PathSampler:
    """Draws the paths of each step, and may learn from their gradients.

    Your own: inherit, write `draw`, and whatever else it needs. What it needs from one epoch to
    the next lives in attributes of `self` (numbers, strings, tensors, and lists or dicts of them),
    which `state` returns and each checkpoint saves; not in globals, the class, `epochs`, the space
    or the network. What it draws comes from the generator that it is given, which is torch's: not
    from `random`, `np.random` or torch's own. `samplers.watch` tests both in every epoch and
    refuses the others; for that it makes a second sampler and draws from it once an epoch. It
    cannot see what depends on the process (the order of a set of strings, the environment, files).
    """

    group = 1  # paths drawn for one step: as many as `draw` returns
    uniform = False  # whether every architecture is as likely as any other
    replays = False  # whether it draws by what another run recorded, see `yoked`

    def __init__(self, space: Space, epochs: int) -> None:
        self.space, self.epochs = space, epochs

    def new_epoch(self, epoch: int) -> None:
        """Called before epoch `epoch` (from 0)."""

    def draw(self, generator: torch.Generator) -> list[Arch]:
        """The `group` architectures of one step."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(generator)")

    def forget(self) -> None:
        """Drop what is held from one draw to the next, so that the next one is independent."""

    def observe(self, archs: list[Arch], net: Supernet, clip_scale: Tensor | float) -> None:
        """Called after backward and clipping, before the step, with gradients in `net`.

        The gradients are those of the whole step; divided by `clip_scale` (0 < . <= 1) they are
        those before clipping.
        """

    def weight(self, arch: Arch) -> float | None:
        """Importance weight 1/(|A| p(arch)); None where it is not known, and p not `uniform`."""
        return 1.0 if self.uniform else None

    def log(self) -> dict[str, float]:
        """What the table of the training curves records once an epoch: numbers, by new names."""
        return {}

    def state(self) -> dict[str, Any]:
        """All that must be saved to go on later."""
        return {k: v for k, v in vars(self).items() if k not in ("space", "epochs")}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        vars(self).update(state)


class ProductPaths(PathSampler):
    """Independent draws at every position from `p` [T], the probabilities of the space's entries.

    `shared`: positions of one table have one probability for options of the same name, as in the
    released code; else each position has its own. A position without some of its table's options
    draws from the others, in proportion.
    """

    p: Tensor

    def __init__(self, space: Space, epochs: int, shared: bool = True) -> None:
        super().__init__(space, epochs)
        self.shared = shared
        self.p = self.normal(torch.ones(len(self.entries.names)))

    @property
    def entries(self) -> Entries:
        """What has a probability, and which of it stand at each position."""
        return self.space.entries(self.shared)

    def normal(self, scores: Tensor) -> Tensor:
        """Scores [T] as probabilities, which sum to one in each table; uniform where all are 0.

        And uniform where nobody learns them.
        """
        p, scores = torch.empty_like(scores), scores.clone()
        scores[list(self.entries.uniform)] = 0
        for own in map(list, self.entries.tables):
            total = scores[own].sum()
            p[own] = scores[own] / total if total > 0 else 1 / len(own)
        return p

    def draw(self, generator: torch.Generator) -> list[Arch]:
        arch: list[int] = []
        for count, own in self.entries.alike:
            p = self.p[list(own)]
            arch += torch.multinomial(p, count, True, generator=generator).tolist()
        return [tuple(arch)]

    def weight(self, arch: Arch) -> float:
        """1 / (|A| p(arch)) = 1 / prod n_i p_i(a_i)."""
        at = self.entries.at
        p = self.p[[own[option] for own, option in zip(at, arch, strict=True)]]
        if self.entries.partial:
            p = p / torch.stack([self.p[list(own)].sum() for own in at])
        return float((p * torch.tensor([len(own) for own in at])).prod().reciprocal())

    def log(self) -> dict[str, float]:
        names = zip(self.entries.names, self.p.tolist(), strict=True)
        return {f"p_{name}": p for name, p in names}


class DataSampler:
    """A stream of training indices, and what it learns from their outputs.

    Your own: inherit and write `refill`; `draw` cuts the stream into batches. What was said of
    `PathSampler` about attributes and the generator holds here too.
    """

    uniform = False  # whether every image is as likely as any other

    def __init__(self, n: int, epochs: int) -> None:
        self.n, self.epochs = n, epochs
        self.stream = torch.empty(0, dtype=torch.long)

    def new_epoch(self, epoch: int) -> None:
        """Called before epoch `epoch` (from 0)."""

    def forget(self) -> None:
        """Drop the rest of the stream, so that the next draw is independent of the last."""
        self.stream = self.stream[:0]

    def refill(self, generator: torch.Generator) -> Tensor:
        """The next indices of the stream [k], whole numbers in 0..n-1, any number of them."""
        raise NotImplementedError(f"{type(self).__name__} must define refill(generator)")

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """The next `size` indices, int64 [size]."""
        while len(self.stream) < size:
            more = checking.indices(self, self.refill(generator), self.n)
            self.stream = torch.cat([self.stream, more.to(self.stream)])
        batch, self.stream = self.stream[:size], self.stream[size:]
        return batch

    def observe(self, index: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Called after each forward: indices [B], logits [B, L] (detached) and labels [B]."""

    def weights(self, index: Tensor) -> Tensor | None:
        """Importance weights 1/(N q_i) [B]; None where q is `uniform`, or they are not known."""
        return None

    log = PathSampler.log

    def state(self) -> dict[str, Any]:
        """All that must be saved to go on later."""
        return {k: v for k, v in vars(self).items() if k not in ("n", "epochs")} | {
            "stream": self.stream.clone()  # not the whole storage it is a view of
        }

    restore = PathSampler.restore


@dataclass(frozen=True)
class Part:
    """A class and its options, as data: what a config stores of a sampler or an update rule.

    What a class from outside padalib does is part of it (`engine.source` says what is seen), so
    that two versions of a sampler written in a notebook never share a run. ValueError where that
    cannot be told, and for options that are no numbers, strings, booleans or lists of them.
    """

    cls: type
    options: tuple[tuple[str, Any], ...] = field(default=(), compare=False)
    said: tuple[tuple[str, str], ...] = field(default=(), init=False, repr=False)  # as texts
    code: tuple[tuple[str, str], ...] = field(default=(), init=False)  # when it was composed

    def __post_init__(self) -> None:
        checking.part(self.cls)
        given = copy.deepcopy(plain(checked.options(self.cls, dict(self.options))))
        object.__setattr__(self, "options", tuple(given.items()))
        try:
            json.dumps(given)
        except (TypeError, ValueError):
            raise ValueError(
                f"options of {self.cls.__name__} must be numbers, strings, booleans or lists of "
                f"them (they are part of the run's identity), got {given}"
            ) from None
        said = ((name, Speller(repr).spell(given[name])) for name in sorted(given))
        object.__setattr__(self, "said", tuple(said))  # lists have no hash, and 1 is not True
        if not origin.ours(self.cls):
            object.__setattr__(self, "code", tuple(code_of(self.cls).items()))

    def build(self, *args: Any) -> Any:
        """An instance; ValueError for options that the class does not take."""
        try:
            inspect.signature(self.cls).bind(*args, **dict(self.options))
        except TypeError as error:
            raise ValueError(
                f"options of {self.cls.__name__}: {error} (its __init__ takes what its base "
                "class's does, such as space and epochs, before options of its own)"
            ) from None
        return self.cls(*args, **copy.deepcopy(dict(self.options)))

    def changes(self) -> str:
        """What the class does otherwise than when it was composed, in words; '' if nothing."""
        return difference(dict(self.code), code_of(self.cls)) if self.code else ""

    def check(self) -> None:
        """ValueError where the class is not what it was when it was composed."""
        changes = self.changes()
        if changes:
            raise ValueError(
                f"{self.cls.__name__} is not what it was when it was composed ({changes}): compose "
                "it again (after an edit of a module, importlib.reload it and run the cells that "
                "use it first), or give what varies as an option"
            )

    def describe(self) -> dict[str, Any]:
        """The part's identity, for the run's hash; ValueError as in `check`."""
        self.check()
        scalar = (bool, int, float, str, type(None))
        options = {
            name: value if type(value) in scalar else Speller(repr).spell(value)
            for name, value in self.options
        }
        code = dict(self.code) or code_of(self.cls)  # of padalib's own: what was changed in it
        return {"class": self.cls.__name__, "options": options} | ({"code": code} if code else {})


def part(cls: type, **options: Any) -> Part:
    """`Part` with the options as keywords."""
    return Part(cls, tuple(sorted(options.items())))


@dataclass(frozen=True)
class Method:
    """A training method: path sampler x data sampler x update rule, under one name."""

    name: str
    paths: Part
    data: Part
    update: Part
    zero_grad: bool = False  # differs: True leaves zeros as torch 1.7 did (unsampled ops move)
    # A rule around the update rule, which it is given as its third argument (`samplers.averaged`).
    around: Part | None = field(default=None, metadata={"identity": "given"})

    def __post_init__(self) -> None:
        checked.check(self)
        if self.zero_grad and getattr(self.update.cls, "clears", False):
            raise ValueError(
                f"{self.name} drops the gradients between the passes of a step, so there are none "
                "that zero_grad could leave at zero: leave it out"
            )

    @property
    def parts(self) -> dict[str, Part]:
        """Its parts, by role."""
        found = {"paths": self.paths, "data": self.data, "update": self.update}
        return found | ({"around": self.around} if self.around else {})

    def rule(self, space: Space, epochs: int) -> Any:
        """The update rule at a run's start, with what is around it."""
        rule = self.update.build(space, epochs)
        return self.around.build(space, epochs, rule) if self.around else rule

    def with_options(self, name: str, **options: Any) -> "Method":
        """A variant under a new name: each option goes to the part that has it.

        `METHODS["PA"].with_options("PA, raw norms", norm="raw")`. ValueError for an option that no
        part has.
        """
        parts, unknown, known = {}, set(options), {"zero_grad"}
        for role, old in self.parts.items():
            old.check()
            taken = checked.takes(old.cls)
            known |= taken - {"space", "n", "epochs", "rule"}
            mine = {key: value for key, value in options.items() if key in taken}
            unknown -= set(mine)
            parts[role] = part(old.cls, **dict(old.options) | mine)
        zero_grad = options.get("zero_grad", self.zero_grad)
        unknown -= {"zero_grad"}
        if unknown:
            odd, own = ", ".join(sorted(unknown)), ", ".join(sorted(known))
            raise ValueError(f"no part of {self.name} has an option {odd}: it takes {own}")
        return Method(name, **parts, zero_grad=zero_grad)
