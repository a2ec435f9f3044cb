"""What a grid is given: configs, several of them; anything else is answered by a sentence."""

import pytest

from padalib.engine import launch
from padalib.ranking.scores import ScoreConfig
from padalib.train import TrainConfig

CONFIG = TrainConfig("SPOS", space="mini", data="digits-small", epochs=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ScoreConfig(CONFIG), "got one, scores of SPOS mini seed 0: pass \\[config\\]"),
        (["SPOS"], r"such as TrainConfig\(method='SPOS'\), got 'SPOS'"),
        ([CONFIG, 3], r"such as TrainConfig\(\), got 3"),
    ],
)
def test_what_is_no_list_of_configs(given, said):
    with pytest.raises(ValueError, match=said):
        launch.grid(given)


def test_none_are_none():
    assert launch.grid([]) == []
