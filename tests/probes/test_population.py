"""Sampling distributions: variance against all outcomes, each optimum against its whole family."""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.optimize import minimize

from padalib import spaces
from padalib.probes.population import Population, factors, normal, path_product, perturbed, search

A, N, OPS = 9, 3, 3  # paths, images, operations
ARCHS = np.array(list(product(range(OPS), repeat=2)))  # of two edges
SHARED, EACH = [[0, 1, 2], [0, 1, 2]], [[0, 1, 2], [3, 4, 5]]  # probabilities of their options
EVEN = np.full(N, 1 / N)


def chances(seed, *shape):
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])


def gradients(seed=0, a=A):
    """Gradients [A, n, P] of a common mean, differences between paths, and uneven noise."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.normal(size=(a, 1, 1)) + 0.5 * rng.normal(size=(a, N, 1)))
    return 0.5 + rng.normal(size=(a, 1, 5)) + sizes * rng.normal(size=(a, N, 5))


def population(g, u=None):
    u = np.full(len(g), 1 / len(g)) if u is None else u
    means = g.mean(1)
    return Population((g**2).sum(2), (means**2).sum(1), ((u @ means) ** 2).sum(), u)


def some(seed):
    """A population whose target weights its paths unevenly."""
    return population(gradients(seed), chances(seed, A))


# --- the variance ---


def by_enumeration(g, u, p, q, b):
    """Mean of the weighted steps of every path and batch, and their variance, whole and parts."""
    q, n, drawn = np.broadcast_to(q, g.shape[:2]), g.shape[1], []
    for path in np.flatnonzero(p):
        for images in map(list, product(np.flatnonzero(q[path]), repeat=b)):
            weights = u[path] / p[path] / (n * q[path, images])
            step = (weights[:, None] * g[path, images]).mean(0)
            drawn.append((path, p[path] * q[path, images].prod(), step))
    paths, mass, steps = (np.array(column) for column in zip(*drawn, strict=True))
    assert mass.sum() == pytest.approx(1, abs=1e-12)
    mean = mass @ steps
    found = {"total": mass @ ((steps - mean) ** 2).sum(1), "path": 0.0, "data": 0.0}
    for own in (paths == path for path in set(paths.tolist())):
        centre = mass[own] @ steps[own] / mass[own].sum()
        found["path"] += mass[own].sum() * ((centre - mean) ** 2).sum()
        found["data"] += mass[own] @ ((steps[own] - centre) ** 2).sum(1)
    return mean, found


@pytest.mark.parametrize("shape", [(N,), (4, N)], ids=["q", "q of each path"])
@pytest.mark.parametrize("b", [1, 2, 3])
def test_variance_is_that_of_all_steps_that_can_be_drawn(b, shape):
    for seed in range(4):
        g, u, p, q = gradients(seed, 4), chances(seed, 4), chances(seed + 9, 4), chances(3, *shape)
        mean, wanted = by_enumeration(g, u, p, q, b)
        np.testing.assert_allclose(mean, u @ g.mean(1), atol=1e-12)  # unbiased
        assert population(g, u).variance(p, q, b) == pytest.approx(wanted, rel=1e-9)
        assert min(wanted.values()) > 0


def test_small_case_by_hand():
    # Paths of gradients (1, 3) and (4, 8), drawn 3:1: steps are 2/3 of the first's, 2/3 and 2,
    # and twice the second's, 8 and 16. The mean of all is 4.
    known, p, q = population(np.array([[[1.0], [3]], [[4], [8]]])), np.array([3, 1]) / 4, EVEN[:2]
    path, data = 0.75 * (4 / 3 - 4) ** 2 + 0.25 * 8**2, 0.75 * (2 / 3) ** 2 + 0.25 * 4**2
    found = [known.variance(p, 1.5 * q, b) for b in (1, 2)]
    assert found[0] == pytest.approx({"total": path + data, "path": path, "data": data})
    assert found[1] == pytest.approx({"total": path + data / 2, "path": path, "data": data / 2})


def test_what_is_never_drawn_costs_nothing_only_where_it_has_no_gradient():
    g, u, p, q = gradients(a=4), chances(0, 4), chances(1, 4), chances(2, 4, N)
    no_pair = q.copy()
    no_pair[2] = normal(q[2] * [0, 1, 1])
    for where, given in (
        (np.s_[1], (normal(p * [1, 0, 1, 1]), q)),
        (np.s_[:, 2], (p, normal(q[0] * [1, 1, 0]))),
        (np.s_[2, 0], (p, no_pair)),
    ):
        for b in (1, 2):
            assert population(g, u).variance(*given, b)["total"] == np.inf
            silent = g.copy()
            silent[where] = 0
            mean, wanted = by_enumeration(silent, u, *given, b)
            np.testing.assert_allclose(mean, u @ silent.mean(1), atol=1e-12)
            assert population(silent, u).variance(*given, b) == pytest.approx(wanted)
    opposed = population(np.array([[[1.0], [-1]], [[1], [2]]]))  # path 0: noise of mean zero
    found = opposed.variance(np.array([0.0, 1]), EVEN[:2] * 1.5)
    assert found["data"] == found["total"] == np.inf and np.isfinite(found["path"])
    rounded = Population(np.ones((2, 3)), np.full(2, 1 + 1e-9), 1.0, np.full(2, 0.5))
    assert (
        rounded.variance(rounded.u, EVEN)["data"] == 0
        and (rounded.moments(EVEN, 2) == rounded.means).all()
    )
    nothing = population(np.zeros((A, N, 5)))
    assert nothing.variance(*nothing.best()) == {"total": 0, "path": 0, "data": 0}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_refused(bad):
    g = gradients()
    g[4, 2], g[7, 1] = bad, bad
    words = "2 of 27 gradients are not finite, the first that of path 4 and image 2: probe an epoch"
    with pytest.raises(ValueError, match=words):
        population(g)
    for means, target in ((np.full(2, bad), 1.0), (np.ones(2), bad)):
        with pytest.raises(ValueError, match="means of the gradients are not finite"):
            Population(np.ones((2, 3)), means, target, np.full(2, 0.5))


def test_a_path_that_the_target_leaves_out_costs_nothing_however_it_is_drawn():
    g, p, q = gradients(a=4), chances(1, 4), chances(2, 4, N)
    u = normal(chances(0, 4) * [1, 1, 0, 1])
    q[2] = [0, 0, 1]
    for drawn in (p, normal(p * [1, 1, 0, 1])):
        found = population(g, u).variance(drawn, q, 2)
        kept = population(g[[0, 1, 3]], u[[0, 1, 3]])
        others = kept.variance(drawn[[0, 1, 3]], q[[0, 1, 3]], 2)
        assert found == pytest.approx(others) and np.isfinite(found["total"])


# --- the best of each family ---


FAMILIES = ("all", "product", "paths", "paths, given q", "images", "images, given p", "edge",
            "operation")  # fmt: skip


def soft(logits):
    return normal(np.exp(logits - logits.max(-1, keepdims=True)))


def families(known, b):
    """Name -> number of logits, the member of the family that they stand for, its best member."""
    u, p, q = known.u, chances(5, A), chances(6, A, N)
    shared, each = (known.best_operations(ARCHS, at, b) for at in (SHARED, EACH))
    codes = ARCHS[:, 0], ARCHS[:, 1]
    return {
        "all": (A + A * N, lambda z: (soft(z[:A]), soft(z[A:].reshape(A, N))), known.best(b)),
        "product": (A + N, lambda z: (soft(z[:A]), soft(z[A:])), known.best_product(b)),
        "paths": (A, lambda z: (soft(z), EVEN), (known.best_paths(b), EVEN)),
        "paths, given q": (A, lambda z: (soft(z), q), (known.best_paths(b, q), q)),
        "images": (N, lambda z: (u, soft(z)), (u, known.best_images())),
        "images, given p": (N, lambda z: (p, soft(z)), (p, known.best_images(p))),
        "edge": (6, lambda z: (np.outer(soft(z[:3]), soft(z[3:]))[codes], EVEN), (each, EVEN)),
        "operation": (3, lambda z: (np.outer(soft(z), soft(z))[codes], EVEN), (shared, EVEN)),
    }


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("b", [1, 7])
def test_the_best_of_a_family_is_beaten_by_no_member(name, b):
    for seed in range(3):
        known, rng = some(seed), np.random.default_rng(seed)
        size, member, best = families(known, b)[name]

        def value(z, known=known, member=member):
            return known.variance(*member(z), b)["total"]

        least = known.variance(*best, b)["total"]
        assert all(part.sum(-1) == pytest.approx(1) for part in best)
        for width in np.repeat([0.01, 0.1, 1, 3], 40):  # random members, from uniform to far
            assert value(width * rng.normal(size=size)) > least * (1 - 1e-9)
        z = minimize(value, rng.normal(size=size), method="BFGS").x
        assert value(z) == pytest.approx(least, rel=1e-6)
        for part, wanted in zip(best, member(z), strict=True):
            np.testing.assert_allclose(part, wanted, atol=1e-3)


@pytest.mark.parametrize("b", [1, 5])
@pytest.mark.parametrize("seed", range(5))
def test_the_larger_the_family_the_less_variance(seed, b):
    known = population(gradients(seed))  # uniform paths: a product of operations, too
    found = {name: known.variance(*best, b)["total"] for name, (*_, best) in
             families(known, b).items()}  # fmt: skip
    found["uniform"] = known.variance(known.u, EVEN, b)["total"]
    for chain in ("all product paths edge operation uniform", "product images uniform"):
        assert all(found[less] < found[more] for less, more in pairwise(chain.split())), found


@pytest.mark.parametrize("seed", range(2))
def test_the_joint_optimum_in_closed_form_by_search_and_among_perturbations(seed, monkeypatch):
    norms, known = np.linalg.norm(gradients(seed), axis=2), some(seed)
    p, q = known.best()
    least = known.variance(p, q)["total"]
    assert least == pytest.approx((known.u @ norms.mean(1)) ** 2 - known.target)
    wanted = normal((known.u[:, None] * norms).ravel()).reshape(A, N)
    np.testing.assert_allclose(p[:, None] * q, wanted)
    found = search(known, seed)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert known.variance(*factors(found))["total"] == pytest.approx(least, rel=1e-8)
    near = perturbed(known, 300)
    assert least <= near < least * 1.001 and near != perturbed(known, 300, seed=1)
    monkeypatch.setattr(Population, "best", lambda self: (self.u, chances(0, A, N)))
    assert perturbed(known, 300) < known.variance(*known.best())["total"]  # it finds what is better


@pytest.mark.parametrize("at", [SHARED, EACH])
def test_an_operation_without_any_gradient_is_given_up(at):
    kept, g = (ARCHS != 1).all(1), gradients()
    g[~kept] = 0
    known = population(g)
    few = Population(known.squares[kept], known.means[kept], known.target, known.u[kept])
    p = known.best_operations(ARCHS, at)
    wanted = few.best_operations(ARCHS[kept] // 2, [[own[0], own[2]] for own in at])
    assert p[~kept].sum() < 1e-5
    np.testing.assert_allclose(p[kept], wanted, atol=1e-5)


# --- small parts ---


def test_products_of_operations_sum_to_one_over_a_space():
    space = spaces.get("mini")
    p = chances(0, len(space.edges), len(space.ops))
    found = path_product(p, np.array(list(space)))
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, [p[0, a] * p[1, b] * p[2, c] for a, b, c in space])


def test_rows_of_weights_become_probabilities():
    found = normal(np.array([[1.0, 3], [0, 0], [0, 2]]))
    assert found.tolist() == [[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]]
    assert normal(np.zeros(4)).tolist() == [0.25] * 4
    pi = chances(0, 12).reshape(4, 3)
    p, q = factors(pi)
    np.testing.assert_allclose(p[:, None] * q, pi)


def test_the_best_images_are_those_of_the_paths_that_are_drawn():
    # Gradient norms (1, 2), (3, 1), (5, 7); the third path is never drawn: u^2 norm^2 / p adds up
    # to 1/9 (2 * 1 + 2 * 9) and 1/9 (2 * 4 + 2 * 1), so q goes as sqrt(20) to sqrt(10).
    squares = np.array([[1.0, 4], [9, 1], [25, 49]])
    known = Population(squares, squares.mean(1), 0.0, np.full(3, 1 / 3))
    found = known.best_images(np.array([0.5, 0.5, 0]))
    np.testing.assert_allclose(found, normal(np.sqrt([20, 10])))
    kept = Population(squares[:2], squares.mean(1)[:2], 0.0, np.full(2, 1 / 2))
    np.testing.assert_allclose(found, kept.best_images(np.array([0.5, 0.5])))
    for p in (np.zeros(3), np.eye(3)[1]):
        assert known.best_images(p).sum() == pytest.approx(1)
    u = np.array([0.5, 0.5, 0])  # a path without weight in the target that is drawn all the same
    unwanted = Population(squares, squares.mean(1), 0.0, u)
    np.testing.assert_allclose(unwanted.best_images(np.array([0.4, 0.4, 0.2])), found)


def test_the_best_paths_do_not_count_images_that_are_never_drawn():
    # One image a step: p goes as the norms of the images that are left, by hand sqrt(1 + 4), ...
    squares = np.array([[1.0, 4, 100], [9, 1, 0]])
    known = Population(squares, np.zeros(2), 0.0, np.full(2, 1 / 2))
    for q in (np.array([0.5, 0.5, 0]), np.array([[0.5, 0.5, 0]] * 2)):
        np.testing.assert_allclose(known.best_paths(1, q), normal(np.sqrt([5, 10])))
