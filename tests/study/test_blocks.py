"""What methods and seeds leave of a measure, on cases worked by hand."""

import numpy as np
import pytest

from padalib.study import blocks


def test_what_method_and_seed_leave_by_hand():
    """Of [[1, 2], [3, 6]]: mean 3, methods +-1.5, seeds +-1; +-.5 is left, with one degree."""
    found = blocks.left([1.0, 2.0, 3.0, 6.0], ["a", "a", "b", "b"], [0, 1, 0, 1])
    assert found.values == pytest.approx([0.5, -0.5, -0.5, 0.5]) and found.freedom == 1
    lacking = blocks.left([1.0, 2.0, 3.0], ["a", "a", "b"], [0, 1, 0])
    assert lacking.freedom == 0


def test_what_is_additive_leaves_nothing_and_several_measures_go_together():
    method, seed = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    noise = np.random.default_rng(0).normal(size=12)
    exact = 2.0 * method + np.array([0.0, 5.0, -3.0])[seed]
    found = blocks.left(np.stack([exact, exact + noise, noise], axis=1), method, seed)
    assert np.abs(found.values[:, 0]).max() < 1e-12 and found.freedom == 3 * 2
    assert found.values[:, 1] == pytest.approx(found.values[:, 2])
    table = noise.reshape(4, 3)  # the slow twin: means of rows and columns taken out
    slow = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    assert found.values[:, 2] == pytest.approx(slow.ravel())
