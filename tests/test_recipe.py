"""A tiny run whose numbers are pinned: it notices when a change alters what runs compute.

The numbers of a run depend on config and code. The config is in the run's key; of the code there is
only `padalib.RECIPE`, which must be raised when the numbers change, or old runs pass for new ones.

The tolerances lie between two measurements. Another way to compute the same, which is what another
CPU is (one or two threads, oneDNN off or held to SSE4.1 or AVX2, torch's own kernels without
vectors), moved the losses by up to 3e-5 of their value, the scores by 9e-5, p by 2e-4, q by 5e-7,
the gradient's norm by 2e-3 and its variance by 2e-2. Changes of the recipe (Nesterov's momentum,
no weight decay on biases, cosine by step, pooling that counts its padding, a head that starts at
zero, another option of PA or DA) moved one of them by at least twice the tolerance.
"""

import pytest

import padalib
from padalib import data
from padalib.engine.runs import Run
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.train import TrainConfig

RECIPE = 3  # the version whose numbers these are
FINGERPRINT = "70a5234b0a43de8f6ecde5d81f4642f542a456179981406af43046a1816a49bf"
TOLERANCES = {
    "loss": 1e-4,
    "grad_norm": 1e-2,
    "p_nor_conv_3x3": 1e-3,
    "q_effective": 1e-4,
    "score": 4e-4,
    "variance": 5e-2,
}
PINNED = {
    ("alone", "grad_norm"): [0.4250357, 0.3628331],
    ("alone", "loss"): [2.313565, 2.287524],
    ("alone", "score"): [2.309801, 2.309801],
    ("supernet", "grad_norm"): [0.2656219, 0.4450122, 0.488639],
    ("supernet", "loss"): [2.306871, 2.290029, 2.298062],
    ("supernet", "p_nor_conv_3x3"): [0.2, 0.3515154, 0.5739014],
    ("supernet", "q_effective"): [1, 0.9379323, 0.7837582],
    ("supernet", "score"): [2.313981, 2.31958],
    ("supernet", "variance"): [0.2105621, 0.4024975],
}

# Few steps, because differences in the last bits grow from step to step; weight decay and clipping
# strong enough to be felt in them. Every value is named, because a default is part of the key.
FIELDS = {
    "seed": 0,
    "space": "mini",
    "data": "digits-small",
    "batch": 128,
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.05,
    "clip": 0.3,
    "crop": 1,
    "flip": False,
}
SUPERNET = TrainConfig("PA&DA", epochs=3, bn="batch", **FIELDS)
ALONE = TrainConfig(arch=(3, 2, 1), epochs=2, bn="running", **FIELDS)


def measure():
    """(run, quantity) -> numbers."""
    found = {}
    for name, config in (("supernet", SUPERNET), ("alone", ALONE)):
        scores = Run(ScoreConfig(config, images=128, batch=128)).compute().table("scores")
        curves = Run(config).table("curves")
        for column in TOLERANCES.keys() & set(curves):
            found[name, column] = curves[column].tolist()
        found[name, "score"] = [float(scores.loss.mean()), *scores.loss.tolist()[-1:]]
    variance = Run(VarianceConfig(SUPERNET, paths=3, batches=2)).compute().table("variance")
    found["supernet", "variance"] = variance.total[variance.part == "all"].tolist()
    return found


def test_numbers_are_those_of_the_recipe():
    found = measure()
    off = [
        f"  {key}: pinned {PINNED.get(key)}, found {numbers}"
        for key, numbers in found.items()
        if numbers != pytest.approx(PINNED.get(key, []), rel=TOLERANCES[key[1]])
    ]
    shown = ",\n    ".join(
        f"{key}: [{', '.join(f'{number:.7g}' for number in numbers)}]"
        for key, numbers in sorted(found.items())
    ).replace("'", '"')
    assert not off, (
        "what a run computes has changed:\n" + "\n".join(off) + "\nIf that was meant, raise "
        "padalib.RECIPE (so that runs made before are not taken for new ones), and pin here:\n"
        f"PINNED = {{\n    {shown},\n}}"
    )


def test_pins_are_of_this_recipe():
    assert padalib.RECIPE == RECIPE, "padalib.RECIPE was raised: pin it and its numbers here"


def test_images_are_those_of_the_recipe():
    assert data.fingerprint("digits-small") == FINGERPRINT, (
        "the images of digits-small have changed. Every run has their hash in its key, so nothing "
        "old is taken for new; if the change was meant, pin the new fingerprint here, and the "
        "numbers above"
    )
