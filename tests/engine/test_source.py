"""A sampler's identity: different for different ones, the same in every process and on arrival."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cells import CLASS, DRAW, GENERIC, PAIRS, cell
from reasonable import REASONABLE

from padalib import samplers
from padalib.engine import pickling
from padalib.engine.origin import fingerprint, home
from padalib.engine.source import code_of, difference
from padalib.engine.values import NoText, Speller

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_that_differs_has_two_identities(name):
    source, old, new = PAIRS[name]
    assert source.count(old) == 1
    one, other, again = (code_of(cell(text)) for text in (source, source.replace(old, new), source))
    assert one == again != other
    assert difference(one, other) and not difference(one, again)


ELSEWHERE = """
import pickle, sys
from cells import cell
from padalib.engine.source import code_of
sent = pickle.load(open(sys.argv[1], "rb"))
found = [(code_of(cell(source)), code_of(pickle.loads(cls))) for source, cls in sent]
pickle.dump(found, open(sys.argv[2], "wb"))
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_finds_the_same_in_what_is_typed_and_in_what_arrives(tmp_path, seed):
    sources = REASONABLE | {name: source for name, (source, *_) in PAIRS.items()}
    mine = {name: cell(source) for name, source in sources.items()}
    there, back = tmp_path / "there", tmp_path / "back"
    sent = [(sources[name], pickling.dumps(mine[name])) for name in sources]
    there.write_bytes(pickle.dumps(sent))
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, there, back],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
        check=True,
    )
    found = dict(zip(sources, pickle.loads(back.read_bytes()), strict=True))
    for name, (typed, arrived) in found.items():
        code = code_of(mine[name])
        assert not difference(code, typed), name
        assert not difference(code, arrived), name


@pytest.mark.parametrize(
    "source",
    [
        "\n\n# a comment\nUNUSED = 3\n" + DRAW + "1",
        DRAW + "1  # a comment",
        DRAW + "1\nclass Other: 0",
        DRAW + "1\ndef unused(): return draw",
    ],
)
def test_what_does_not_count(source):
    assert code_of(cell(source)) == code_of(cell(DRAW + "1"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("K = object()\n" + GENERIC, r"K in Mine.draw holds a object"),
        ("import threading\nK = threading.Lock()\n" + GENERIC, "K in Mine.draw holds a lock"),
        ("K = (k for k in 'ab')\n" + GENERIC, "K in Mine.draw holds a generator"),
        ("K = [open('/dev/null')]\n" + GENERIC, "K in Mine.draw holds a TextIOWrapper"),
        (CLASS + "    k = object()", "k of Mine holds a object"),
        ("def f(k=object()): 0\n" + DRAW + "f()", "defaults of f holds a object"),
        ("K = torch.ones(2).to_sparse()\n" + GENERIC, "K in Mine.draw holds a .*sparse.* tensor"),
        ("K = []\nfor _ in range(9999): K = [K]\n" + GENERIC, "nested too deep"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_has_no_lasting_text_is_refused_by_name(source, words):
    with pytest.raises(ValueError, match=words + ".*run's identity: make it a number"):
        code_of(cell(source))


def test_samplers_of_padalib_count_by_name_unless_they_were_changed(monkeypatch):
    for cls in (samplers.FairPaths, samplers.GradNormData, samplers.Accumulate):
        assert code_of(cls) == {}
    mine = cell("class Mine(UniformPaths): 0")
    before = code_of(mine)
    changes = [
        (samplers.PathSampler, "group", 2, "group of padalib.samplers.base.PathSampler"),
        (samplers.ProductPaths, "draw", lambda *_: 1, "draw of padalib.samplers.base.ProductPaths"),
        (samplers.ProductPaths, "draw", samplers.FairPaths.draw, "draw of padalib.samplers.base"),
        (samplers.PathSampler, "count", 0, "count of padalib.samplers.base.PathSampler"),
    ]
    for owner, name, value, words in changes:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value, raising=False)
            assert words in difference(before, code_of(mine))
            assert any(words in entry for entry in code_of(samplers.UniformPaths))
    monkeypatch.setattr(samplers.balanced, "_levels", lambda space: {})
    assert "_levels of padalib.samplers.balanced" in code_of(samplers.BalancedPaths)


def test_a_function_put_into_an_installed_package_counts(monkeypatch):
    before = code_of(cell(DRAW + "torch.randperm(3)"))
    assert not any(key.startswith("randperm") for key in before)
    monkeypatch.setattr(torch, "randperm", cell("def f(n): return 1", "f"))
    assert "randperm in torch" in code_of(cell(DRAW + "torch.randperm(3)"))


def test_a_class_that_calls_itself_padalibs_is_not():
    spoof = CLASS + "    __module__ = 'padalib.samplers'\n    k = 1\n"
    assert code_of(cell(spoof)) != code_of(cell(spoof.replace("k = 1", "k = 2")))


def test_homes():
    names = ["padalib.train", "torch", "torch._C._nn", "numpy", "json", "builtins", __name__]
    assert [home(name) for name in names] == ["padalib", *["installed"] * 5, "file"]
    assert home("__main__") == home("no_such_module") == home(None) == "typed"


def test_place_and_comments_are_not_in_a_fingerprint():
    one, moved, other = (
        fingerprint(compile(text, "x", "exec"))
        for text in ("def f(): return 1", "\n\ndef f():\n    return 1  # so", "def f(): return 2")
    )
    assert one == moved != other


def test_a_difference_is_said_in_words():
    old = {"K in draw": "1", "draw": "code 0a", "file helper": "0a", "L in draw": "2"}
    new = {"K in draw": "2", "draw": "code 0b", "file helper": "0b", "M in draw": "3"}
    words = "K in draw was 1 and is 2; L in draw was 2 and is nothing; M in draw was nothing and is"
    assert difference(old, new) == words + " 3; and 2 more"
    assert difference(old, old | {"file helper": ""}) == "file helper is another"
    assert difference(old, old | {"draw": "code 1"}) == "draw is another"


def test_shared_values_are_written_once():
    value = [1]
    for _ in range(60):
        value = [value, value]  # 2^60 numbers, written out
    assert len(Speller(repr).spell(value)) < 300


def test_values_of_pandas_have_a_text():
    import pandas as pd

    frames = [pd.DataFrame({"a": [1.0, 2], "b": ["x", y]}) for y in "yyz"]
    one, same, other = (Speller(lambda t: t.__qualname__).spell(frame) for frame in frames)
    assert one == same != other


def test_memory_order_counts_where_it_lasts():
    array = np.ones((2, 3))
    texts = [Speller(repr).spell(a) for a in (array, np.asfortranarray(array), array[:, ::1])]
    assert texts[0] == texts[2] != texts[1]
    with pytest.raises(NoText, match=r"a .*tensor"):
        Speller(repr).spell(torch.ones(1, device="meta"))
