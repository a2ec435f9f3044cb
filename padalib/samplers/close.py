"""CLOSE, cheap form: positions share their operations first, and part later in training.

Zhou et al., "CLOSE: Curriculum Learning on the Sharing Extent Towards Better One-shot NAS", ECCV
2022: an operation that many positions share is trained more often, one with weights of its own
serves its position better, so training goes from the first to the second.

While it is shared, a weight and its copies all get the sum of their gradients. So they stay equal,
momentum included, and are together what one weight would be; to part is to stop that, and the
function right after is the same. It goes with any samplers of one's own choice.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from torch import nn

from padalib.engine import checked
from padalib.engine.checked import Count, Within
from padalib.samplers.update import Accumulate, clip_gradients
from padalib.spaces import Space, Supernet


class Parting(Accumulate):
    """`extent` consecutive positions (None: all) share for the share `until` of training.

    Whole epochs, rounded. What shares are options of one name and table whose weights have the same
    shapes; `shared` in the curves is how many weights have copies, 0 where positions have nothing
    in common. Running statistics of batch norm are never shared. ValueError for options out of
    bounds, or a space whose positions share for good.
    """

    summed = False  # a shared weight follows the sum over its copies
    refuses: ClassVar = {
        "start": "it begins by giving all positions the first's weights (of several: start=False)"
    }

    def __init__(
        self,
        space: Space,
        epochs: int,
        extent: Count | None = None,
        until: Annotated[float, Within(0, 1)] = 0.3,
    ) -> None:
        super().__init__(space, epochs)
        # differs: the paper adds a set of operations at a time, dealt out to the edges by a gate
        # that learns, and restarts the learning rate. Here all positions part at once.
        given = checked.options(type(self), {"extent": extent, "until": until})
        if space.extent > 1:
            raise ValueError(
                f"{space.name} shares operations between positions for good: use "
                "dataclasses.replace(space, extent=1), and the option `extent` of this rule"
            )
        self.extent = given["extent"] or len(space.positions)
        self.alike = round(given["until"] * epochs)  # epochs in which they share
        self.epoch, self.begun, self.number = 0, False, 0

    def new_epoch(self, epoch: int) -> None:
        self.epoch, self.number = epoch, 0

    def step(self, net, optimizer, clip, archs, index, x, y, paths, data):
        if self.epoch >= self.alike:
            return super().step(net, optimizer, clip, archs, index, x, y, paths, data)
        shared = [group for group in copies(net, self.extent) if len(group) > 1]
        self.number = len(shared)
        if not self.begun:
            self.begun = True
            with torch.no_grad():
                for first, *others in shared:
                    for other in others:
                        other.copy_(first)
        loss, correct = self.backward(net, archs, index, x, y, paths, data)
        for first, *others in shared:  # one of them holds the sum, so that it is clipped as one
            for other in others:
                if other.grad is not None and first.grad is not None:
                    first.grad += other.grad
                elif other.grad is not None:
                    first.grad = other.grad
                other.grad = None
        norm, scale = clip_gradients(optimizer, clip)
        for first, *others in shared:
            for other in others if first.grad is not None else ():
                other.grad = first.grad.clone()
        paths.observe(archs, net, scale)
        optimizer.step()
        return loss, correct, norm

    def log(self) -> dict[str, float]:
        return {"shared": float(self.number)}


def copies(net: Supernet, extent: int) -> Iterator[list[nn.Parameter]]:
    """The weights that are one while `extent` consecutive positions share, alone or several.

    Modules that several positions choose anyway, as in DARTS, are left as they are.
    """
    held = {
        choice: [weight for module in modules for weight in module.parameters()]
        for choice, modules in sorted(net.choices().items())
    }
    uses = Counter(weight for own in held.values() for weight in own)
    sets: dict[tuple, list[list[nn.Parameter]]] = {}
    for (place, option), own in held.items():
        position, shapes = net.space.positions[place], tuple(weight.shape for weight in own)
        if all(uses[weight] == 1 for weight in own):
            key = place // extent, position.table, position.options[option], shapes
            sets.setdefault(key, []).append(own)
    for alike in sets.values():
        yield from map(list, zip(*alike, strict=True))
