"""The textbook way to train and rank a NAS-Bench-201 supernet, to measure ours against.

What most public code does: torchvision transforms in a DataLoader, float32 in torch's default
layout, every named edge computed, a loss read back each step, and a full pass over the images for
each architecture. Same supernet, same weights, same results.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from padalib.data import ImageSet
from padalib.spaces import CellSpace, Supernet


class Zero(nn.Module):
    """The operation 'none'."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul(0.0)


def relu_conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, bias: bool = False):
    """As in NAS-Bench-201, without affine weights and running statistics."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=bias),
        nn.BatchNorm2d(c_out, affine=False, track_running_stats=False),
    )


def operation(name: str, channels: int, bias: bool) -> nn.Module:
    """A candidate operation by name."""
    if name == "none":
        return Zero()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return relu_conv_bn(channels, channels, int(name[-1]), bias=bias)


class Textbook(nn.Module):
    """A supernet of a `CellSpace` with the residual skeleton; raises ValueError for another one."""

    def __init__(self, space: CellSpace) -> None:
        super().__init__()
        if space.skeleton != "residual" or space.extent != 1:
            raise ValueError(f"only the residual skeleton with extent 1 is built, got {space}")
        self.space = space
        widths = [space.channels, 2 * space.channels, 4 * space.channels]
        self.stem = nn.Sequential(
            nn.Conv2d(space.in_channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0], affine=False, track_running_stats=False),
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList(
                    nn.ModuleList(operation(name, width, space.conv_bias) for name in space.ops)
                    for _ in space.edges
                )
                for _ in range(space.cells)
            )
            for width in widths
        )
        self.reductions = nn.ModuleList(
            nn.ModuleDict(
                {
                    "a": relu_conv_bn(c_in, c_out, 3, 2),
                    "b": relu_conv_bn(c_out, c_out, 3),
                    "skip": nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False)),
                }
            )
            for c_in, c_out in pairwise(widths)
        )
        self.norm = nn.BatchNorm2d(widths[-1], affine=False, track_running_stats=False)
        self.head = nn.Linear(widths[-1], space.classes_out)

    def forward(self, x: Tensor, arch: Sequence[int]) -> Tensor:
        """Images [B, C, H, W] through one path to logits [B, L]."""
        x = self.stem(x)
        for stage, cells in enumerate(self.stages):
            if stage:
                block = self.reductions[stage - 1]
                x = block["skip"](x) + block["b"](block["a"](x))
            for cell in cells:
                nodes = [x]
                for target in range(1, self.space.nodes):
                    edges = [e for e, (_, j) in enumerate(self.space.edges) if j == target]
                    terms = [cell[e][arch[e]](nodes[self.space.edges[e][0]]) for e in edges]
                    nodes.append(sum(terms))
                x = nodes[-1]
        return self.head(F.relu(self.norm(x)).mean((2, 3)))

    def take_weights(self, net: Supernet) -> "Textbook":
        """Copy the weights of our supernet of the same space."""
        own = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        theirs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        for mine, given in zip(own, theirs, strict=True):
            mine.load_state_dict(given.state_dict())
        return self


class Pictures(Dataset):
    """An `ImageSet` as PIL-like images, one at a time, through torchvision's transforms."""

    def __init__(self, images: ImageSet, train: bool, crop: int) -> None:
        self.images = images
        size = images.images.shape[-1]
        augment = [v2.RandomCrop(size, padding=crop), v2.RandomHorizontalFlip()] if train else []
        self.transform = v2.Compose(
            [
                v2.ToPILImage(),
                *augment,
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(images.mean, images.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images.images[index]), int(self.images.labels[index])


class Trainer:
    """Single-path training, step by step."""

    def __init__(self, space: CellSpace, images: ImageSet, batch: int, crop: int, lr: float):
        self.net = Textbook(space)
        self.loader = DataLoader(Pictures(images, True, crop), batch, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=lr, momentum=0.9, weight_decay=2.5e-4
        )

    def step(self, arch: Sequence[int]) -> float:
        """One step on the next batch; returns the loss."""
        try:
            x, y = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            x, y = next(self.batches)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(x, arch), y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        return loss.item()


@torch.no_grad()
def accuracy(net: Textbook, arch: Sequence[int], loader: DataLoader) -> float:
    """Accuracy in % of one architecture: one pass over the loader."""
    correct = total = 0
    for x, y in loader:
        correct += (net(x, arch).argmax(1) == y).sum().item()
        total += len(y)
    return 100 * correct / total
