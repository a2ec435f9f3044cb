"""The scale of the study of retraining: NAS-Bench-201 with its truth, and two spaces without one.

Chosen so that all of it takes about three hours of two cores, estimated by `retraining.hours`.
"""

from dataclasses import replace

from padalib import spaces
from padalib.study.scale import Retraining, Scale, Searches

# DARTS with two nodes a cell and three cells, on colours.
DARTS = replace(spaces.get("darts-mini"), in_channels=3)
# MobileNet's first four stages, two blocks each at a quarter of the width, on whole small images.
MOBILE = replace(
    spaces.get("mobilenet6"),
    stages=((32, 2), (40, 2), (80, 2), (96, 2)),
    strides=(2, 1, 2, 1, 2, 1, 1, 1),
    width=0.25,
    stem_stride=1,
    size=16,
    classes_out=10,
)


def make(on_cifar: Scale, seeds: tuple[int, ...]) -> Scale:
    """The scale `retraining`, made from what scales on CIFAR-10 have in common.

    With seeds of the scale `controls`, so that its supernets are taken where they are there. The
    space with a truth is a check of the others: three supernets of a method, not four.
    """
    whole = replace(
        on_cifar,
        name="retraining",
        seeds=seeds[:3],
        methods=("SPOS", "PA", "PA&DA"),
        rank_images=2000,
        searches=Searches(200),
        retraining=Retraining("plain", epochs=5, known=True),
        studies=("retraining",),
        notebooks=("13",),
        common=False,
    )
    darts = replace(
        whole,
        name="retraining-darts",
        seeds=seeds[:4],
        space=DARTS,
        epochs=8,
        retraining=Retraining("darts-brief"),
    )
    mobile = replace(
        whole,
        name="retraining-mobile",
        seeds=seeds[:4],
        space=MOBILE,
        epochs=8,
        retraining=Retraining("mobilenet-short"),
    )
    return replace(whole, beside=(darts, mobile))
