"""What a sampler's next epoch depends on is what is saved of it: anything else is refused.

A run that was cut goes on from its last state. So parts written by the user (samplers and update
rules) are watched in every epoch: a second one, made anew from the state that is saved, must be the
same and draw the same; the streams that Python, numpy and torch share must stay where they are; and
what the classes use besides (`engine.source`) must stay as it was.
"""

import copy
import random
from typing import Any

import numpy as np
import torch

from padalib.engine import checked
from padalib.engine.runs import RunError, pack_state, unpack_state
from padalib.engine.source import Walk, difference
from padalib.engine.values import digest, remembered
from padalib.engine.words import counted
from padalib.samplers import checking
from padalib.samplers.base import DataSampler, Part, PathSampler
from padalib.samplers.update import UpdateRule
from padalib.spaces import Arch

Samplers = tuple[PathSampler, DataSampler, UpdateRule]
KEEP = "keep what it needs from epoch to epoch in attributes of `self`, which are saved"


def epoch(trainer: Any) -> str | None:
    """Train an epoch; RunError where a resumed run would lack what the run goes by.

    Samplers of padalib, which keep these rules, are not watched.
    """
    method, before, found = trainer.config.method, streams(), None
    mine = [part for part in method.parts.values() if part.code]
    another = _unlike(trainer)
    if another is None and (trainer.config.arch is not None or not mine):
        found = trainer.train_epoch()
    elif another is None:
        watch = _Watch(trainer, mine)
        watch.begin()
        found = trainer.train_epoch(watch.scheduled)
        watch.end()
    if moved := _moved(before):
        raise RunError(
            f"the network of {trainer.space.name}, or another thread of this process, draws from a "
            f"stream that all code shares ({moved}), so a run of it is not like another: leave "
            "dropout and the like out, or draw in `schedule` from the generator that it is given"
        )
    if another is not None:
        raise RunError(
            f"the network of {trainer.space.name}, made again from its weights, gives other "
            f"outputs for the path {another}, so a run that was cut would go on differently: it "
            "draws from a source of its own, or goes by what it holds beside weights. Leave that "
            "out; chance is for `schedule`, from the generator that it is given"
        )
    return found


def _unlike(trainer: Any) -> str | None:
    """The path for which the network as it is and one made from its weights differ, if any do.

    Both are told the epoch. The one as it is is a copy, for a network may count what passes.
    CUDA's sums have no fixed order.
    """
    config, space = trainer.config, trainer.space
    made = space.build(0, config.arch, config.bn, config.precision)
    made = made.to(config.device, memory_format=torch.channels_last)
    made.load_state_dict(trainer.net.state_dict())
    nets = copy.deepcopy(trainer.net).train(), made.train()
    for net in nets:
        net.schedule(trainer.epoch / config.epochs, _copy(trainer.generators["network"]))
    rng, near = torch.Generator().manual_seed(0), 0.0 if config.device == "cpu" else 0.01
    x = torch.randn(2, space.in_channels, space.size, space.size, generator=rng).to(config.device)
    with torch.no_grad():
        for arch in space.some() if config.arch is None else [config.arch]:
            one, other = (net(x, arch) for net in nets)
            if not torch.allclose(one, other, near, near, equal_nan=True):
                return f"{space.code(arch)} ({space.decode(arch)})"
    return None


def drawn(trainer: Any) -> list[Arch]:
    """The paths of a step; RunError where they are more or fewer than their sampler said at first.

    An epoch would be more or less training than that of other methods. ValueError for no paths.
    Of whatever numbers they are, tensors too, they are known again as tuples of ints.
    """
    paths, said = trainer.paths, trainer.passes // trainer.update.passes
    drawn, name = paths.draw(trainer.generators["paths"]), type(paths).__name__
    archs = [trainer.space.validate(arch) for arch in drawn]
    if not archs:
        raise RunError(
            f"`draw` of {name} returns an empty list, so there is no path to train: return a list "
            "of at least one, such as `[self.space.sample(generator)]`"
        )
    if len(archs) != said:
        raise RunError(
            f"{name} draws {counted(len(archs), 'path')} for a step and said it draws {said}, so "
            f"its epochs would be more or less training than others': write `group = {len(archs)}` "
            f"in the class, or return a list of {counted(said, 'path')} from `draw`"
        )
    return archs


def group(paths: PathSampler) -> int:
    """How many paths a sampler says it draws for a step; ValueError where that is no number."""
    name = f"group of {type(paths).__name__} (the paths that its `draw` returns)"
    return checked.fit(name, paths.group, checked.Count)


