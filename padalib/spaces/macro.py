"""NAS-Bench-Macro: eight blocks in a row, each an identity or one of two MBConvs.

Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021; layout as in
its benchmark's `train/model.py`. All 3^8 = 6,561 architectures are different supernet functions;
the benchmark trained 3,969 of them, see `MacroSpace.truth_key`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from padalib.engine.checked import Count
from padalib.spaces.base import Arch
from padalib.spaces.chain import ChainSpace
from padalib.spaces.network import Norm

OPTIONS = ("identity", "mb3_k3", "mb6_k5")  # MBConvs: expansion and kernel
STRIDES = (2, 1, 2, 1, 1, 2, 1, 1)
NECK = 40  # channels before the average, in channels of the stem: 1,280 of 32


class MBConv(nn.Module):
    """Expand by a 1x1, a depthwise convolution, project by a 1x1; batch norm after each.

    `relu` after the first two; where nothing expands there is no first. What comes in is added
    where it has the shape of what goes out.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        expansion: int,
        kernel: int,
        stride: int,
        norm: dict,
        relu: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        hidden, self.relu, self.expands = expansion * c_in, relu, expansion > 1
        if self.expands:
            self.expand = nn.Conv2d(c_in, hidden, 1, bias=False)
            self.norm_1 = Norm(hidden, **norm)
        self.depth = nn.Conv2d(
            hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False
        )
        self.norm_2 = Norm(hidden, **norm)
        self.project = nn.Conv2d(hidden, c_out, 1, bias=False)
        self.norm_3 = Norm(c_out, **norm)
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm_1(self.expand(x))) if self.expands else x
        y = self.relu(self.norm_2(self.depth(y)))
        y = self.norm_3(self.project(y))
        return x + y if self.shortcut else y


@dataclass(frozen=True)
class MacroSpace(ChainSpace):
    """The benchmark's own network; fewer `channels` or a smaller `size` make it a small one.

    An identity has no weights, but where the width doubles (positions 0, 2 and 5) it is a 1x1
    projection with batch norm. The projection counts as an option with weights (`level`, 3 to 8,
    and whatever asks `weights`: it is trained like any other), not as a block (`depth`, 0 to 8).
    ValueError for other options.
    """

    options: tuple[str, ...] = OPTIONS
    strides: tuple[Literal[1, 2], ...] = STRIDES
    channels: Count = 32
    size: Count = 32
    in_channels: Count = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if foreign := set(self.options) - set(OPTIONS):
            raise ValueError(
                f"options must be some of {', '.join(OPTIONS)}, got {sorted(foreign)}: inherit "
                "from ChainSpace and write `block` for others"
            )

    @property
    def benchmark(self) -> str | None:
        """NAS-Bench-Macro, whatever the width and size, where the stages are its own."""
        return "macro" if self.strides == STRIDES else None

    def stem(self, norm: dict) -> nn.Module:
        return nn.Sequential(*super().stem(norm), nn.ReLU())

    def block(self, position: int, option: str, norm: dict) -> nn.Module:
        (c_in, c_out), stride = self.widths[position : position + 2], self.strides[position]
        if option == "identity":
            if stride == 1:
                return nn.Identity()
            projection = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            return nn.Sequential(projection, Norm(c_out, **norm))
        return MBConv(c_in, c_out, int(option[2]), int(option[-1]), stride, norm)

    def neck(self, norm: dict) -> tuple[nn.Module, int]:
        width = NECK * self.channels
        last = nn.Conv2d(self.widths[-1], width, 1, bias=False)
        return nn.Sequential(last, Norm(width, **norm)), width

    def encode(self, string: str) -> Arch:
        """The inverse of `decode`; also reads the benchmark's own strings, such as '22212202'."""
        own = string.strip()
        if len(own) == len(self.strides) and set(own) <= set("012"):
            string = "|".join(OPTIONS[int(digit)] for digit in own)
        return super().encode(string)

    def truth_key(self, arch: Sequence[int]) -> str:
        """The benchmark's string of the network that it trained for `arch`, such as '22212220'.

        Identities without weights commute with the blocks of their stage, so it moved them to the
        end of it (`get_real_arch`): alone the same network, in a supernet other weights.
        """
        chosen = [self.options[option] for option in self.validate(arch)]
        for stride, run in groupby(range(len(chosen)), key=self.strides.__getitem__):
            if stride == 1:
                at = list(run)
                chosen[at[0] : at[-1] + 1] = sorted(
                    (chosen[place] for place in at), key=lambda option: option == "identity"
                )
        return "".join(str(OPTIONS.index(option)) for option in chosen)

    def depth(self, arch: Sequence[int]) -> int:
        """How many blocks are MBConvs."""
        return sum(self.options[option] != "identity" for option in self.validate(arch))

    def predictors(self, arch: Sequence[int]) -> dict[str, float]:
        """The number of blocks, on which accuracy depends most: tau .693 over the whole space."""
        return {"non-identity blocks": float(self.depth(arch))}
