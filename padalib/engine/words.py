"""Words that messages of all rooms share."""

from collections.abc import Collection
from difflib import get_close_matches

NEAR = 0.7  # how like a name is one that may be meant: 'huge' is no 'budget', which is 0.6


def counted(count: int, noun: str) -> str:
    """A number with its noun: '1 seed', '2 seeds'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def unknown(kind: str, name: object, known: Collection[str]) -> str:
    """What to say of a name that is none of those known: the nearest of these, if any, and all."""
    spelt = {each.lower(): each for each in known}
    near = [spelt[each] for each in get_close_matches(str(name).lower(), spelt, 1, NEAR)]
    meant = "".join(f"did you mean {each}? " for each in near)
    return f"unknown {kind} {name!r}: {meant}choose one of {', '.join(known)}"
