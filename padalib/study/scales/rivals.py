"""The scale of the study of rivals: what is compared, on which seeds, and where else.

Its runs are those of `controls` and `spaces` wherever these have them.
"""

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

# Where every option has weights these draw uniform paths: they are SPOS itself.
SPOS_ITSELF = ("curriculum", "balanced", "sbs", "EFS-NAS")
# In other spaces, besides those of `SEVERAL`. PA came later there, after a look at the others.
ELSEWHERE = ("SPOS", "PA", OURS, *(name for name in RIVALS if name not in (*SEVERAL, *SPOS_ITSELF)))

SEEDS = (5, 6, 7)
NEAR_SEEDS = tuple(range(8, 13))  # more of what is near the best by the first ones, `rivals.near`


def make(controls: Scale, across: Scale) -> Scale:
    """The scale `rivals`: of `planned` what was run."""
    plan = planned(controls, across)
    return replace(plan, equal_steps=0, beside=plan.beside[:1])


def planned(controls: Scale, across: Scale) -> Scale:
    """All of it: from `controls`, from its `controls-chain`, and from `spaces`.

    What `make` leaves out was not run yet: the starved method at equal steps, and `macro12`.
    First four methods were to be trained there, the best here. When their names were known, PA&DA,
    its parts and a control of ours, no published rival was among them: so all are, and that was
    decided before any was trained there.
    """
    (chain,) = [each for each in controls.beside if each.space.name == "chain-mini"]
    main = replace(
        controls,
        name="rivals",
        space=replace(spaces.get("nasbench201"), channels=8, cells=1, size=16),
        seeds=SEEDS,
        methods=SINGLE,
        secondary=(),
        equal_steps=3,
        near_seeds=NEAR_SEEDS,
        # As the public code does for this space: two levels, so four supernets at the end. Eight
        # batches, for the splits of both levels have one epoch.
        split_on=(8, 64),
        split_levels=2,
        studies=("rivals",),
        notebooks=("12",),
        beside=(),
    )
    few = {"methods": ELSEWHERE, "secondary": (), "studies": ("rivals",), "beside": ()}
    few |= {"split_on": main.split_on}
    macro12 = replace(across, name="rivals-macro12", finished=None, **few)
    return replace(
        main,
        beside=(replace(chain, name="rivals-chain", seeds=chain.seeds[:16], **few), macro12),
    )
