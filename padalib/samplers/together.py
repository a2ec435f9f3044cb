"""Two update rules in one: positions share their operations first, each path at its own rate.

CLOSE's parting (`close`) says which weights are one, DYNAS' decay (`dynas`) how large the step is
and whose momentum it has; neither knows of the other. Momentum that is kept apart is kept apart for
copies alike, so they stay equal until they part. What either refuses is refused: several paths a
step, and a space whose positions share for good.
"""

from typing import Annotated, ClassVar, Literal

from padalib.engine.checked import Count, Positive, Within
from padalib.samplers.close import Parting
from padalib.samplers.dynas import ByComplexity
from padalib.spaces import Space


class PartingByComplexity(ByComplexity, Parting):
    """`Parting` with the rates and the momentum of `ByComplexity`; ValueError as these two."""

    summed = Parting.summed
    refuses: ClassVar = ByComplexity.refuses | Parting.refuses

    def __init__(
        self,
        space: Space,
        epochs: int,
        extent: Count | None = None,
        until: Annotated[float, Within(0, 1)] = 0.3,
        fewest: Positive = 4.0,
        most: Positive = 0.25,
        momentum: Literal["apart", "shared"] = "apart",
    ) -> None:
        ByComplexity.__init__(self, space, epochs, fewest, most, momentum)
        Parting.__init__(self, space, epochs, extent, until)

    def new_epoch(self, epoch: int) -> None:
        ByComplexity.new_epoch(self, epoch)
        Parting.new_epoch(self, epoch)

    def log(self) -> dict[str, float]:
        return ByComplexity.log(self) | Parting.log(self)
