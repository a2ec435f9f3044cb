"""The parts that candidates for the record are made of: each can be left out, or tried alone.

A candidate is written as its parts, 'structure + averaging + two cells'; 'SPOS' has none, and
'PA&DA' is 'PA + DA'. At most one part draws paths, one averages and one shapes the network.
'sharing' and 'decay' go together (`samplers.together`), all others with each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from padalib import samplers
from padalib.samplers import (
    BalancedPaths,
    Curriculum,
    GradNormData,
    GradNormPaths,
    Method,
    ResidualPaths,
    part,
)
from padalib.samplers.averaged import Averaged
from padalib.samplers.close import Parting
from padalib.samplers.dynas import ByComplexity
from padalib.samplers.together import PartingByComplexity
from padalib.spaces import Space
from padalib.study.scale import Scale
from padalib.train import TrainConfig

JOIN, PLAIN, CLAIMED = " + ", "SPOS", "PA&DA"
NAMED = {PLAIN: [], CLAIMED: ["PA", "DA"]}  # candidates that have a name
Role = Literal["paths", "data", "update", "around", "network", "training"]


@dataclass(frozen=True)
class Piece:
    """One part: where it goes, what it is, and why it may help."""

    role: Role
    what: Any  # a `Part` of a method, or fields of the space or of the training
    why: str


PIECES: Mapping[str, Piece] = {
    "PA": Piece("paths", part(GradNormPaths), "drawn by gradient norms, as published"),
    "PA per edge": Piece(
        "paths", part(GradNormPaths, shared=False), "a norm for each edge and operation"
    ),
    "DA": Piece("data", part(GradNormData), "images by gradient norms, as published"),
    "curriculum": Piece("paths", part(Curriculum), "PA's schedule without gradients"),
    "sbs": Piece("paths", part(BalancedPaths, by="depth"), "short and deep paths alike"),
    "structure": Piece("paths", part(ResidualPaths), "towards an identity beside convolutions"),
    "structure, capped": Piece("paths", part(ResidualPaths, cap=0.9), "keeps a tenth uniform"),
    "structure, early": Piece("paths", part(ResidualPaths, ramp=0.5), "there at half-time"),
    "sharing": Piece("update", part(Parting), "operations see all paths first, then part"),
    "decay": Piece(
        "update", part(ByComplexity), "complex paths keep their rate longer, momentum apart (DYNAS)"
    ),
    "averaging": Piece("around", part(Averaged), "mean of the weights of the last fifth"),
    "averaging, longer": Piece("around", part(Averaged, since=0.6), "of the last two fifths"),
    "averaging, by steps": Piece(
        "around", part(Averaged, since=0.0, decay=0.998), "over 500 steps of each weight"
    ),
    # At equal multiply-adds: 3.29 and 3.32 million where all is 3x3, beside 3.2.
    "two cells": Piece(
        "network", {"channels": 6, "cells": 2}, "deeper and narrower, nearer to the benchmark's"
    ),
    "three cells": Piece("network", {"channels": 5, "cells": 3}, "deeper and narrower still"),
    "batch 32": Piece("training", {"batch": 32}, "twice the steps for the same images"),
    "rate 0.2": Piece("training", {"lr": 0.2}, "twice the learning rate"),
    "Nesterov": Piece(
        "training", {"nesterov": True, "weight_decay": 5e-4}, "as codes of the benchmark have it"
    ),
    "warm-up": Piece("training", {"warmup": 1}, "the first epoch at half the rate"),
}
# What is tried: each part alone, on the paths of the structure or of PA; then several together.
TRIED = (
    *("PA", "structure", "structure + averaging", "PA + averaging", "structure + sharing"),
    *("structure + decay", "structure + two cells", "PA + two cells", "structure + batch 32"),
    *("structure + rate 0.2", "sbs + decay + averaging"),
    "structure + sharing + averaging + two cells",
)


def pieces(name: str) -> list[str]:
    """The parts of a candidate; ValueError for what is none, or two parts for one place."""
    own = NAMED[name] if name in NAMED else name.split(JOIN)
    if unknown := [each for each in own if each not in PIECES]:
        raise ValueError(
            f"candidate {name!r} has unknown parts {', '.join(unknown)}: join some of "
            f"{', '.join(PIECES)} by {JOIN!r}, or write one of {', '.join(NAMED)}"
        )
    for role in ("paths", "data", "around", "network"):
        if len(same := [each for each in own if PIECES[each].role == role]) > 1:
            raise ValueError(f"candidate {name!r} has {' and '.join(same)}: leave out all but one")
    return own


def used(candidates: Iterable[str]) -> dict[str, Piece]:
    """The parts that some of these candidates have, in the order of `PIECES`."""
    own = {part for name in candidates for part in pieces(name)}
    return {name: piece for name, piece in PIECES.items() if name in own}


def joined(parts: list[str]) -> str:
    """The candidate of these parts."""
    return next((name for name, own in NAMED.items() if own == parts), JOIN.join(parts))


def method(name: str) -> Method:
    """How a candidate draws and steps."""
    chosen: dict[str, Any] = {}
    for each in pieces(name):
        own = PIECES[each]
        if own.role == "update" and "update" in chosen:
            chosen["update"] = part(PartingByComplexity)
        elif own.role in ("paths", "data", "update", "around"):
            chosen[own.role] = own.what
    return samplers.compose(name, **chosen)


def fitted(name: str, space: Space) -> str:
    """The candidate without the shapes that the network of a space cannot have."""
    known = {own.name for own in fields(space)}
    shapes = [each for each in pieces(name) if PIECES[each].role == "network"]
    return joined([p for p in pieces(name) if p not in shapes or set(PIECES[p].what) <= known])


def shaped(name: str, space: Space) -> Space:
    """The network of a candidate; ValueError where a space has no such shape."""
    if fitted(name, space) != joined(pieces(name)):
        raise ValueError(
            f"candidate {name!r} shapes its network in a way that {space.name} cannot have: take "
            f"{fitted(name, space)!r}"
        )
    shapes = [PIECES[each].what for each in pieces(name) if PIECES[each].role == "network"]
    return replace(space, **shapes[0]) if shapes else space


def training(scale: Scale, name: str, seed: int) -> TrainConfig:
    """The run of a candidate; of methods of the library those that other scales have too."""
    changes: dict[str, Any] = {"method": method(name), "space": shaped(name, scale.space)}
    for each in pieces(name):
        if PIECES[each].role == "training":
            changes |= PIECES[each].what
    return replace(scale.training(PLAIN, seed), **changes)


def common(name: str) -> list[str]:
    """Of a candidate's parts those that any path sampler could have: all but its paths."""
    return [each for each in pieces(name) if PIECES[each].role != "paths"]


def without(name: str) -> dict[str, str]:
    """Part -> the candidate that lacks this part alone."""
    own = pieces(name)
    return {each: joined([other for other in own if other != each]) for each in own}
