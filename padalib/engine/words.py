"""Words that messages of all rooms share."""


def counted(count: int, noun: str) -> str:
    """A number with its noun: '1 seed', '2 seeds'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
