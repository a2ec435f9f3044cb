"""What messages share is what a reader expects: numbers with nouns, and the name that was meant."""

import pytest

from padalib import samplers, spaces
from padalib.engine import words
from padalib.study import scales


def test_a_number_has_its_noun():
    assert words.counted(1, "seed") == "1 seed"
    assert [words.counted(n, "seed") for n in (0, 2, 1000)] == ["0 seeds", "2 seeds", "1,000 seeds"]


@pytest.mark.parametrize(
    ("get", "kind", "name", "meant"),
    [
        (samplers.get, "method", "pa&da", "PA&DA"),
        (samplers.get, "method", "fair-nas", "FairNAS"),
        (spaces.get, "space", "nasbench-201", "nasbench201"),
        (spaces.get, "space", "minni", "mini"),
        (scales.get, "scale", "labtop", "laptop"),
        (scales.get, "scale", "smok", "smoke"),
    ],
)
def test_the_name_that_was_meant_is_told(get, kind, name, meant):
    with pytest.raises(ValueError) as raised:
        get(name)
    words = f"unknown {kind} {name!r}: did you mean {meant}? choose one of "
    assert str(raised.value).startswith(words)


@pytest.mark.parametrize("name", ["", "xyzzy", "maxi", None, 3])
def test_where_no_name_is_near_all_are_told(name):
    said = words.unknown("space", name, ("mini", "macro"))
    assert said == f"unknown space {name!r}: choose one of mini, macro"
