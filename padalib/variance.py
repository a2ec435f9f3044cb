"""Gradient variance by nested draws: how much of it comes from the path, how much from the data.

A step's gradient g depends on the path (or path group) alpha and on the batch b. By the law of
total variance tr Var[g] = E_alpha tr Var[g | alpha] (data part) + tr Var_alpha E[g | alpha] (path
part). With A paths and B batches for each, analysis of variance gives unbiased estimates of both
parts and of |E g|^2; all of them follow from the within-path variances [A] and the inner products
of the path means [A, A], so that resampling paths needs no gradient again.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from padalib import train
from padalib.runs import Run
from padalib.train import FromTraining, Trainer

QUANTITIES = (
    "total",
    "path",
    "data",
    "signal",
    "noise_to_signal",
    "signal_to_noise",
    "path_share",
)


@dataclass(frozen=True)
class VarianceConfig(FromTraining):
    """One probe of one training run's state; ValueError for too few draws."""

    paths: int = 64  # outer draws A: paths, or path groups
    batches: int = 2  # inner draws B for each
    seed: int = 0  # of the probe's own draws

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.paths < 2 or self.batches < 2:
            raise ValueError(
                f"the variance needs at least 2 paths of 2 batches, got {self.paths} of "
                f"{self.batches}"
            )

    @property
    def label(self) -> str:
        """A name for people."""
        return f"variance of {self.train.label} epoch {self.epoch}"

    def compute(self, run: Run) -> None:
        """Train if need be, then probe."""
        trainer = self.trainer()
        found = probe(trainer, self.paths, self.batches, self.seed)
        rows = []
        for (weights, part), moments in found.items():
            row = {"epoch": trainer.epoch, "weights": weights, "part": part}
            row |= {"draws": self.paths * self.batches, "group": trainer.paths.group}
            rows.append(row | moments.summary(seed=self.seed))
        run.log(f"{self.paths} x {self.batches} gradients probed at epoch {trainer.epoch}")
        run.write_table("variance", pd.DataFrame(rows))


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of nested draws: `gram` [A, A] of path means, `within` [A] variances.

    `batches` is B, the number of draws within each path.
    """

    gram: np.ndarray
    within: np.ndarray
    batches: int

    def estimates(self, counts: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The quantities, each unbiased except the three ratios (of unbiased estimates).

        total = path + data: trace of the covariance of one step's gradient. signal: |E g|^2.
        noise_to_signal = total / signal, infinite where the estimated signal is not positive;
        signal_to_noise, its inverse, is always finite and can be averaged. path_share is path /
        total. `path` can come out negative where the true value is near zero.

        With `counts` [R, A], how often each path occurs in each of R resamples, the quantities are
        those of the resamples, scaled so that their mean over resamples is the estimate itself.
        `signal` takes pairs of different paths only: a path paired with its own copy would add its
        noise.
        """
        a = len(self.within)
        c = np.ones((1, a)) if counts is None else counts
        # Resampling loses one a-th of the variance, and of the pairs of different paths.
        scale = a / (a - 1) if counts is None else (a / (a - 1)) ** 2
        squares = np.diag(self.gram)
        all_pairs = ((c @ self.gram) * c).sum(1) / a**2  # |mean of path means|^2
        signal = (all_pairs - c**2 @ squares / a**2) * scale
        data = c @ self.within / a
        path = (c @ squares / a - all_pairs) * scale - data / self.batches
        total = path + data
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(signal > 0, total / signal, np.inf)
            inverse, share = signal / total, path / total
        values = (total, path, data, signal, ratio, inverse, share)
        return dict(zip(QUANTITIES, values, strict=True))

    def summary(self, draws: int = 1000, seed: int = 0, level: float = 0.95) -> dict[str, float]:
        """Each quantity with a percentile interval, resampling paths with all their batches."""
        a = len(self.within)
        counts = np.random.default_rng(seed).multinomial(a, np.full(a, 1 / a), size=draws)
        point, resampled = self.estimates(), self.estimates(counts)
        row = {}
        for name in QUANTITIES:
            row[name] = float(point[name][0])
            tails = [(1 - level) / 2, (1 + level) / 2]
            low, high = np.quantile(resampled[name], tails, method="nearest")
            row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        return row


