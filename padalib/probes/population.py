"""Sampling distributions over paths and images, their variance, exactly, and the best of them.

A step draws a path alpha ~ p and b images i ~ q(. | alpha), with replacement, and takes the mean of
their gradients g(alpha, i). Weighted by u(alpha) / p(alpha) and 1 / (n q(i | alpha)), u being the
target's own probabilities, it is unbiased for G = sum_alpha u(alpha) mean_i g(alpha, i), with

    tr Var = sum_alpha u^2 / p [(1 - 1/b) |mean_i g|^2 + 1/b mean_i |g|^2 / (n q)] - |G|^2.

By Cauchy-Schwarz it is least at q(i | alpha) ~ |g(alpha, i)| and p(alpha) ~ u(alpha) times the
square root of the bracket; for b = 1 that is the joint optimum p q ~ u |g(alpha, i)|. Everything
here follows from the squared norms [A, n] and the squared norms [A] of the path means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp


@dataclass(frozen=True)
class Population:
    """Gradient norms of all pairs of a path and an image; ValueError where one is not finite.

    A path that the target has no weight for (u = 0) costs nothing, however it is drawn.

    squares: [A, n], |g(alpha, i)|^2. means: [A], |mean_i g(alpha, i)|^2. target: |G|^2, of the mean
    over all pairs. u: [A], the target's probabilities of the paths.
    """

    squares: np.ndarray
    means: np.ndarray
    target: float
    u: np.ndarray

    def __post_init__(self) -> None:
        bad = np.argwhere(~np.isfinite(self.squares))
        if len(bad):
            path, image = bad[0]
            raise ValueError(
                f"{len(bad)} of {self.squares.size} gradients are not finite, the first that of "
                f"path {path} and image {image}: probe an epoch at which training had not diverged"
            )
        if not (np.isfinite(self.means).all() and np.isfinite(self.target)):
            raise ValueError("the means of the gradients are not finite, though each gradient is")

    def variance(self, p: np.ndarray, q: np.ndarray, batch: int = 1) -> dict[str, float]:
        """'total', 'path' and 'data' part of the weighted, unbiased estimator.

        p: [A]; q: [n], or [A, n] for one that depends on the path. Where a probability is zero and
        the gradient is not, no weight makes up for it: the variance is infinite.
        """
        wanted = self.u > 0
        p, u, means = p[wanted], self.u[wanted], self.means[wanted]
        q = q if q.ndim == 1 else q[wanted]
        given = over(self.squares[wanted], q).mean(1) / self.squares.shape[1]  # E |g / (n q)|^2
        path = over(u**2 * means, p).sum() - self.target
        data = over(u**2 * (given - means).clip(0), p).sum() / batch
        return {"total": path + data, "path": path, "data": data}

    def moments(self, q: np.ndarray, batch: int) -> np.ndarray:
        """E |step|^2 of each path [A], before its own weight u / p."""
        given = over(self.squares, q).mean(1) / self.squares.shape[1]
        return self.means + (given - self.means).clip(0) / batch

    # --- the best of several families ---

    @property
    def _uniform(self) -> np.ndarray:
        n = self.squares.shape[1]
        return np.full(n, 1 / n)

    def best(self, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """p [A] and q [A, n] of least variance: images by their norm, paths by their steps'."""
        q = normal(np.sqrt(self.squares))
        return normal(self.u * np.sqrt(self.moments(q, batch))), q

    def best_paths(self, batch: int = 1, q: np.ndarray | None = None) -> np.ndarray:
        """p [A] of least variance while images are drawn from `q` (None: uniformly).

        An image that `q` never draws does not count.
        """
        q = self._uniform if q is None else q
        drawn = replace(self, squares=np.where(q > 0, self.squares, 0))
        return normal(self.u * np.sqrt(drawn.moments(q, batch)))

    def best_images(self, p: np.ndarray | None = None) -> np.ndarray:
        """q [n], the same for all paths, of least variance while paths are drawn from `p`.

        A path that `p` never draws does not count, because no image is ever drawn for it.
        """
        p = self.u if p is None else p
        drawn = p > 0
        weighted = (self.u**2)[:, None] * self.squares
        return normal(np.sqrt(over(weighted[drawn], p[drawn, None]).sum(0)))

    def best_product(self, batch: int = 1, rounds: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """p [A] and q [n], independent of each other, of least variance.

        Each is renewed in turn; the problem is convex in log p and log q, so this ends at the best.
        """
        p, q = self.u, self._uniform
        for _ in range(rounds):
            last, p = p, self.best_paths(batch, q)
            q = self.best_images(p)
            if abs(p - last).max() < 1e-12:
                break
        return p, q

    def best_operations(
        self, archs: np.ndarray, at: Sequence[Sequence[int]], batch: int = 1
    ) -> np.ndarray:
        """p [A] of least variance among products of probabilities of options, as PA's are.

        archs: [A, P] codes. at: [P][n_i], which of T probabilities belongs to each option, see
        `Space.entries`. Minimises log sum_alpha c exp(-sum_i log p_i), convex in the logits.
        """
        at = [np.array(own) for own in at]
        c = np.log(self.u**2 * self.moments(self._uniform, batch) + 1e-300)

        def log_p(logits: np.ndarray) -> list[np.ndarray]:
            return [logits[own] - logsumexp(logits[own]) for own in at]

        def value(logits: np.ndarray) -> tuple[float, np.ndarray]:
            logs = log_p(logits)
            terms = c - sum(own[archs[:, place]] for place, own in enumerate(logs))
            share = np.exp(terms - logsumexp(terms))
            slope = np.zeros_like(logits)
            for place, (own, log) in enumerate(zip(at, logs, strict=True)):
                drawn = np.bincount(archs[:, place], share, minlength=len(own))
                slope[own] += np.exp(log) - drawn
            return logsumexp(terms), slope

        logits = minimize(value, np.zeros(max(map(max, at)) + 1), jac=True, tol=1e-12).x
        return path_product(list(map(np.exp, log_p(logits))), archs)


def path_product(p: Sequence[np.ndarray], archs: np.ndarray) -> np.ndarray:
    """p [A] of paths whose options are drawn independently from p [P][n_i]."""
    return np.prod([own[archs[:, place]] for place, own in enumerate(p)], axis=0)


def search(population: Population, seed: int = 0) -> np.ndarray:
    """Probabilities [A, n] of pairs that L-BFGS finds from a random start, knowing no formula.

    The variance of a step of one image, with pi = softmax(z), is convex in z.
    """
    log_c = np.log(over(population.u[:, None] ** 2 * population.squares, 1) + 1e-300).ravel()

    def value(z: np.ndarray) -> tuple[float, np.ndarray]:
        terms = log_c - z
        high, low = terms.max(), z.max()
        share, pi = np.exp(terms - high), np.exp(z - low)
        loss = high + np.log(share.sum()) + low + np.log(pi.sum())
        return loss, pi / pi.sum() - share / share.sum()

    start = np.random.default_rng(seed).normal(size=log_c.size)
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 5}
    z = minimize(value, start, jac=True, method="L-BFGS-B", options=options).x
    return normal(np.exp(z - z.max())).reshape(population.squares.shape)


def perturbed(population: Population, draws: int, seed: int = 0) -> float:
    """The least variance of a step of one image among random changes of the optimum."""
    p, q = population.best()
    rng, best = np.random.default_rng(seed), np.inf
    for size in rng.choice([0.001, 0.01, 0.1, 1.0], draws):
        pi = p[:, None] * q * np.exp(size * rng.standard_normal(q.shape))
        best = min(best, population.variance(*factors(pi / pi.sum()))["total"])
    return best


def factors(pi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p [A] and q [A, n] of joint probabilities [A, n]."""
    return pi.sum(1), normal(pi)


def normal(weights: np.ndarray) -> np.ndarray:
    """Rows that sum to one; uniform where all are zero, because then any will do."""
    total = weights.sum(-1, keepdims=True)
    return np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / weights.shape[-1])


def over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, with 0 / 0 = 0: what is never drawn and has no gradient costs nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a == 0, 0.0, a / b)
