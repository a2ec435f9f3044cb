"""The scales of three questions about gradient variance, on fresh seeds.

Does the ranking answer where the variance is set? Where does it come from, along training? And does
sharing spoil the ranking where every architecture is trained equally often?
"""

from collections.abc import Sequence
from dataclasses import replace

from padalib.study.scale import Scale


def make(on_cifar: Scale, fresh: Sequence[int]) -> dict[str, Scale]:
    """By name, from the settings on CIFAR-10 that `controls` has, and its seeds."""
    found = (
        replace(
            on_cifar,
            name="interventions",
            seeds=tuple(fresh[:5]),
            batch_sizes=(16, 32, 64, 128, 256),
            groups=(1, 2, 4),
            notebooks=("08",),
        ),
        replace(
            on_cifar,
            name="along",
            seeds=tuple(fresh[:3]),
            keep=(1, 2, 5, 10, 15),  # their rankings were seen in `controls`, their variance not
            paths=1024,
            methods=("SPOS", "PA", "PA&DA", "curriculum", "PA&DA weighted"),
            notebooks=("17",),
        ),
        replace(
            on_cifar,
            name="exposure",
            seeds=tuple(fresh[:5]),
            extents=(1, 2, 3, 6),
            candidates=(2, 3, 4, 5),
            sharing_epochs=5,
            notebooks=("18",),
        ),
    )
    return {own.name: replace(own, studies=(own.name,), common=False) for own in found}
