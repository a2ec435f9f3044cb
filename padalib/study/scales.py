"""The scales of the study, by name."""

from dataclasses import replace

from padalib import spaces
from padalib.study.scale import METHODS, Scale

CONTROLS = ("FairNAS per epoch", "PA&DA weighted", "size-curriculum", "balanced")

# Seen from NAS-Bench-201's own network, an image of 16x16 at half the width and a fifth the depth.
SMALL_201 = replace(spaces.get("nasbench201"), channels=8, cells=1, size=16)

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
            images=128,
            pairs=5,
            extents=(1, 3),
            candidates=(1, 2, 5),
            sharing_epochs=2,
            sharing_keep=(1,),
            exact=("PA&DA",),
            exact_epochs=(1, 2),
            exact_images=16,
            agreement_seeds=2,
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
        ),
        # The benchmark's space and accuracies on real images, small enough for hours of CPU.
        Scale(
            "cifar",
            data="cifar10-16",
            space=SMALL_201,
            epochs=20,
            lr=0.1,
            seeds=(0, 1, 2, 3, 4),
            final_paths=128,
            batches=2,
            pairs=40,
            methods=(*METHODS, *CONTROLS),
            extents=(1, 2, 3, 6),
            candidates=(1, 2, 3, 4, 5),
            sharing_epochs=5,
            sharing_keep=(1, 2),
            crop=2,
            flip=True,
            ranked=1000,
            rank_images=1000,
            whole=("SPOS", "PA&DA", "size-curriculum"),
            alone=64,
            truth="cifar10",
            on_gpu=True,
        ),
        # The setting of the paper and its released code: supernets learn from all 50,000 images,
        # and all architectures are ranked on the test images.
        *(
            Scale(
                name,
                data=data,
                space=replace(spaces.get("nasbench201"), conv_bias=True, classes_out=classes),
                epochs=250,
                lr=0.05,
                seeds=(0, 1, 2),
                final_paths=128,
                batches=2,
                pairs=40,
                methods=("SPOS", "PA&DA", "curriculum"),
                batch=256,
                crop=4,
                flip=True,
                train_split="train+valid",
                rank_split="test",
                rank_batch=512,
                zero_grad=True,
                truth=data,
                on_gpu=True,
                needs_gpu=True,
            )
            for name, data, classes in (
                ("paper", "cifar10", 10),
                ("paper-cifar100", "cifar100", 100),
            )
        ),
    )
}


def get(name: str) -> Scale:
    """The scale called `name`."""
    if name not in SCALES:
        raise ValueError(f"unknown scale {name!r}: choose one of {', '.join(SCALES)}")
    return SCALES[name]