class _Watch:
    """Watches the samplers of a training run for one epoch."""

    def __init__(self, trainer: Any, mine: list[Part]) -> None:
        self.trainer, self.mine, self.build = trainer, mine, trainer.new_samplers
        self.live: Samplers = (trainer.paths, trainer.data, trainer.update)
        self.name = " and ".join(part.cls.__name__ for part in mine)
        self._forget_caches()
        self.streams, self.shared = streams(), self._shared()

    def begin(self) -> None:
        """Before the epoch: two runs that go on from here must draw the same."""
        if self.trainer.epoch == 0:
            self._compare(self.build(), "when it is made a second time")
        one, other = self._draws(), self._draws()
        if one != other:
            self._outside()
            self._refuse(
                "does not draw the same when it is made again from the state that is saved",
                f"draw from the generator that is passed in, and {KEEP}",
            )

    def scheduled(self) -> None:
        """The network has been told the epoch, and may hold what it was told."""
        self.shared = self._shared()

    def end(self) -> None:
        """After the epoch: nothing but the samplers' own attributes has changed."""
        self._outside()
        own = {weight.data_ptr() for weight in self.trainer.net.parameters()}
        if any(_holds(part.state(), own) for part in self.live):
            self._refuse(
                "holds weights of the network, of which a run that goes on has others",
                "keep their places in `weights_of(optimizer)`, or clones of them",
            )
        self._compare(self._twin(), "when it is made again from the state that is saved")

    def _draws(self) -> tuple[list[Arch], list[int]]:
        """What new samplers in the saved state draw first."""
        paths, data, _ = twin = self._twin() if self.trainer.epoch else self.build()
        for sampler in twin:
            sampler.new_epoch(self.trainer.epoch)
        rng = {name: _copy(self.trainer.generators[name]) for name in ("paths", "data")}
        archs = self._archs(paths.draw(rng["paths"]))
        n, size = len(self.trainer.images), self.trainer.config.batch
        drawn = archs, checking.batch(data, n, size, rng["data"]).tolist()
        self._forget_caches()
        return drawn

    def _archs(self, drawn: object) -> list[Arch]:
        """What `draw` of a path sampler returned; RunError where it is no list of architectures."""
        try:
            return list(map(tuple, drawn))
        except TypeError:
            raise RunError(
                f"{self.name} draws {drawn!s:.80}, which is no list of architectures: return a "
                "list from `draw`, also of a single one: `[self.space.sample(generator)]`"
            ) from None

    def _outside(self) -> None:
        """RunError where something changed that is no attribute of the samplers."""
        if moved := _moved(self.streams):
            self._refuse(
                f"(or the network) draws from a stream that all code shares ({moved})",
                "draw from the `generator` that is passed in (torch's: "
                "`torch.randint(5, (), generator=generator)`)",
            )
        changes = [part.changes() for part in self.mine]
        changes += [difference(self.shared, self._shared())]
        if any(changes):
            said = "; ".join(filter(None, changes))
            self._refuse(f"changes what is not saved with it ({said})", KEEP)

    def _refuse(self, does: str, remedy: str) -> None:
        raise RunError(f"{self.name} {does}; a run that was cut would go on differently: {remedy}")

    def _twin(self) -> Samplers:
        """New samplers in the saved state of the live ones."""
        twin = self.build()
        for old, new in zip(self.live, twin, strict=True):
            new.restore(unpack_state(pack_state(self.name, old.state())))
        return twin

    def _compare(self, twin: Samplers, where: str) -> None:
        for old, new in zip(self.live, twin, strict=True):
            changes = difference(self._attributes(new), self._attributes(old))
            if changes:
                self._outside()
                self._refuse(f"is another {where} ({changes})", KEEP)

    def _shared(self) -> dict[str, str]:
        """What the space and the network (beside its weights) hold."""
        walk = Walk(device=False)
        found = {
            f"{name} of the space": value
            for name, value in vars(self.live[0].space).items()
            if not remembered(type(self.live[0].space), name)
        }
        found |= {
            f"{name} of the network": value
            for name, value in vars(self.trainer.net).items()
            if not name.startswith("_") and name != "training"
        }
        for name, value in sorted(found.items()):
            walk.use(name, value, soft=True)
        return walk.finish().entries

    def _attributes(self, thing: Any) -> dict[str, str]:
        """Names -> texts of all that an object holds."""
        walk = Walk(device=False)
        dictionary, slots = object.__reduce_ex__(thing, 2)[2], None
        if isinstance(dictionary, tuple):
            dictionary, slots = dictionary
        for name, value in sorted(((dictionary or {}) | (slots or {})).items()):
            walk.use(name, value, soft=True)
        return walk.finish().entries

    def _forget_caches(self) -> None:
        """Cached functions begin each epoch empty, as they do in a run that goes on."""
        for cached in Walk().follow(*(part.cls for part in self.mine)).caches:
            cached.cache_clear()


def _holds(held: Any, weights: set[int]) -> bool:
    """Whether something is one of the weights at these addresses, or contains one."""
    if isinstance(held, torch.Tensor):
        return held.data_ptr() in weights
    inner = [*held, *held.values()] if isinstance(held, dict) else held
    return isinstance(inner, list | tuple | set) and any(_holds(one, weights) for one in inner)


def _moved(before: dict[str, str]) -> str:
    """The names of the shared streams that are no longer where they were."""
    return ", ".join(n for n, state in streams().items() if before.get(n, state) != state)


def streams() -> dict[str, str]:
    """The states of the random streams that all code of a process shares."""
    found = {
        "Python's `random`": digest(repr(random.getstate())),
        "numpy's `np.random`": digest(repr([*map(_text, np.random.get_state())])),
        "torch's default generator": digest(torch.get_rng_state().numpy().tobytes()),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
        found["torch's default generators on CUDA"] = digest(b"".join(states))
    return found


def _text(part: Any) -> Any:
    return part.tobytes() if isinstance(part, np.ndarray) else part


def _copy(generator: torch.Generator) -> torch.Generator:
    again = torch.Generator(generator.device)
    again.set_state(generator.get_state())
    return again
