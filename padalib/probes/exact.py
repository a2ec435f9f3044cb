"""The exact probe: the gradients of all paths and images of a small population, one path at a time.

Statistics of batch norm are frozen, for each path, to those of the images, so that each image has a
gradient of its own; or they are those of fixed batches, as in training. The images are the first of
the training split, not augmented.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from padalib.engine.checked import Count, Whole, Within
from padalib.engine.runs import Run
from padalib.probes.checking import check_steps, check_weights
from padalib.probes.frozen import Coupled, Frozen, coupling
from padalib.probes.population import (
    Population,
    factors,
    normal,
    over,
    path_product,
    perturbed,
    search,
)
from padalib.probes.sampled import gives_weights, knows_weights
from padalib.ranking import metrics
from padalib.spaces import Arch
from padalib.spaces.base import LISTED
from padalib.spaces.checking import listed
from padalib.train import FromTraining, TrainConfig, Trainer, build_samplers, stream

PERTURBATIONS = 1000  # random distributions near the optimum that must not beat it
Distributions = dict[str, tuple[np.ndarray, np.ndarray]]  # name -> p [A], q [n] or [A, n]


@dataclass(frozen=True)
class ExactConfig(FromTraining):
    """The exact probe of one training run's state; ValueError for a population that is none."""

    images: Annotated[int, Within(2)] = 512  # n, the first of the training split
    batch: Count = 64  # images of a step; steps of one image are always looked at too
    # Of batch norm: 'frozen' for each path, or 'batch': those of fixed batches, which costs a
    # backward for each path and image.
    statistics: Literal["frozen", "batch"] = "frozen"
    coupled: Whole = 16  # paths, at most, for which frozen and batch statistics are compared

    changes = 1  # what it computes has changed so often, see `padalib.RECIPE`

    def __post_init__(self) -> None:
        super().__post_init__()
        check_population(self.train)
        batched = self.statistics == "batch" or self.coupled > 0
        if batched and (self.batch < 2 or self.batch > self.images):
            raise ValueError(
                "batch statistics need batches of at least 2 and at most all images, got "
                f"{self.batch} of {self.images}: with statistics='frozen' and coupled=0 none are "
                "needed"
            )
        if self.statistics == "batch" and self.images % self.batch:
            raise ValueError(
                f"batches of {self.batch} do not make {self.images} images: choose a multiple"
            )

    def check(self) -> None:
        """ValueError where there are fewer images."""
        super().check()
        self.train.images().first(self.images)

    @property
    def label(self) -> str:
        """A name for people."""
        return f"exact variance of {self.train.label} epoch {self.epoch}"

    def compute(self, run: Run) -> None:
        """Train if need be, then probe."""
        trainer = self.trainer()
        frozen = Frozen(trainer, self.images)
        own = self.statistics == "frozen"
        given = frozen if own else Coupled(trainer, self.images, self.batch)
        probe = ExactProbe(trainer, given)
        tables = probe.measure(self.batch)
        if self.coupled:
            found = coupling(trainer, frozen, self.coupled, self.batch)
            tables["coupled"] = pd.DataFrame(found)
        for name, rows in tables.items():
            rows.insert(0, "epoch", trainer.epoch)
            rows.insert(1, "statistics", self.statistics)
            run.write_table(name, rows)
        run.log(f"{len(probe.classes)} x {self.images} gradients at epoch {trainer.epoch}")


def check_population(train: TrainConfig) -> None:
    """ValueError for a run whose paths and images have no gradients of their own."""
    if train.arch is not None:
        raise ValueError(f"{train.label} is one architecture: it has no paths to draw")
    other = f"draw some by VarianceConfig, or take a space of at most {LISTED:,}"
    listed(train.space, "the exact probe looks at every path", other)
    check_steps(train)
    paths, data, _ = build_samplers(train, train.batch)
    check_weights(train, paths.group > 1 or knows_weights(paths, data))
    if train.space.extent > 1:
        raise ValueError(
            f"{train.space.name} shares operations between edges: batch norm is used at several "
            "places of one path there, and cannot be frozen to the statistics of each"
        )


