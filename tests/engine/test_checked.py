"""The one check of settings: types, bounds, what becomes the same, and the words for the rest."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pytest
import torch

from padalib import samplers, spaces
from padalib.engine import checked
from padalib.engine.checked import Count, NotNegative, Positive, Whole, Within, fit
from padalib.probes.agreement import AgreementConfig
from padalib.probes.cost import CostConfig
from padalib.probes.exact import ExactConfig
from padalib.probes.sampled import VarianceConfig
from padalib.samplers import DataSampler, PathSampler, part
from padalib.study import scales
from padalib.train import TrainConfig


class Shape(Protocol):
    def area(self) -> float: ...


@pytest.mark.parametrize(
    "given, hint, wanted",
    [
        (3, int, 3),
        (np.int8(3), int, 3),
        (-(10**30), int, -(10**30)),
        (3, float, 3.0),
        (np.int64(3), float, 3.0),
        (np.float32(0.5), float, 0.5),
        (True, bool, True),
        (np.bool_(False), bool, False),
        ("x", str, "x"),
        (np.str_("x"), str, "x"),
        (None, int | None, None),
        (0, Whole, 0),
        (0.0, NotNegative, 0.0),
        (5, Annotated[float, Within(0, 5)], 5.0),
        ([1, np.int64(2)], tuple[int, ...], (1, 2)),
        (range(3), tuple[int, ...], (0, 1, 2)),
        (np.arange(3), tuple[int, ...], (0, 1, 2)),
        ((1, "a"), tuple[int, str], (1, "a")),
        ((), tuple[str, ...], ()),
        ((1, 2), list[int], [1, 2]),
        ((1, 2), Sequence[float], (1.0, 2.0)),
        ([np.int64(1), "a"], list, [1, "a"]),
        (np.str_("a"), Literal["a", "b"], "a"),
        (2, int | tuple[int, ...] | None, 2),
        ([2], int | tuple[int, ...] | None, (2,)),
        (2.5, int | float, 2.5),
        ({"a": np.int64(1), "b": [np.float64(2)]}, Any, {"a": 1, "b": [2.0]}),
        (len, Callable[[list], int], len),
        ((1, 2), "anything", (1, 2)),
    ],
)
def test_what_fits_comes_back_plain(given, hint, wanted):
    found = fit("x", given, hint)
    assert found == wanted and type(found) is type(wanted)
    if isinstance(wanted, (list, tuple)):
        assert [type(item) for item in found] == [type(item) for item in wanted]
    if wanted is not len:
        json.dumps(found)


@pytest.mark.parametrize(
    "given, hint, words",
    [
        ("3", Count, "a whole number from 1, got '3'"),
        (3.0, int, "a whole number, got 3.0"),
        (np.float64(3), int, r"a whole number, got np.float64\(3.0\)"),
        (True, int, "a whole number, got True"),
        (np.bool_(True), int, "a whole number, got np.True_"),
        (None, int, "a whole number, got None"),
        (torch.tensor(3), int, r"a whole number, got tensor\(3\)"),
        (np.array(3), int, r"a whole number, got array\(3\)"),
        (0, Count, "a whole number from 1, got 0"),
        (9, Annotated[int, Within(2, 8)], "a whole number from 2 to 8, got 9"),
        (9, Annotated[int, Within(high=8)], "a whole number to 8, got 9"),
        (0, Positive, "a finite number above 0, got 0"),
        (math.inf, float, "a finite number, got inf"),
        (np.float32("nan"), float, "a finite number, got .*nan"),
        (10**400, float, "a finite number, got 1000"),
        (1 + 0j, float, r"a finite number, got \(1\+0j\)"),
        (False, float, "a finite number, got False"),
        ("1.5", float, "a finite number, got '1.5'"),
        (1, bool, "True or False, got 1"),
        ("no", bool, "True or False, got 'no'"),
        (b"x", str, "a text, got b'x'"),
        ("ab", tuple[str, ...], "a tuple of texts, got 'ab'"),
        ({1, 2}, tuple[int, ...], r"a tuple of whole numbers, got \{1, 2\}"),
        ((1, "a"), tuple[Count, ...], "a tuple of whole numbers from 1, got"),
        ((1, 2, 3), tuple[int, int], "a tuple of whole numbers, got"),
        (np.zeros((2, 2)), tuple[float, ...], "a tuple of finite numbers, got"),
        ("x", Literal["a"], "'a', got 'x'"),
        ("x", Literal["a", "b"], "'a' or 'b', got 'x'"),
        ("x", Literal["a", "b", "c"], "one of 'a', 'b', 'c', got 'x'"),
        (1, Literal[True, False], "True or False, got 1"),
        (0, Whole | tuple[str, ...] | None, None),
        (-1, Whole | tuple[str, ...] | None, "a whole number from 0, a tuple of texts or None"),
        ("x", TrainConfig, "a TrainConfig, got 'x'"),
        ("x", AgreementConfig | None, "an AgreementConfig or None, got 'x'"),
        (5, Callable[[], int], "a Callable, got 5"),
        (5, dict[str, int], "a dict, got 5"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(given, hint, words):
    if words is None:
        assert fit("x", given, hint) == given
        return
    with pytest.raises(ValueError, match=f"^x must be {words}"):
        fit("x", given, hint)


def test_a_long_value_is_shortened():
    with pytest.raises(ValueError, match="got") as error:
        fit("x", ["y" * 10_000] * 10_000, int)
    assert len(str(error.value)) < 700


def test_what_an_annotation_says_that_no_value_is_an_instance_of_is_not_checked():
    for hint in (Shape, "no type", None, Any):
        assert fit("x", 5, hint) == 5


@dataclass(frozen=True)
class Base:
    size: Count
    rate: Positive = 0.5

    def __post_init__(self):
        checked.check(self)


@dataclass(frozen=True)
class Below(Base):
    names: tuple[str, ...] = ()


def test_fields_of_a_dataclass_and_of_its_base_are_fitted():
    found = Below(np.int64(3), 1, ["a"])
    assert found == Below(3, 1.0, ("a",)) and type(found.size) is int and type(found.rate) is float
    for fields, name in (({"size": 0}, "size"), ({"size": 1, "names": "a"}, "names")):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            Below(**fields)
    with pytest.raises(ValueError, match="rate must be"):
        replace(found, rate=-1)


# --- every config ---

TRAIN = TrainConfig(data="digits-small", epochs=2)
CONFIGS = {
    "train": TRAIN,
    "variance": VarianceConfig(TRAIN),
    "exact": ExactConfig(TRAIN),
    "agreement": AgreementConfig(TRAIN),
    "cost": CostConfig(TRAIN),
    "space": spaces.get("mini"),
    "scale": scales.get("smoke"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_and_switch_of_every_config_is_checked(name):
    config, count = CONFIGS[name], 0
    for field, value in vars(config).items():
        if type(value) not in (bool, int, float) or field == "device":
            continue
        wrong = {bool: (1, "no"), int: ("3", 2.0, True), float: ("0.1", math.inf, math.nan, True)}
        for other in wrong[type(value)]:
            with pytest.raises(ValueError, match=rf"^{field} must be .*, got "):
                replace(config, **{field: other})
        plain = replace(config, **{field: value})
        assert replace(config, **{field: np.array([value])[0]}) == plain == config
        count += 1
    assert count >= 2


@pytest.mark.parametrize(
    "name, fields",
    [
        ("exact", {"images": 1}), ("exact", {"coupled": -1}), ("agreement", {"images": 1}),
        ("agreement", {"seeds": 0}), ("agreement", {"batches": 1}), ("agreement", {"paths": 2}),
        ("agreement", {"error": 0}), ("agreement", {"batch": 0}), ("cost", {"pairs": 0}),
        ("cost", {"paths": 0}), ("space", {"nodes": 1}), ("space", {"channels": 0}),
        ("space", {"ops": "none"}), ("scale", {"seeds": 3}), ("scale", {"keep": (1.5,)}),
    ],
)  # fmt: skip
def test_bounds_of_the_configs(name, fields):
    with pytest.raises(ValueError, match=f"^{next(iter(fields))} must be"):
        replace(CONFIGS[name], **fields)


@pytest.mark.parametrize("kind", [ExactConfig, AgreementConfig])
def test_a_population_of_more_images_than_there_are_is_refused_before_training(kind):
    config = kind(TRAIN, images=513)
    with pytest.raises(ValueError, match=r"of digits-small/train must be .* to 512, got 513"):
        config.check()
    kind(TRAIN, images=512).check()


@pytest.mark.parametrize("kind", [ExactConfig, AgreementConfig])
def test_what_has_no_population_is_refused(kind):
    with pytest.raises(ValueError, match="is one architecture: it has no paths to draw"):
        kind(replace(TRAIN, arch=(3, 3, 3)))
    with pytest.raises(ValueError, match="mini shares operations between edges"):
        kind(replace(TRAIN, space=replace(spaces.get("mini"), extent=3)))
    with pytest.raises(ValueError, match="is one architecture: it has no paths to time"):
        CostConfig(replace(TRAIN, arch=(3, 3, 3)))


# --- options of samplers ---


class Mine(DataSampler):
    def __init__(
        self,
        n,
        epochs,
        heat: float = 1.0,
        kind: Literal["hot", "cold"] = "hot",
        on: bool = False,
        free=None,
        steps: Annotated[int, Within(1, 5)] = 1,
    ) -> None:
        super().__init__(n, epochs)


class Bare(PathSampler):
    pass


@pytest.mark.parametrize(
    "options, words",
    [
        ({"heat": "1"}, "heat must be a finite number, got '1'"),
        ({"kind": "warm"}, "kind must be 'hot' or 'cold', got 'warm'"),
        ({"on": "false"}, "on must be True or False, got 'false'"),
        ({"steps": 6}, "steps must be a whole number from 1 to 5, got 6"),
    ],
)
def test_options_of_ones_own_sampler_are_checked_by_its_annotations(options, words):
    with pytest.raises(ValueError, match=words):
        part(Mine, **options)
    with pytest.raises(ValueError, match=words):
        samplers.compose("mine", data=Mine, **options)


def test_options_that_mean_the_same_are_the_same_part():
    one = part(Mine, heat=2, steps=np.int64(3), on=np.bool_(True), free=np.int64(7))
    two = part(Mine, heat=2.0, steps=3, on=True, free=7)
    assert one == two and hash(one) == hash(two)
    assert json.dumps(one.describe()) == json.dumps(two.describe())
    with pytest.raises(ValueError, match="options of Mine must be numbers, strings"):
        part(Mine, free=torch.zeros(2))


def test_options_that_a_class_does_not_take_are_left_to_its_call():
    assert checked.options(Bare, {"every": np.int64(3)}) == {"every": 3}
    assert checked.options(object, {"every": 3}) == {"every": 3}
    with pytest.raises(ValueError, match=r"options of Bare: .*'every'"):
        part(Bare, every=3).build(spaces.get("mini"), 2)


@pytest.mark.parametrize("hint", ["Nowhere", "no type", "np.nothing", 5])
def test_an_annotation_that_names_nothing_is_no_error(hint):
    def init(self, n, epochs, heat=1) -> None: ...

    init.__annotations__["heat"] = hint
    cls = type("Odd", (), {"__init__": init})
    assert checked.options(cls, {"heat": np.float64(2)}) == {"heat": 2.0}


def test_single_precision_is_that_in_every_process():
    import padalib.train  # noqa: F401

    assert torch.backends.cudnn.allow_tf32 is False
