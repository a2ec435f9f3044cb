"""What a search is given: a space by its name, and scores that are numbers."""

import pytest

from padalib import spaces
from padalib.ranking import search
from padalib.ranking.counted import Counted, Limits

MINI = spaces.get("mini")


def test_a_space_may_be_given_by_name():
    most = {"params": MINI.params((1, 3, 1))}
    limits = Limits("mini", most)
    assert limits((1, 3, 1)) and not limits((3, 3, 3))
    named = search.random(Counted("mini", lambda arch, share: sum(arch), 12, limits))
    whole = search.random(Counted(MINI, lambda arch, share: sum(arch), 12, Limits(MINI, most)))
    assert len(named) == 12 and named.equals(whole)
    for make in (lambda: Limits("minni", most), lambda: Counted("minni", max, 3)):
        with pytest.raises(ValueError, match=r"unknown space 'minni': did you mean mini\? choose"):
            make()


@pytest.mark.parametrize("score", [None, "good", float("nan"), (1.0, 2.0)])
def test_a_score_that_is_no_number_is_named_with_its_architecture(score):
    with pytest.raises(ValueError, match=r"the score of \d-\d-\d is .*: nothing can be found by"):
        search.random(Counted(MINI, lambda arch, share: score, 3))
