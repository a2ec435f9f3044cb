"""Search spaces: what an architecture is, which ones are the same function, and what they cost."""

from padalib.spaces.cell import OPS, Arch, CellSpace
from padalib.spaces.supernet import BN_MODES, PRECISIONS, Supernet, recalibrate

CONVS = ("nor_conv_1x1", "nor_conv_3x3")  # the operations with weights

SPACES = {
    # 3 nodes, 3 edges, 125 architectures: small enough to train every one of them alone.
    "mini": CellSpace("mini", nodes=3, channels=8, cells=1, size=16, in_channels=1),
    # NAS-Bench-201 (Dong & Yang 2020): 15,625 architectures in the benchmark's own network.
    "nasbench201": CellSpace("nasbench201", skeleton="residual"),
    # The 64 architectures of the paper's Fig. 1: every edge is a 1x1 or a 3x3 convolution.
    "conv64": CellSpace("conv64", ops=CONVS, skeleton="residual"),
}


def get(name: str) -> CellSpace:
    """The space called `name`; `dataclasses.replace` changes its width, depth or sharing extent."""
    if name not in SPACES:
        raise ValueError(f"unknown space {name!r}: choose one of {', '.join(sorted(SPACES))}")
    return SPACES[name]


__all__ = [
    "BN_MODES",
    "CONVS",
    "OPS",
    "PRECISIONS",
    "SPACES",
    "Arch",
    "CellSpace",
    "Supernet",
    "get",
    "recalibrate",
]
