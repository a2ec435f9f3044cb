"""The scales of the study across spaces: NAS-Bench-Macro, whole and without identities; 1Shot1.

They show the spaces of `controls` beside their own, whose fields they take, but for the length: a
step of these networks costs twice as much, so they train half as long.
"""

from dataclasses import replace

from padalib import spaces
from padalib.study.scale import Scale

SEEDS = tuple(range(5, 13))
SMALL = {"channels": 8, "size": 16}
SCHEDULED = ("SPOS", "PA", "yoked PA", "curriculum", "PA&DA")  # what the primary questions need
LISTED = ("SPOS", "PA", "PA&DA", "curriculum")  # of the cells whose accuracy is known
# Where the curriculum is SPOS itself.
UNSCHEDULED = ("SPOS", "PA", "yoked PA", "size-curriculum", "PA&DA")
BESIDE = 5  # seeds of the methods that no primary question asks for


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
        secondary=("DA", "FairNAS"),
        secondary_seeds=BESIDE,
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
        methods=SCHEDULED,
        secondary=("DA", "size-curriculum", "FairNAS", "sbs"),
        ranked=1000,
    )
    conv64 = replace(conv64, name="spaces-conv64", studies=("across",))
    cells = replace(
        whole,
        name="spaces-cells",
        space=replace(spaces.get("nb1shot1-3"), **SMALL, cells=1),
        seeds=SEEDS[:3],
        methods=LISTED,
        secondary=(),
        listed=True,
        rank_images=1000,  # paths through its cells have hardly a beginning in common
    )
    return replace(whole, beside=(macro, cells, conv64))
