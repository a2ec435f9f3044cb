"""A curriculum by structure: from all paths alike to an identity with a residual branch beside it.

p = delta * end + (1 - delta) * uniform with one probability for each position and option, and delta
= epoch / epochs at most. No gradient is asked and no accuracy known; the end comes from reasoning,
and from a look at what PA undervalues in NAS-Bench-201.

What trains well at any depth is x + F(x) (He et al., "Deep Residual Learning", CVPR 2016). F has
weights, so in the end options without any are not drawn: 'none' cuts the branch, pooling puts no
weights in its place. Skips are, because a branch is of any length only if its positions may also
hand on what they get: they are the one option without weights that is kept. Options with weights
share the rest by a power of their number, so that larger ones get more, but not in proportion. A
position that leads from the input of a cell to its output past all others is where the identity
stands: there skips get most.

In a chain, such as NAS-Bench-Macro, each block has its identity inside, or is one: the same shares
make paths of most lengths, deep ones first, and no position leads past the others.
"""

from typing import Annotated

import torch

from padalib.engine import checked
from padalib.engine.checked import NotNegative, Within
from padalib.samplers.base import ProductPaths
from padalib.spaces import IDENTITIES, Space
from padalib.spaces.checking import unlearned

Share = Annotated[float, Within(0, 1)]


class ResidualPaths(ProductPaths):
    """Draws by the position: uniformly at the start, by `end` at the last.

    `skip` is an identity's share at the end, `direct` that where it leads past all others; delta
    grows to 1 over the share `ramp` of training, or stops at `cap`. ValueError for options
    out of bounds, or a space without any weights to learn.
    """

    def __init__(
        self,
        space: Space,
        epochs: int,
        skip: Share = 0.2,
        direct: Share = 0.6,
        power: NotNegative = 1 / 3,  # a 3x3 has nine times the weights of a 1x1, so 2.1 its share
        ramp: Annotated[float, Within(0, 1, above=True)] = 1.0,
        cap: Share = 1.0,
    ) -> None:
        super().__init__(space, epochs, shared=False)
        given = {"skip": skip, "direct": direct, "power": power, "ramp": ramp, "cap": cap}
        given = checked.options(type(self), given)
        self.ramp, self.cap = given["ramp"], given["cap"]
        scores = torch.zeros(len(self.p), dtype=torch.float64)
        for place, own in enumerate(self.entries.at):
            share = given["direct"] if place in space.shortcuts else given["skip"]
            scores[list(own)] = torch.tensor(shares(space, place, share, given["power"])).double()
        scores[list(self.entries.uniform)] = 0
        if not scores.any():
            raise ValueError(unlearned(space))
        self.fixed = self.normal(scores).float()

    def new_epoch(self, epoch: int) -> None:
        delta = min(self.cap, epoch / (self.ramp * self.epochs))
        self.p = delta * self.fixed + (1 - delta) * self.normal(torch.ones(len(self.fixed)))


def shares(space: Space, place: int, skip: float, power: float) -> list[float]:
    """The end's shares of a position's options [n], `skip` for an identity that has rivals.

    They sum to one, or are all 0 where it has neither weights nor an identity.
    """
    names = space.positions[place].options
    counts = [space.weights(place, option) for option in range(len(names))]
    same = [name in IDENTITIES for name in names]
    learned = [
        0.0 if own or not count else float(count) ** power
        for own, count in zip(same, counts, strict=True)
    ]
    total, identity = sum(learned), any(same)
    rest = 1 - skip if identity and total else float(total > 0)
    return [
        1 - rest if own else (rest * score / total if score else 0.0)
        for own, score in zip(same, learned, strict=True)
    ]
