"""The scale of the study across spaces: NAS-Bench-Macro, whole and without identities, and others.

It shows the spaces of `controls` beside its own, whose fields it takes, but for the length: a step
of these networks costs twice as much, so they train half as long.
"""

from dataclasses import replace

from padalib import spaces
from padalib.study.scale import Scale

SEEDS = tuple(range(5, 13))
SMALL = {"channels": 8, "size": 16}
EVERY = ("SPOS", "FairNAS", "PA", "DA", "PA&DA", "curriculum", "size-curriculum", "yoked PA", "sbs")
UNSCHEDULED = ("SPOS", "PA", "size-curriculum", "PA&DA")  # where the curriculum is SPOS itself


def make(controls: Scale) -> Scale:
    """The scale `spaces`, made from `controls` and from its `conv64`, whose runs it takes too."""
    (conv64,) = [each for each in controls.beside if each.space.name == "conv64"]
    whole = replace(
        controls,
        name="spaces",
        space=replace(spaces.get("macro12"), **SMALL),
        epochs=10,
        seeds=SEEDS,
        methods=UNSCHEDULED,
        secondary=(),
        ranked=None,
        finished=controls.name,
        studies=("across",),
        notebooks=("09",),
        beside=(),
    )
    macro = replace(
        whole,
        name="spaces-macro",
        space=replace(spaces.get("macro"), **SMALL),
        methods=EVERY,
        ranked=1000,
    )
    conv64 = replace(
        conv64, name="spaces-conv64", methods=UNSCHEDULED, secondary=(), studies=("across",)
    )
    return replace(whole, beside=(macro, conv64))
