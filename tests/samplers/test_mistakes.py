"""Mistakes in parts of a method of one's own: a sentence says where, and what to do."""

import pytest
import torch

from padalib.engine.runs import Run
from padalib.samplers import (
    DataSampler,
    Shuffled,
    compose,
    part,
)
from padalib.train import TrainConfig

SMALL = {"data": "digits-small", "epochs": 1, "batch": 128}


def trained(**parts):
    """The curves of a run of a method of these parts."""
    return Run(TrainConfig(compose("mine", **parts), **SMALL)).compute().table("curves")


# --- images ---


class Given(DataSampler):
    """Returns what it is told to."""

    def __init__(self, n, epochs, kind="int64"):
        super().__init__(n, epochs)
        self.kind = kind

    def refill(self, generator):
        order = torch.randperm(self.n, generator=generator)
        return {
            "mask": order < 100,
            "float": order.float(),
            "column": order[:, None],
            "list": order.tolist(),
            "array": order.numpy(),
            "below": order - 1,
            "from 1": order + 1,
            "one number": order[0],
            "none": order[:0],
        }.get(self.kind, order.to(getattr(torch, self.kind, torch.int64)))


@pytest.mark.parametrize(
    "kind, got",
    [
        ("mask", r"got torch.bool of shape \(512,\): .*`mask.nonzero\(\)\[:, 0\]`"),
        ("float", r"got torch.float32 of shape \(512,\)"),
        ("column", r"got torch.int64 of shape \(512, 1\)"),
        ("one number", r"got torch.int64 of shape \(\)"),
        ("list", "got an object of type list"),
        ("array", "got an object of type ndarray"),
        ("below", "got numbers from -1 to 510"),
        ("from 1", "got numbers from 1 to 512"),
    ],
)
def test_what_refill_returns_must_be_indices(kind, got):
    with pytest.raises(
        ValueError, match=f"refill of Given must .* whole numbers from 0 to 511, {got}"
    ):
        trained(data=part(Given, kind=kind))


def test_a_sampler_that_returns_no_image_says_so():
    with pytest.raises(ValueError, match="refill of Given returned no index"):
        trained(data=part(Given, kind="none"))


@pytest.mark.parametrize("kind", ["int32", "int16", "int64"])
def test_whole_numbers_of_any_kind_are_indices(kind):
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    drawn = [
        s.draw(64, g)
        for s, g in zip((Given(512, 1, kind), Shuffled(512, 1)), generators, strict=True)
    ]
    assert drawn[0].dtype == torch.int64 and torch.equal(*drawn)
