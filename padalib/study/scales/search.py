"""The scale of the study of search on CIFAR-10: spaces whose official truth knows everything.

Its supernets are those of `controls` and `spaces`, where these were run. A thousand held-out images
score everything, for there are thousands of functions.
"""

from dataclasses import replace

from padalib.study.scale import Scale, Searches

METHODS = ("SPOS", "PA", "PA&DA", "curriculum")
IMAGES, RUNGS = 1000, (111, 333)


def make(controls: Scale, across: Scale) -> Scale:
    """The scale `search`, from `controls`, and from `spaces` with its `spaces-macro`.

    In `macro12` every option has weights, so that PA has no schedule; of its few architectures a
    search sees a quarter, too.
    """
    whole = replace(
        controls,
        name="search",
        seeds=controls.seeds[:5],
        methods=METHODS,
        ranked=None,
        rank_images=IMAGES,
        searches=Searches(1000, 10, RUNGS),
        studies=("search",),
        notebooks=("10",),
        beside=(),
    )
    (macro,) = [each for each in across.beside if each.space.name == "macro"]
    shared = {f: getattr(whole, f) for f in ("seeds", "rank_images", "studies", "secondary")}
    macro = replace(macro, name="search-macro", ranked=None, searches=whole.searches, **shared)
    macro = replace(macro, methods=METHODS, notebooks=())
    few = replace(across, name="search-macro12", methods=METHODS[:3], finished=None, beside=())
    few = replace(few, searches=Searches(64, 10, RUNGS), notebooks=(), **shared)
    return replace(whole, beside=(macro, few))
