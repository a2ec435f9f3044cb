"""What a module costs: its weights, and the FLOPs of a forward pass by torch's own counter."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

IMAGES = 2  # that costs are counted on: of a single one of one pixel there are no statistics


def cost(module: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """(weights, FLOPs for one image) of a module that gets `x`."""
    return sum(p.numel() for p in module.parameters()), count_flops(module, x) // len(x)


def count_flops(module: nn.Module, *inputs: torch.Tensor) -> int:
    """FLOPs of one forward pass, a multiply-add being two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops()