class ExactProbe:
    """All paths of a space and n images: two passes over the paths, one path in memory at a time.

    The first pass keeps norms, from which follow the distributions and the variance of weighted
    steps; the second the means of unweighted steps under each of them. Architectures of one class
    have the same gradients, and are computed once. ValueError for a run whose steps are of several
    paths, as FairNAS's are.
    """

    def __init__(self, trainer: Trainer, images: Frozen | Coupled) -> None:
        if trainer.paths.group != 1:
            raise ValueError(
                f"{trainer.config.label} takes steps of {trainer.paths.group} paths, which the "
                "exact probe has no distribution of: look at a method of one path a step"
            )
        self.trainer, self.images, self.n = trainer, images, len(images.x)
        self.space = trainer.space
        members = self.space.classes()
        self.classes, self.archs = list(members), list(self.space)
        check_weights(trainer.config, gives_weights(trainer, self.archs))
        place = {arch: k for k, same in enumerate(members.values()) for arch in same}
        self.of_class = np.array([place[arch] for arch in self.archs])  # [A]
        self.u = np.full(len(self.archs), 1 / len(self.archs))
        self.sizes = [p.numel() for p in self.images.net.parameters()]
        squares, means, errors, losses = [], [], [], []
        total = torch.zeros(sum(self.sizes), dtype=torch.float64)
        self.of_weight = []  # [C, K, 2]: mean |g|^2 and |mean g|^2 of each of K weights
        for arch, (g, logits) in self._passes():
            even = g.new_full((self.n,), 1 / self.n)
            mean = (even @ g).double()  # a product is many times faster than a mean in float64
            total += mean.cpu() * len(members[arch]) / len(self.archs)
            square = g.square_()
            squares.append(square.sum(1).double())
            means.append(float(mean @ mean))
            both = torch.stack([(even @ square).double(), mean.square()])
            self.of_weight.append([part.sum(1).tolist() for part in both.split(self.sizes, 1)])
            errors.append(
                (logits.softmax(1) - F.one_hot(self.images.y, logits.shape[1])).norm(dim=1)
            )
            losses.append(F.cross_entropy(logits, self.images.y, reduction="none"))
        self.mean = total  # of all pairs: the gradient that unbiased steps estimate, [P]
        self.errors, self.losses = (
            torch.stack(rows).double().cpu().numpy() for rows in (errors, losses)
        )  # [C, n]
        self.of_weight = np.array(self.of_weight)
        self.population = Population(
            torch.stack(squares).cpu().numpy()[self.of_class],
            np.array(means)[self.of_class],
            float(total @ total),
            self.u,
        )

    def _passes(self) -> Iterator[tuple[Arch, tuple[Tensor, Tensor]]]:
        for arch in self.classes:
            yield arch, self.images.gradients(arch)

    # --- distributions ---

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """p [A] and q [n] that the run's samplers drew by in the epoch that has just ended.

        q restricted to the population.
        """
        weights = self.trainer.data.weights(torch.arange(self.n))
        q = np.ones(self.n) if weights is None else 1 / weights.double().cpu().numpy()
        p = self.u / np.array([self.trainer.paths.weight(arch) for arch in self.archs])
        return normal(p), normal(q)

    def operation_scores(self, batch: int, shared: bool) -> np.ndarray:
        """p [A] from exact scores of the options, as PA estimates them from single steps.

        A score is the root mean square, over steps of `batch` images, of the gradient's norm of an
        option's weights, averaged over the paths (and positions and cells) that name it, dead ones
        counting zero; options without weights get the mean score of the others, or a path of them
        alone would never be drawn. `shared` by the positions of a table, as in PA, or one each.
        """
        place = {id(p): k for k, p in enumerate(self.images.net.parameters())}
        square, of_mean = self.of_weight[..., 0], self.of_weight[..., 1]  # [C, K]
        moments = of_mean + (square - of_mean).clip(0) / batch
        entries = self.space.entries(shared)
        sums, counts = np.zeros((2, len(entries.names)))
        for arch, own in zip(self.archs, self.of_class, strict=True):
            for position, option, weights, live in self.images.net.owned(arch):
                entry = entries.at[position][option]
                places = [place[id(weight)] for weight in weights]
                sums[entry] += np.sqrt(moments[own, places].sum()) if live else 0
                counts[entry] += 1
        if not counts.any():
            return self.u
        scores = over(sums, counts)
        scores[list(entries.uniform)] = 0
        for table in (list(own) for own in entries.tables if own[0] not in entries.uniform):
            free = [entry for entry in table if not counts[entry]]
            scores[free] = scores[[entry for entry in table if counts[entry]]].mean()
        return path_product([normal(scores[list(own)]) for own in entries.at], np.array(self.archs))

    def size(self) -> np.ndarray:
        """p [A] in proportion to the square root of the number of weights that a path uses."""
        net = self.images.net
        fixed = sum(self.sizes[k] for k in net.parts()["fixed"])
        used = [
            sum(w.numel() for _, _, weights, live in net.owned(arch) if live for w in weights)
            for arch in self.archs
        ]
        return normal(np.sqrt(fixed + np.array(used)))

    def distributions(self, batch: int) -> Distributions:
        """Every distribution that is compared, for steps of `batch` images."""
        population, uniform, rng = self.population, np.full(self.n, 1 / self.n), stream(0, "exact")
        archs = np.array(self.archs)
        per_op, per_edge = (
            population.best_operations(archs, self.space.entries(shared).at, batch)
            for shared in (True, False)
        )
        p, q = self.held()
        errors = normal(self.errors[self.of_class].mean(0))
        images = population.best_images()
        shared = self.operation_scores(batch, True)
        order = torch.randperm(self.n, generator=rng).numpy()
        found = {
            "uniform": (self.u, uniform),
            "optimum": population.best(batch),
            "best paths": (population.best_paths(batch), uniform),
            "best images": (self.u, images),
            "best images, shuffled": (self.u, images[order]),
            "best product": population.best_product(batch),
            "best per operation": (per_op, uniform),
            "best per edge": (per_edge, uniform),
            "norms per operation": (shared, uniform),
            "norms per edge": (self.operation_scores(batch, False), uniform),
            "size": (self.size(), uniform),
            "softmax error": (self.u, errors),
            "norms per operation, softmax error": (shared, errors),
            "held paths": (p, uniform),
            "held images": (self.u, q),
            "held": (p, q),
        }
        if batch == 1:
            found["optimiser"] = factors(search(population))
        return found

    # --- what is reported ---

    def measure(self, batch: int) -> dict[str, pd.DataFrame]:
        """Tables: variance of each distribution, proxies of the norm, and both sides of these."""
        sets = {size: self.distributions(size) for size in sorted({1, batch})}
        steps = self.unweighted(sets)
        rows = []
        for size, found in sets.items():
            base = self.population.variance(self.u, found["uniform"][1], size)["total"]
            for name, (p, q) in found.items():
                weighted = self.population.variance(p, q, size) | {"bias2": 0.0, "cosine": 1.0}
                for weights, row in (("importance", weighted), ("raw", steps[size, name])):
                    row = {"batch": size, "distribution": name, "weights": weights} | row
                    row |= {"fraction": row["total"] / base, "signal": self.population.target}
                    rows.append(row)
        near = perturbed(self.population, PERTURBATIONS)
        base = self.population.variance(self.u, sets[1]["uniform"][1])["total"]
        rows.append(
            {"batch": 1, "distribution": "best perturbation", "weights": "importance"}
            | {"total": near, "fraction": near / base, "signal": self.population.target}
        )
        return {"exact": pd.DataFrame(rows), **self._proxies(sets[batch])}

    def unweighted(self, sets: dict[int, Distributions]) -> dict[tuple[int, str], dict]:
        """Variance and bias of steps without weights: those of sum_alpha p sum_i q g(alpha, i)."""
        flat = [(size, name, *pq) for size, found in sets.items() for name, pq in found.items()]
        squares = self.population.squares
        first = [int(np.argmax(self.of_class == k)) for k in range(len(self.classes))]
        centre = torch.zeros(len(flat), sum(self.sizes), dtype=torch.float64)
        of_path = np.zeros((len(flat), len(self.classes)))  # |sum_i q g|^2
        for k, (_, (g, _)) in enumerate(self._passes()):
            at = first[k]
            q = np.stack([q if q.ndim == 1 else q[at] for *_, q in flat])
            p = np.array([p[self.of_class == k].sum() for *_, p, _ in flat])
            means = torch.as_tensor(q, dtype=g.dtype, device=g.device) @ g  # [D, P]
            of_path[:, k] = means.square().sum(1, dtype=torch.float64).cpu().numpy()
            centre += torch.as_tensor(p)[:, None] * means.double().cpu()
        found = {}
        for k, (size, name, p, q) in enumerate(flat):
            centred = float(centre[k] @ centre[k])
            inner = (squares * q).sum(1)  # E |g|^2 of each path
            path = float(p @ of_path[k][self.of_class]) - centred
            data = float(p @ (inner - of_path[k][self.of_class]).clip(0)) / size
            difference = centre[k] - self.mean
            scale = centred**0.5 * self.population.target**0.5
            found[size, name] = {
                "total": path + data,
                "path": path,
                "data": data,
                "bias2": float(difference @ difference),
                "cosine": float(centre[k] @ self.mean) / scale if scale else np.nan,
            }
        return found

    def _proxies(self, found: Distributions) -> dict[str, pd.DataFrame]:
        """How well what can be had cheaply follows the exact norm: Spearman's rho, with intervals.

        Over paths: the best p; over images: the best q; within paths: the norms of single pairs.
        """
        first = [int(np.argmax(self.of_class == k)) for k in range(len(self.classes))]
        paths = pd.DataFrame({"code": [self.space.code(arch) for arch in self.classes]})
        paths["best"] = found["best paths"][0][first]
        for name in ("held paths", "norms per operation", "norms per edge", "size"):
            p = found[name][0]
            paths[name] = [p[self.of_class == k].mean() for k in range(len(self.classes))]
        images = pd.DataFrame({"image": np.arange(self.n), "best": found["best images"][1]})
        images["softmax error"] = self.errors[self.of_class].mean(0)
        images["loss"] = self.losses[self.of_class].mean(0)
        images["held images"] = found["held images"][1]
        rows = []
        for over_what, table in (("paths", paths), ("images", images)):
            for name in table.columns[2:]:
                pair = table["best"].to_numpy(), table[name].to_numpy()
                rows.append([over_what, name, *_correlation(*pair)])
        norms = np.sqrt(self.population.squares[first])
        for name, values in (("softmax error", self.errors), ("loss", self.losses)):
            rho = [_rho(a, b) for a, b in zip(values, norms, strict=True)]
            rows.append(
                ["within paths", name, np.nanmedian(rho), *np.nanquantile(rho, [0.025, 0.975])]
            )
        proxies = pd.DataFrame(rows, columns=["over", "proxy", "rho", "low", "high"])
        return {"proxies": proxies, "exact_paths": paths, "exact_images": images}


def _rho(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho; NaN where one of them is constant."""
    return metrics.spearman(a, b) if np.ptp(a) and np.ptp(b) else np.nan


def _correlation(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    if not (np.ptp(a) and np.ptp(b)):
        return np.nan, np.nan, np.nan
    return _rho(a, b), *metrics.bootstrap(metrics.spearman, a, b)
