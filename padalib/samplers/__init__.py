"""Training methods, each a composition of a path sampler, a data sampler and an update rule."""

from padalib.engine import words
from padalib.samplers import checking, close, density, dynas, magic, nsas, rsa, sandwich, sumnas
from padalib.samplers.balanced import BalancedPaths
from padalib.samplers.base import (
    DataSampler,
    Method,
    Part,
    PathSampler,
    ProductPaths,
    part,
)
from padalib.samplers.curriculum import Curriculum
from padalib.samplers.da import GradNormData
from padalib.samplers.fairnas import FairPaths
from padalib.samplers.pa import GradNormPaths
from padalib.samplers.residual import ResidualPaths
from padalib.samplers.spos import Bootstrap, Shuffled, UniformPaths
from padalib.samplers.update import Accumulate, UpdateRule
from padalib.samplers.yoked import ReplayedPaths

ROLES = {"paths": PathSampler, "data": DataSampler, "update": UpdateRule, "around": UpdateRule}
METHODS: dict[str, Method] = {}  # the published ones and their variants, by name


def compose(
    name: str,
    paths: type | Part = UniformPaths,
    data: type | Part = Shuffled,
    update: type | Part = Accumulate,
    around: type | Part | None = None,
    **options,
) -> Method:
    """A method of given parts (classes, or `part(cls, option=...)`), one path group a step.

    What a class of your own does now is part of the identity of its runs: its code, all that it
    uses, and the whole of your own modules among that (`engine.source` says what cannot be seen).
    If any of it changes later, the method is refused until it is composed again. ValueError for
    the name of one of `METHODS`, unless it is the same.
    """
    given = {"paths": paths, "data": data, "update": update}
    given |= {} if around is None else {"around": around}
    parts = {role: own if isinstance(own, Part) else part(own) for role, own in given.items()}
    checking.roles(name, {role: own.cls for role, own in parts.items()}, ROLES)
    method = Method(name, **parts).with_options(name, **options)
    if METHODS.get(name, method) != method:
        raise ValueError(f"{name!r} is the name of a method of other parts: choose another name")
    return method


METHODS |= {
    method.name: method
    for method in (
        compose("SPOS"),
        compose("FairNAS", FairPaths),
        compose("FairNAS per epoch", FairPaths, redraw="epoch"),
        compose("PA", GradNormPaths),
        compose("DA", data=GradNormData),
        compose("PA&DA", GradNormPaths, GradNormData),
        compose("PA&DA weighted", GradNormPaths, GradNormData, importance=True),
        compose("curriculum", Curriculum),
        compose("size-curriculum", Curriculum, by="size"),
        # At PA's own mean shares of 3x3 and 1x1: .386 and .297 on CIFAR-10, seeds 0 to 4.
        compose("matched-curriculum", Curriculum, by=0.177),
        compose("balanced", BalancedPaths),
        compose("sbs", BalancedPaths, by="depth"),
        compose("sandwich", sandwich.SandwichPaths, update=sandwich.Distil),
        compose("DYNAS", update=dynas.ByComplexity),
        compose("SUMNAS", FairPaths, update=sumnas.Reptile),
        compose(
            "SUMNAS as released", FairPaths, update=sumnas.Reptile, redraw="epoch", momentum="kept"
        ),
        compose("MAGIC-T", magic.WalkingPaths),
        compose("density-aware", density.DensityPaths),
        compose("NSAS", nsas.ConstrainedPaths, update=nsas.Weighted),
        compose("CLOSE", update=close.Parting),
        compose("RSA", **rsa.PARTS),
        compose("yoked PA", ReplayedPaths),
        compose("bootstrap", data=Bootstrap),
        compose("shuffled-data", data=GradNormData, permuted=True),
    )
}


def get(name: str) -> Method:
    """The method called `name`; `.with_options` makes variants of it."""
    if name not in METHODS:
        raise ValueError(words.unknown("method", name, METHODS))
    return METHODS[name]


__all__ = [
    "METHODS",
    "Accumulate",
    "BalancedPaths",
    "Bootstrap",
    "Curriculum",
    "DataSampler",
    "FairPaths",
    "GradNormData",
    "GradNormPaths",
    "Method",
    "Part",
    "PathSampler",
    "ProductPaths",
    "ReplayedPaths",
    "ResidualPaths",
    "Shuffled",
    "UniformPaths",
    "UpdateRule",
    "compose",
    "get",
    "part",
]