class Nested:
    """Collects nested draws path by path; holds the path means only."""

    def __init__(self) -> None:
        self.means: list[Tensor] = []
        self.within: list[Tensor] = []
        self.batches = 0

    def add(self, gradients: Tensor) -> None:
        """The gradients [B, P] of one path's batches."""
        self.batches = len(gradients)
        self.means.append(gradients.mean(0))
        self.within.append((gradients - self.means[-1]).square().sum() / (self.batches - 1))

    def moments(self) -> Moments:
        """What the estimators need."""
        means = torch.stack(self.means).double()
        within = torch.stack(self.within).double()
        return Moments((means @ means.T).cpu().numpy(), within.cpu().numpy(), self.batches)


def probe(
    trainer: Trainer, paths: int, batches: int, seed: int = 0
) -> dict[tuple[str, str], Moments]:
    """(weights, part) -> moments of the gradients of the trainer's own steps, before clipping.

    `weights` is 'raw' (no importance weights, the step that the released code takes) or
    'importance' (each loss weighted by 1/(|A| p) and 1/(N q)). The weighted step estimates that of
    uniform sampling (times the paths of a group) without bias as far as each image has a gradient
    of its own; with batch statistics (bn='batch') it has not, because q also shifts the statistics.
    The samplers draw as in the epoch that has just ended, from its p and q. `part` is 'all', one
    convolution operation, or 'fixed' (stem, reductions, head).
    """
    config = trainer.config
    # Draws differ between training seeds, or intervals over seeds would miss the probe's own noise,
    # and are the same for all methods, which makes their comparison a paired one.
    rng = {name: train.stream(seed, f"probe {config.seed} {name}") for name in train.STREAMS}
    parameters = list(trainer.net.parameters())
    parts = {"all": list(range(len(parameters)))} | trainer.net.parts()
    nested: dict[tuple[str, str], Nested] = {}
    trainer.net.train()
    for _ in range(paths):
        trainer.paths.forget()
        archs = trainer.paths.draw(rng["paths"])
        drawn: dict[str, list[list[Tensor]]] = {"raw": [], "importance": []}
        for _ in range(batches):
            trainer.data.forget()  # independent batches, not one epoch's
            index = trainer.data.draw(config.batch, rng["data"])
            x, y = trainer.images.batch(index, rng["augment"], config.crop, config.flip)
            for weights, gradient in step_gradients(trainer, archs, index, x, y).items():
                drawn[weights].append(gradient)
        for weights, gradients in drawn.items():
            for part, positions in parts.items():
                own = torch.stack(
                    [torch.cat([g[k].flatten() for k in positions]) for g in gradients]
                )  # [B, P of the part]
                nested.setdefault((weights, part), Nested()).add(own)
    return {name: collected.moments() for name, collected in nested.items()}


def step_gradients(
    trainer: Trainer, archs: list, index: Tensor, x: Tensor, y: Tensor
) -> dict[str, list[Tensor]]:
    """'raw' and 'importance' gradients of one step, summed over its paths, per parameter.

    Operations that the step did not sample have gradient zero.
    """
    parameters = list(trainer.net.parameters())
    q_weights = trainer.data.weights(index)
    sums = {
        name: [torch.zeros_like(parameter) for parameter in parameters]
        for name in ("raw", "importance")
    }
    for arch in archs:
        losses = F.cross_entropy(trainer.net(x, arch), y, reduction="none")
        p_weight = trainer.paths.weight(arch)
        weighted = losses if q_weights is None else losses * q_weights.to(losses)
        plain = q_weights is None and p_weight == 1
        for name, loss in (("raw", losses.mean()), ("importance", weighted.mean() * p_weight)):
            if name == "importance" and plain:
                continue
            gradients = torch.autograd.grad(
                loss, parameters, retain_graph=name == "raw" and not plain, allow_unused=True
            )
            names = ("raw", "importance") if plain else (name,)
            for target in names:
                for total, gradient in zip(sums[target], gradients, strict=True):
                    if gradient is not None:
                        total += gradient
    return sums
