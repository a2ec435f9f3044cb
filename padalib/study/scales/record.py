"""The scale of the record: what is tried, on which seeds it is chosen, and where it is reported.

What it reports of SPOS and PA are runs of `controls`; elsewhere it takes the scale of NAS-Bench-
Macro from `spaces`. And the scales of PA&DA's options, on digits and in NAS-Bench-201.
"""

from dataclasses import replace

from padalib import spaces
from padalib.study.record.parts import TRIED, fitted
from padalib.study.scale import Scale

CHOICE_SEEDS, SEEDS = (0, 1), tuple(range(5, 10))
# Of PA&DA's options: yoked runs swap their schedules two by two, so pairs are the units. On digits
# as many as an afternoon trains; in NAS-Bench-201 all that `controls` has of PA and yoked PA.
# Options that are not `pada_options.FIRST` have fewer.
PAIRED = {"options": tuple(range(5, 17)), "options-cifar": tuple(range(5, 21))}
# All of `pada_options.OPTIONS`.
ABLATED = (
    *("plain mean", "raw norms", "norms by size", "live only", "free options", "per edge"),
    *("scores kept", "first shuffled"),
    *("one delta", "one delta, images", "every fifth epoch", "every fifth epoch, images"),
    *("every step", "batch 16", "batch 256"),
)
# What is reported: what `record.choose` takes on `CHOICE_SEEDS`, of the runs in
# `data/packs/record.zip`. A test holds it to the published choice.
WINNER = "structure + sharing + averaging + two cells"


def make(controls: Scale, across: Scale) -> Scale:
    """The scale `record`: of `planned` what was run."""
    return replace(planned(controls, across), each_part=False, whole=(), alone=0, beside=())


def planned(controls: Scale, across: Scale) -> Scale:
    """All of it, as fixed before any candidate was trained: from `controls`, macro from `spaces`.

    What `make` leaves out was not run yet.
    """
    (macro,) = [each for each in across.beside if each.space.name == "macro"]
    own = {"methods": ("SPOS", "PA"), "secondary": (), "studies": ("record",)}
    own |= {"seeds": SEEDS, "winner": WINNER, "notebooks": ("15",), "beside": ()}
    there = {"winner": fitted(WINNER, macro.space)}
    macro = replace(macro, name="record-macro", finished=None, **own | there)
    return replace(
        controls,
        name="record",
        tried=TRIED,
        rate_seeds=CHOICE_SEEDS,
        whole=("SPOS", "PA"),
        alone=32,  # of the half that reports, each as long as a supernet
        **own | {"beside": (macro,)},
    )


def options(controls: Scale) -> tuple[Scale, Scale]:
    """The scale `options`, in `mini`, and all else as in `controls-chain`.

    And `options-cifar`, which has the runs of PA, DA and their controls in `controls`; it was not
    run yet.
    """
    own = {"methods": ("PA", "DA"), "secondary": (), "studies": ("pada_options", "norms")}
    own |= {"ablated": ABLATED, "notebooks": ("16",), "beside": (), "common": False}
    (chain,) = [each for each in controls.beside if each.space.name == "chain-mini"]
    made = (replace(chain, space=spaces.get("mini")), controls)
    return tuple(
        replace(each, name=name, seeds=seeds, **own)
        for each, (name, seeds) in zip(made, PAIRED.items(), strict=True)
    )
