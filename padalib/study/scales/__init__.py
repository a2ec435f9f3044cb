"""Scales, by name: data, space, budget, seeds, and the studies that are made of them.

Which runs a study needs, the study says: `configs(scale)` of its module.
"""

from dataclasses import replace

from padalib import spaces
from padalib.engine import words
from padalib.study.scale import METHODS, STUDIES, Retraining, Scale, Searches
from padalib.study.scales import across, record, retraining, rivals, search, variance

EVERY = (
    *STUDIES,
    *("controls", "budget", "interventions", "along", "exposure", "across", "search", "rivals"),
    *("tuning", "retraining", "record", "pada_options", "norms"),
)
CONTROLS = ("FairNAS per epoch", "PA&DA weighted", "size-curriculum", "balanced")
# Every option has weights, so PA's schedule is SPOS's: what PA adds there is the gradient norm.
CHAIN_METHODS = ("SPOS", "PA", "PA&DA", "size-curriculum")
CHAIN_STUDIES = ("variance", "optimum", "training", "ranking")

# The contrasts that decide: seeds 0 to 4 were looked at before these were chosen.
PRIMARY = ("SPOS", "PA", "yoked PA", "curriculum", "PA&DA")
NORM_ALONE = ("SPOS", "PA")  # where every option has weights
FRESH = tuple(range(5, 21))

# Seen from NAS-Bench-201's own network, an image of 16x16 at half the width and a fifth the depth.
SMALL_201 = replace(spaces.get("nasbench201"), channels=8, cells=1, size=16)

# The benchmark's space and accuracies on real images, small enough for hours of CPU: what the
# scales on CIFAR-10 have in common.
ON_CIFAR = Scale(
    "cifar",
    data="cifar10-16",
    space=SMALL_201,
    epochs=20,
    lr=0.1,
    seeds=(0, 1, 2),
    final_paths=128,
    batches=2,
    pairs=40,
    crop=2,
    flip=True,
    ranked=1000,
    truth="cifar10",
    on_gpu=True,
)

