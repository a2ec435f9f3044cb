"""Search spaces: what an architecture is, which ones are the same function, and what they cost."""

from padalib.engine import origin, words
from padalib.spaces.base import IDENTITIES, Arch, Entries, Position, Space
from padalib.spaces.cell import OPS, CellSpace
from padalib.spaces.chain import ChainSpace
from padalib.spaces.checking import check
from padalib.spaces.darts import DartsSpace
from padalib.spaces.macro import MacroSpace
from padalib.spaces.mobilenet import MBCONVS, MobileNetSpace
from padalib.spaces.network import BN_MODES, PRECISIONS, Norm, Supernet, recalibrate
from padalib.spaces.shot import LAYOUTS, ShotSpace

CONVS = ("nor_conv_1x1", "nor_conv_3x3")  # the operations of a cell that have weights

SPACES: dict[str, Space] = {
    # 3 nodes, 3 edges, 125 architectures: small enough to train every one of them alone.
    "mini": CellSpace("mini", nodes=3, channels=8, cells=1, size=16, in_channels=1),
    # 5 blocks, 243 architectures, every option with weights: small enough too.
    "chain-mini": ChainSpace("chain-mini"),
    # NAS-Bench-201 (Dong & Yang 2020): 15,625 architectures in the benchmark's own network.
    "nasbench201": CellSpace("nasbench201", skeleton="residual"),
    # The 64 architectures of the paper's Fig. 1: every edge is a 1x1 or a 3x3 convolution.
    "conv64": CellSpace("conv64", ops=CONVS, skeleton="residual"),
    # DARTS (Liu et al. 2019): 1.08e18 architectures in the network of its search.
    "darts": DartsSpace("darts"),
    # The same for a CPU: two nodes a cell, three cells.
    "darts-mini": DartsSpace("darts-mini", nodes=2, layers=3, channels=4, size=16, in_channels=1),
    # NAS-Bench-Macro (Su et al. 2021): 6,561 chains of eight blocks.
    "macro": MacroSpace("macro"),
    # Its 256 without an identity: every option has weights.
    "macro12": MacroSpace("macro12", options=("mb3_k3", "mb6_k5")),
    # NAS-Bench-1Shot1 (Zela et al. 2020): 14,580, 29,160 and 1,312,200 cells of NAS-Bench-101.
    **{name: ShotSpace(name, *layout) for name, layout in LAYOUTS.items()},
    # 2 * 10^17 chains of 21 blocks for ImageNet (ProxylessNAS, SPOS).
    "mobilenet": MobileNetSpace("mobilenet"),
    # Those that leave no block out: every option has weights.
    "mobilenet6": MobileNetSpace("mobilenet6", options=MBCONVS),
}


def get(name: str) -> Space:
    """The space called `name`; `dataclasses.replace` changes its width, depth or sharing extent."""
    if name not in SPACES:
        raise ValueError(words.unknown("space", name, sorted(SPACES)))
    return SPACES[name]


def usable(space: Space | str) -> Space:
    """A space, or the one of that name; ValueError where one of the user's own has a mistake."""
    if isinstance(space, str):
        return get(space)
    if not origin.ours(type(space)):
        check(space)
    return space


def label(space: Space) -> str:
    """The name of a space, with its options where they are not those of that name."""
    if SPACES.get(space.name, space).positions == space.positions:
        return space.name
    options = dict.fromkeys(name for position in space.positions for name in position.options)
    return f"{space.name} of {', '.join(options)}"


__all__ = [
    "BN_MODES",
    "CONVS",
    "IDENTITIES",
    "LAYOUTS",
    "OPS",
    "PRECISIONS",
    "SPACES",
    "Arch",
    "CellSpace",
    "ChainSpace",
    "DartsSpace",
    "Entries",
    "MacroSpace",
    "MobileNetSpace",
    "Norm",
    "Position",
    "ShotSpace",
    "Space",
    "Supernet",
    "check",
    "get",
    "label",
    "recalibrate",
    "usable",
]
