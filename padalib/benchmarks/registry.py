"""Which module reads the truth of which spaces: `Space.benchmark` names it."""

from padalib.benchmarks import macro, nasbench201, shot
from padalib.benchmarks.layouts import Reader
from padalib.spaces import Space

READERS: dict[str, Reader] = {"nasbench201": nasbench201, "macro": macro, "nb1shot1": shot}
# Pixels of the benchmarks' images; "cifar10-16" is CIFAR-10 averaged to 16 of its 32.
SIDES = {name: side for reader in READERS.values() for name, side in reader.SIDES.items()}


def reader_of(space: Space) -> Reader:
    """The reader of the benchmark that lists a space; NAS-Bench-201's where none does.

    ValueError for a benchmark that nobody reads.
    """
    name = space.benchmark or "nasbench201"
    if name not in READERS:
        raise ValueError(
            f"{space.name} names the benchmark {name!r}, and only {', '.join(READERS)} can be "
            "read: leave `benchmark` None, and pass the path= of a table of your own"
        )
    return READERS[name]
