"""The scale of the study of rivals: what is compared, on which seeds, and where else.

Its runs are those of `controls` and `spaces` wherever these have them.
"""

from collections.abc import Sequence
from dataclasses import replace

from padalib import spaces
from padalib.study.scale import Scale

OURS = "PA&DA"  # of which the claim is
PARTS = ("SPOS", "PA", "DA")  # what it is made of, and what it starts from
STARVED = "SUMNAS"  # also trained at equal steps
SEVERAL = ("few-shot NAS", "GM-NAS", "EFS-NAS")  # train more than one supernet
PUBLISHED = (
    *("FairNAS", "sbs", "sandwich", "DYNAS", "SUMNAS", "SUMNAS as released", "MAGIC-T"),
    *("density-aware", "NSAS", "CLOSE"),
    *SEVERAL,
)
CONTROLS = ("curriculum", "size-curriculum", "balanced")  # no gradient, and no paper
RIVALS = (*PUBLISHED, *CONTROLS)
METHODS = (*PARTS, OURS, *RIVALS)
SINGLE = tuple(name for name in METHODS if name not in SEVERAL)

SEEDS = (5, 6, 7)
NEAR_SEEDS = tuple(range(8, 13))  # more of what is near the best by the first ones, `rivals.near`
# What is planned and was not run yet is empty here: three seeds of the starved method at equal
# steps; and the four best (`rivals.choose`) in `elsewhere`.
EQUAL_STEPS = 0
CHOSEN: tuple[str, ...] = ()


def make(controls: Scale, across: Scale) -> Scale:
    """The scale `rivals`, from `controls` with its `controls-chain`, and from `spaces`."""
    (chain,) = [each for each in controls.beside if each.space.name == "chain-mini"]
    main = replace(
        controls,
        name="rivals",
        space=replace(spaces.get("nasbench201"), channels=8, cells=1, size=16),
        seeds=SEEDS,
        methods=SINGLE,
        secondary=(),
        equal_steps=EQUAL_STEPS,
        near_seeds=NEAR_SEEDS,
        # As the public code does for this space: two levels, so four supernets at the end. Eight
        # batches, for the splits of both levels have one epoch.
        split_on=(8, 64),
        split_levels=2,
        studies=("rivals",),
        notebooks=("12",),
        beside=(),
    )
    return replace(main, beside=elsewhere(across, chain) if CHOSEN else ())


def elsewhere(across: Scale, chain: Scale, chosen: Sequence[str] = CHOSEN) -> tuple[Scale, ...]:
    """The chosen methods beside SPOS and PA&DA where every option has weights."""
    names = dict.fromkeys(("SPOS", OURS, *(name for name in chosen if name in SINGLE)))
    few = {"methods": tuple(names), "secondary": (), "studies": ("rivals",), "beside": ()}
    macro12 = replace(across, name="rivals-macro12", finished=None, **few)
    return macro12, replace(chain, name="rivals-chain", **few)
