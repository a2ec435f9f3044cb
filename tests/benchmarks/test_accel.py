"""Accel-NASBench: the layout behind its numbers, what is refused, and what ranks its networks."""

import gzip
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from padalib.benchmarks import accel
from padalib.benchmarks.pickles import TableError
from padalib.ranking import metrics

SMALL = "1310-1310-1310-1310-1310-1310-1310"


@pytest.fixture
def path(real):
    return real(accel.FILE)


def test_costs_by_hand():
    # stem, one layer a stage without expansion, last convolution, linear layer
    norms = [32, *(n for c, d in pairwise((32, *accel.WIDTHS)) for n in (c, d)), 1280]
    convs = [27 * 32, *(9 * c + c * d for c, d in pairwise((32, *accel.WIDTHS))), 320 * 1280]
    weights, macs = accel.costs(SMALL)
    assert weights == sum(convs) + 2 * sum(norms) + 1280 * 1000 + 1000
    more, other = accel.costs("1311" + SMALL[4:])
    assert more - weights == 2 * 32 * 8 + 8 + 32
    assert other - macs == 2 * 32 * 8 + 32 * 112**2 + 32
    wide, other = accel.costs("4310" + SMALL[4:])
    assert wide - weights == 32 * 128 + 256 + 96 * (9 + 2 + 16)
    assert other - macs == (32 * 128 + 4 * 128 + 96 * (9 + 4 + 16)) * 112**2


def test_every_row_has_the_costs_of_its_architecture(path):
    table = accel.load(path)
    assert len(table) == 5138
    found = np.array([accel.costs(arch) for arch in table.arch])
    assert (table[["params", "macs"]].to_numpy() == found).all()


def test_what_is_known_of_the_table(path):
    table = accel.load(path)
    plain = table.arch.str.split("-").map(lambda own: all(stage[3] == "0" for stage in own))
    assert plain.sum() == 1823
    twice = table.groupby("arch").top1.agg(["size", "max", "min"]).query("size > 1")
    differ = sorted((twice["max"] - twice["min"]).round(2))
    assert len(twice) == 13 and differ[0] == 0.01 and differ[-2:] == [0.31, 1.28]


def test_predictors_without_training(path):
    table = accel.load(path)
    card = accel.card(accel.untrained(table), table)
    tau = card[card.measure == "tau"].set_index("predictor")
    assert round(tau.value["parameters"], 3) == 0.621
    assert round(tau.value["multiply-adds"], 3) == 0.441
    assert tau.value["parameters"] == pytest.approx(metrics.tau(table.params, table.top1))
    # an interval by resampling, of part of the table
    part = table.sample(400, random_state=0)
    own = accel.card(accel.untrained(part), part).iloc[0]
    low, high = metrics.bootstrap(metrics.tau, part.params, part.top1)
    assert (own.low, own.high) == pytest.approx((low, high), abs=0.015)


def test_a_perfect_and_a_reversed_predictor_on_made_up_rows():
    table = pd.DataFrame({"arch": [f"{k}" for k in range(30)], "top1": np.arange(30.0)})
    card = accel.card(pd.DataFrame({"best": table.top1, "worst": -table.top1}), table)
    assert list(card.value) == [1, 1, -1, -1] and list(card.low) == [1, 1, -1, -1]
    with pytest.raises(ValueError, match="with the table's index"):
        accel.card(pd.DataFrame({"some": [1.0, 2.0]}), table)
    with pytest.raises(ValueError, match="scores by holes are not all finite"):
        accel.card(pd.DataFrame({"holes": table.top1.where(table.top1 > 3)}), table)


def test_a_missing_file_says_where_it_comes_from(data_root):
    with pytest.raises(FileNotFoundError, match="afzalxo/Accel-NASBench"):
        accel.load()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.iloc[:-1], "it has 5,137 rows of 5,138"),
        (lambda t: t.replace({"arch": {t.arch[5]: "9310-" + t.arch[5][5:]}}), "no architectures"),
        (lambda t: t.replace({"arch": {t.arch[5]: t.arch[5][5:]}}), "no architectures"),
        (lambda t: t.assign(params=t.params.where(t.index != 7, 1)), "1 rows have other params"),
        (lambda t: t.assign(macs=t.macs + 1), "5138 rows have other macs"),
        (lambda t: t.assign(top1=t.top1.where(t.index != 7, t.top1[7] + 2)), "not the published"),
        (lambda t: t.assign(top1=t.top1 / 100, top5=t.top5 / 100), "not the published"),
        (lambda t: t.assign(top5=0.0), "top-5 is no less"),
        (lambda t: t.assign(throughput_a100=-1.0), "measurements on devices must be above 0"),
        (lambda t: t.assign(top1=t.top1.astype(str).where(t.index != 3, "inf")), "row 5"),
        (lambda t: t.assign(macs="many"), "'macs' holds 5138 cells"),
        (lambda t: t.drop(columns="top5"), "lacks the columns top5"),
    ],
)
def test_what_is_refused(path, tmp_path, edit, words):
    file = tmp_path / "changed.csv"
    edit(pd.read_csv(path, dtype={"arch": str})).to_csv(file, index=False)
    with pytest.raises(TableError, match=words):
        accel.load(file)


def test_a_truncated_file_is_refused(path, tmp_path):
    file = tmp_path / accel.FILE
    file.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(TableError, match="is damaged"):
        accel.load(file)
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    file.write_bytes(content)
    with pytest.raises(TableError, match=r"is damaged|lacks the columns|cells that are no finite"):
        accel.load(file)
    plain = tmp_path / "plain.csv"
    plain.write_bytes(gzip.decompress(path.read_bytes())[:-3])
    with pytest.raises(TableError, match=r"the last line of .* is cut off"):
        accel.load(plain)
