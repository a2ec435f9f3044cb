"""Whether a space of one's own is whole: a usual mistake gets a sentence that says what to do."""

import dataclasses
import inspect

from padalib.spaces import checking_net
from padalib.spaces.base import LISTED, Arch, Position, Space, remembered

BY_OPTION = (
    f"use a method that draws each option by itself, such as SPOS, or a space of at most {LISTED:,}"
)
FIELDS = {"name": "str", "size": "int", "in_channels": "int", "classes_out": "int"}


def check(space: Space) -> None:
    """ValueError that says what is wrong with a space, where, and what to do; else nothing.

    Looks at the class, the positions, the network as supernet and alone, its choices, and whether
    each path uses the weights that `choices` gives to what it chooses, and no other's.
    """
    if not isinstance(space, Space):
        what = f"the class {space.__name__}" if isinstance(space, type) else repr(space)
        raise ValueError(f"a space must be an instance of a subclass of Space, got {what}")
    _class(space)
    _checked(space)


@remembered
def _checked(space: Space) -> None:
    _positions(space)
    _parts(space)
    for arch in dict.fromkeys([*space.some(), *checking_net.shifted(space)]):
        _functions(space, arch)
    checking_net.check(space)


# --- the class ---


def _class(space: Space) -> None:
    cls = type(space)
    if cls.architectures is not Space.architectures:
        raise ValueError(
            f"{cls.__name__} names one of its fields architectures, which says how many it has: "
            "rename it"
        )
    noted = inspect.get_annotations(cls)
    bare = not dataclasses.is_dataclass(cls) or (noted and "__dataclass_fields__" not in vars(cls))
    if bare or not cls.__dataclass_params__.frozen:
        raise ValueError(
            f"{cls.__name__} must be a frozen dataclass: write @dataclass(frozen=True) above it"
        )
    for name, kind in FIELDS.items():
        value = getattr(space, name, None)
        good = type(value) is int and value > 0
        if kind == "str":
            good = isinstance(value, str) and value
        if not good:
            wanted = "a text" if kind == "str" else "a whole number from 1"
            raise ValueError(
                f"{name} of {cls.__name__} must be {wanted}, got {value!r}: give it a line "
                f"`{name}: {kind} = ...`"
            )
    for field in dataclasses.fields(space):
        value, taken = vars(cls).get(field.name), getattr(space, field.name)
        if field.name in vars(cls) and field.name not in noted and value != taken:
            raise ValueError(
                f"{cls.__name__} sets {field.name} without saying its type, so it is not taken and "
                f"{taken!r} stays: write `{field.name}: {type(value).__name__} = {value!r}`"
            )
    try:
        hash(space)
    except TypeError as error:
        raise ValueError(
            f"fields of {cls.__name__} must not change: write tuples for lists ({error})"
        ) from None


def _positions(space: Space) -> None:
    found = space.positions
    if callable(found):
        raise ValueError(f"positions of {space.name} is a method: write @cached_property above it")
    if isinstance(found, Position) or not isinstance(found, tuple) or not found:
        raise ValueError(
            f"positions of {space.name} must be a tuple of Position, at least one, got "
            f"{found!r}: write (Position(...), Position(...)); a single one is (Position(...),)"
        )
    names = [place.name for place in found if isinstance(place, Position)]
    if len(set(names)) < len(found):
        raise ValueError(
            f"positions of {space.name} must be Position objects, each with a name of its own, got "
            f"{found!r}"
        )
    for place in found:
        own = place.options
        if not isinstance(own, tuple) or not own:
            shown = f"({own!r},)" if isinstance(own, str) else "('conv', 'skip')"
            raise ValueError(
                f"options of position {place.name!r} must be a tuple of names such as {shown}, got "
                f"{own!r}"
            )
        bad = [o for o in own if not isinstance(o, str) or not o.strip() or "|" in o]
        if bad or len(set(own)) < len(own):
            raise ValueError(
                f"options of position {place.name!r} must be different texts without '|', which "
                f"parts them in a table, got {own!r}"
            )


def _parts(space: Space) -> None:
    """That no option has the name of another part of the weights, in tables of the variance."""
    taken = {"all", "fixed", "inputs", *(f"{space.kind} {k}" for k in range(len(space.positions)))}
    for place in space.positions:
        if found := sorted(taken & {*place.options}):
            raise ValueError(
                f"position {place.name!r} has an option {found[0]!r}, which is the name of other "
                "weights in tables of the variance (all, fixed, inputs, and each "
                f"'{space.kind} <number>'): give it another name"
            )


def _functions(space: Space, arch: Arch) -> None:
    """`canonical` and `live`, where they are given."""
    same, live = space.canonical(arch), space.live(arch)
    try:
        if not isinstance(same, tuple) or any(type(option) is not int for option in same):
            raise TypeError(f"return a tuple of ints, as {arch} is")
        space.validate(same)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"canonical of {space.name} gives {same!r} for {arch}, which is no architecture of it: "
            f"{error}"
        ) from None
    if space.canonical(same) != same:
        raise ValueError(
            f"canonical of {space.name} must give one representative: {same} for {arch}, but "
            f"{space.canonical(same)} for {same}"
        )
    if len(live) != len(arch):
        raise ValueError(
            f"live of {space.name} must say True or False of each of {len(arch)} positions, got "
            f"{live!r} for {arch}"
        )


# --- what a sampler or a probe misses ---


def listed(space: Space, said: str, advice: str, count: int | None = None) -> None:
    """ValueError where too many architectures would be listed: `count` of them, or all.

    `said`: who lists them, and what for; `advice`: what to do instead.
    """
    many = f"{space.name} has {space.architectures:,}"
    if count is not None:
        many = f"these are {count:,} of {space.name}"
    if (space.architectures if count is None else count) > LISTED:
        raise ValueError(f"{said}, and {many}, too many to list: {advice}")


def unlearned(space: Space) -> str:
    """Why no probability would favour options with weights."""
    own = [
        any(space.weights(place, option) for option in range(len(position.options)))
        for place, position in enumerate(space.positions)
    ]
    if not any(own):
        return f"no option of {space.name} has weights: {space.positions[0].options}"
    learned = any(position.table for position in space.positions)
    said = " and options with weights" if learned else ""
    return (
        f"no position of {space.name} has probabilities that are learned{said}: leave out "
        "table='' of a Position whose options have weights, or use a method that learns none, such "
        "as SPOS"
    )