SCALES = {
    scale.name: scale
    for scale in (
        # Minutes of CPU spent on nothing but showing that everything runs.
        Scale(
            "smoke",
            data="digits-small",
            space=spaces.get("mini"),
            epochs=2,
            lr=0.2,
            keep=(1,),
            seeds=(0, 1),
            paths=4,
            final_paths=4,
            batches=2,
            images=64,
            rank_images=64,
            pairs=2,
            extents=(1, 3),
            candidates=(1, 2, 5),
            sharing_epochs=2,
            sharing_keep=(1,),
            exact=("PA&DA",),
            exact_epochs=(1, 2),
            exact_images=8,
            agreement_seeds=2,
            lengths=(1, 2),
            batch_sizes=(64, 128),
            groups=(1, 2),
            searches=Searches(16, 4, rungs=(7, 21)),
            studies=EVERY,
            retraining=Retraining(epochs=1, draws=2, known=True),
            notebooks=("02", *(f"{number:02}" for number in range(6, 19))),
            equal_steps=2,
            # Tests train each by itself; here one of every kind is enough.
            left_out=(
                *("SUMNAS as released", "DYNAS", "MAGIC-T", "density-aware", "NSAS", "balanced"),
            ),
            split_on=(1, 32),
            rates=(0.1, 0.2),
            rate_seeds=(2, 3),
            equal_flops=3,
            tried=("SPOS", "PA", "structure + averaging + two cells"),
            winner="structure + averaging + two cells",
            ablated=("per edge",),
            normed=16,
            beside=(
                Scale(
                    "smoke-chain",
                    data="digits-small",
                    space=spaces.get("chain-mini"),
                    epochs=2,
                    lr=0.2,
                    seeds=(0, 1),
                    paths=4,
                    final_paths=4,
                    batches=2,
                    pairs=2,
                    methods=CHAIN_METHODS,
                    searches=Searches(24, 4),
                    retraining=Retraining(epochs=1, draws=2),
                    studies=(
                        *CHAIN_STUDIES,
                        *("controls", "across", "search", "rivals", "retraining"),
                    ),
                    split_on=(1, 32),
                    keep=(1,),
                    images=128,
                    ranked=40,
                ),
            ),
        ),
        # The default: whole in a quarter of an hour on two cores, with a truth of our own.
        Scale(
            "laptop",
            data="digits",
            space=spaces.get("mini"),
            epochs=30,
            lr=0.2,
            keep=(5, 15),
            seeds=(0, 1, 2),
            paths=64,
            final_paths=256,
            batches=2,
            images=500,
            pairs=40,
            extents=(1, 2, 3),
            candidates=(1, 2, 3, 5),
            sharing_epochs=10,
            sharing_keep=(2, 5),
            exact=("PA&DA",),
            exact_epochs=(0, 15, 30),
            exact_images=256,
            agreement_seeds=10,
            searches=Searches(24, 10, rungs=(222, 667)),
            studies=(*STUDIES, "search"),
            notebooks=("02", "10", "11"),
            beside=(
                Scale(
                    "laptop-chain",
                    data="digits",
                    space=spaces.get("chain-mini"),
                    epochs=20,
                    lr=0.2,
                    seeds=(0, 1, 2),
                    keep=(10,),
                    paths=32,
                    final_paths=128,
                    batches=2,
                    images=500,
                    pairs=40,
                    methods=CHAIN_METHODS,
                    searches=Searches(48, 10, rungs=(222, 667)),
                    studies=(*CHAIN_STUDIES, "search"),
                    exact=("PA&DA",),
                    exact_epochs=(20,),
                    exact_images=32,
                    agreement_seeds=5,
                ),
            ),
        ),
        replace(
            ON_CIFAR,
            seeds=(0, 1, 2, 3, 4),
            methods=(*METHODS, *CONTROLS),
            extents=(1, 2, 3, 6),
            candidates=(1, 2, 3, 4, 5),
            sharing_epochs=5,
            sharing_keep=(1, 2),
            rank_images=1000,
            whole=("SPOS", "PA&DA", "size-curriculum"),
            alone=64,
        ),
        # Trains nothing: supernets that others trained with the benchmark's own network.
        Scale(
            "full",
            data="cifar10",
            space=spaces.get("nasbench201"),
            epochs=0,
            lr=0.0,
            seeds=(),
            final_paths=0,
            batches=0,
            pairs=0,
            methods=(),
            truth="cifar10",
            studies=(),
            notebooks=("05",),
            common=False,
        ),
        # The contrasts that decide, on seeds at which nobody has looked before.
        replace(
            ON_CIFAR,
            name="controls",
            seeds=FRESH,
            looked=6,
            methods=PRIMARY,
            studies=("controls",),
            notebooks=("06",),
            common=False,
            beside=(
                replace(
                    ON_CIFAR,
                    name="controls-conv64",
                    space=replace(spaces.get("conv64"), channels=8, cells=1, size=16),
                    seeds=FRESH,
                    methods=NORM_ALONE,
                    ranked=None,
                    studies=("controls",),
                    on_gpu=False,
                ),
                Scale(
                    "controls-chain",
                    data="digits",
                    space=spaces.get("chain-mini"),
                    epochs=20,
                    lr=0.2,
                    seeds=tuple(range(5, 37)),  # they are cheap, and few saw no effect below .06
                    final_paths=128,
                    batches=2,
                    pairs=40,
                    methods=(*NORM_ALONE, "size-curriculum"),
                    studies=("controls",),
                ),
            ),
        ),
        # Is it the learning rate, or that PA's paths are dearer? Seeds that nobody reports choose.
        replace(
            ON_CIFAR,
            name="tuning",
            seeds=FRESH[:8],
            methods=("SPOS", "PA", "curriculum"),
            # Of the first three PA and the curriculum took the highest, so there is a fourth.
            rates=(0.05, 0.1, 0.2, 0.4),
            rate_seeds=(3, 4),
            equal_flops=31,  # PA's paths cost 1.53 times SPOS's at scale `cifar`
            studies=("tuning",),
            notebooks=("14",),
            common=False,
        ),
        # Do gains last? The methods at eight times the shortest training, all held-out images.
        # Planned, and not run yet: 80 epochs; sbs; 64 networks alone, for 10 and for 20 epochs.
        replace(
            ON_CIFAR,
            name="budget",
            seeds=FRESH[:5],  # of 20 epochs they are runs of `controls`
            methods=("SPOS", "PA", "curriculum"),
            lengths=(5, 10, 20, 40),
            larger="cifar32",
            studies=("budget",),
            notebooks=("07",),
            common=False,
        ),
        # The contrasts that decide on whole images and at the width of the paper: minutes of a GPU,
        # or a night of CPU. Planned, and not run yet: replays; 64 networks alone.
        replace(
            ON_CIFAR,
            name="cifar32",
            data="cifar10",
            space=replace(spaces.get("nasbench201"), cells=1),
            seeds=FRESH[:4],
            methods=("SPOS", "PA", "PA&DA", "curriculum"),
            left_out=("yoked PA",),
            crop=4,
            studies=("controls", "budget"),
            notebooks=("06", "07"),
            common=False,
        ),
        # The setting of the paper and its released code: supernets learn from all 50,000 images,
        # and all architectures are ranked on the test images.
        *(
            replace(
                ON_CIFAR,
                name=name,
                data=data,
                space=replace(spaces.get("nasbench201"), conv_bias=True, classes_out=classes),
                epochs=250,
                lr=0.05,
                methods=("SPOS", "PA&DA", "curriculum"),
                batch=256,
                crop=4,
                ranked=None,
                train_split="train+valid",
                rank_split="test",
                rank_batch=512,
                zero_grad=True,
                truth=data,
                needs_gpu=True,
            )
            for name, data, classes in (
                ("paper", "cifar10", 10),
                ("paper-cifar100", "cifar100", 100),
            )
        ),
    )
}
SCALES["spaces"] = across.make(SCALES["controls"])
SCALES["search"] = search.make(SCALES["controls"], SCALES["spaces"])
SCALES["rivals"] = rivals.make(SCALES["controls"], SCALES["spaces"])
SCALES["record"] = record.make(SCALES["controls"], SCALES["spaces"])
SCALES |= {each.name: each for each in record.options(SCALES["controls"])}
SCALES["retraining"] = retraining.make(ON_CIFAR, FRESH)
SCALES |= variance.make(ON_CIFAR, FRESH)


def runs(scale: Scale, number: str) -> bool:
    """Whether a scale runs the notebook of that number, such as '05'."""
    return number in scale.notebooks or (scale.common and number not in _named())


def _named() -> set[str]:
    return {number for scale in SCALES.values() for number in scale.notebooks}


def get(name: str) -> Scale:
    """The scale called `name`."""
    if name not in SCALES:
        raise ValueError(words.unknown("scale", name, SCALES))
    return SCALES[name]


__all__ = ["SCALES", "Scale", "get", "runs"]
