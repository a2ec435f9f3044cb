"""Gradient variance by nested draws: how much of it comes from the path, how much from the data.

A step's gradient g depends on the path (or path group) alpha and on the batch b. By the law of
total variance tr Var[g] = E_alpha tr Var[g | alpha] (data part) + tr Var_alpha E[g | alpha] (path
part). With A paths and B batches for each, analysis of variance gives unbiased estimates of both
parts and of |E g|^2. Draws are streamed: paths go to GROUPS groups in turn, of each of which only
the sum of the path means is held, and leaving out one group at a time gives the intervals
(delete-a-group jackknife; Efron & Tibshirani 1993, chapter 11).

Steps weighted by u / p are huge on paths that p hardly ever draws: drawn from p, their variance is
missed. So for them paths are drawn from the target u, and each square is weighted by u / p:
E_p |u/p g|^2 = E_u [u/p |g|^2].
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from padalib import train
from padalib.engine import origin
from padalib.engine.checked import Positive, Within
from padalib.engine.runs import Run
from padalib.probes.checking import check_steps, weight_of
from padalib.samplers import DataSampler, PathSampler, checking
from padalib.spaces import Arch
from padalib.train import FromTraining, Trainer

GROUPS = 16  # of paths; more would cost memory, fewer make the intervals wider (15 degrees: t 2.13)
Draw = tuple[Tensor, float]  # the gradients [B, P] of a path's batches, and its weight u / p
QUANTITIES = ("total", "path", "data", "signal", "noise_to_signal", "signal_to_noise", "path_share")


@dataclass(frozen=True)
class VarianceConfig(FromTraining):
    """One probe of one training run's state; ValueError for too few draws."""

    paths: Annotated[int, Within(3)] = 256  # outer draws A: paths, or path groups, at most
    batches: Annotated[int, Within(2)] = 2  # inner draws B for each
    error: Positive = 0.1  # enough draws when the variance is known to this fraction of itself
    seed: int = 0  # of the probe's own draws

    @property
    def changes(self) -> int:
        """What it computes has changed so often, see `padalib.RECIPE`."""
        paths, data, _ = train.build_samplers(self.train, self.train.batch)
        if not (origin.ours(type(paths)) and origin.ours(type(data))):
            return 3  # they may have a memory, of which the draws are independent now
        return 1 if knows_weights(paths, data) else 2

    @property
    def label(self) -> str:
        """A name for people."""
        return f"variance of {self.train.label} epoch {self.epoch}"

    def check(self) -> None:
        """ValueError where the images do not fit, or a step is not what is probed."""
        check_steps(self.train)
        super().check()

    def compute(self, run: Run) -> None:
        """Train if need be, then probe; weighted steps too, where their weights are known."""
        trainer = self.trainer()
        found = probe(trainer, self.paths, self.batches, self.error, self.seed)
        parts = {"all": range(len(found["raw"].sizes))} | trainer.net.parts()
        rows = []
        for weights in ("raw", "importance") if "importance" in found else ("raw",):
            for part, positions in parts.items():
                moments = found[weights].moments(positions)
                row = {"epoch": trainer.epoch, "weights": weights, "part": part}
                row |= {"paths": moments.counts.sum(), "batches": self.batches}
                row |= {"group": trainer.paths.group, **moments.summary()}
                # What unweighted steps are wrong by: E raw - E weighted, drawn together.
                apart = found.get("difference")
                apart = apart.moments(positions).summary() if apart else {}
                for end in ("", "_low", "_high"):
                    bias = apart.get("signal" + end, math.nan)
                    row["bias2" + end] = bias if weights == "raw" else 0.0
                rows.append(row)
        table = pd.DataFrame(rows)
        table.insert(6, "error", (table.total_high - table.total_low) / 2 / table.total)
        run.log(f"{rows[0]['paths']} x {self.batches} gradients probed at epoch {trainer.epoch}")
        run.write_table("variance", table)


def knows_weights(paths: PathSampler, data: DataSampler) -> bool:
    """Whether importance weights of a step are known: of its images, and of its one path.

    Several have them where all are uniform. A class that draws otherwise than its base says how.
    """
    images = data.uniform or type(data).weights is not DataSampler.weights
    own = paths.uniform or (paths.group == 1 and type(paths).weight is not PathSampler.weight)
    return images and own and _says(paths, data)


def _says(paths: PathSampler, data: DataSampler) -> bool:
    images = checking.says(data, ("draw", "refill"), "weights")
    return images and checking.says(paths, ("draw",), "weight")


def gives_weights(trainer: Trainer, archs: Iterable[Arch]) -> bool:
    """Whether they are known in the trainer's state: of these paths, and of images."""
    paths, data = trainer.paths, trainer.data
    images = data.uniform or data.weights(torch.arange(1)) is not None
    known = knows_weights(paths, data) and images
    return known and all(paths.weight(arch) is not None for arch in archs)


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of nested draws in G groups of paths.

    gram: [G, G], inner products of the groups' sums of path means. plain: [G], sums of the squared
    norms of the path means. squares: [G], the same with each path's weight u / p, and within: [G],
    weighted sums of the variances within paths. counts: [G], paths. batches: B, the draws within
    each path.
    """

    gram: np.ndarray
    plain: np.ndarray
    squares: np.ndarray
    within: np.ndarray
    counts: np.ndarray
    batches: int

    def estimates(self, kept: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The quantities, each unbiased except the three ratios (of unbiased estimates).

        total = path + data: trace of the covariance of one step's gradient. signal: |E g|^2.
        noise_to_signal = total / signal, infinite where the estimated signal is not positive;
        signal_to_noise, its inverse, is always finite and can be averaged. path_share is path /
        total. `path` can come out negative where the true value is near zero. With `kept` [R, G],
        of zeros and ones, the estimates [R] from those groups alone.
        """
        c = np.ones((1, len(self.counts))) if kept is None else kept
        a = c @ self.counts
        whole = ((c @ self.gram) * c).sum(1)  # |sum of path means|^2
        signal = (whole - c @ self.plain) / (a * (a - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            data = c @ self.within / a
            path = c @ self.squares / a - data / self.batches - signal
            path = np.where(np.isinf(c @ self.squares), np.inf, path)
            total = path + data
            ratio = np.where(signal > 0, total / signal, np.inf)
            inverse, share = signal / total, path / total
        values = (total, path, data, signal, ratio, inverse, share)
        return dict(zip(QUANTITIES, values, strict=True))

    def summary(self, level: float = 0.95) -> dict[str, float]:
        """Each quantity with its interval: Student's, from leaving out one group at a time.

        On a log scale for what is positive throughout (total and data). NaN where a drawn path has
        an infinite weight, that is where p is zero.
        """
        groups = len(self.counts)
        point, without = self.estimates(), self.estimates(1 - np.eye(groups))
        t = stats.t.ppf((1 + level) / 2, groups - 1)
        row = {}
        for name in QUANTITIES:
            value, left = float(point[name][0]), without[name]
            if name == "noise_to_signal":
                continue
            if not np.isfinite([value, *left]).all():
                row |= {name: value, f"{name}_low": math.nan, f"{name}_high": math.nan}
                continue
            log = name in ("total", "data") and value > 0 and (left > 0).all()
            middle, left = (math.log(value), np.log(left)) if log else (value, left)
            half = t * math.sqrt((groups - 1) * left.var())
            ends = (middle - half, middle + half)
            low, high = np.exp(ends) if log else ends
            row |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
        low, high = row["signal_to_noise_low"], row["signal_to_noise_high"]
        row["noise_to_signal"] = float(point["noise_to_signal"][0])
        row["noise_to_signal_low"] = 1 / high if high > 0 else math.inf
        row["noise_to_signal_high"] = 1 / low if low > 0 else math.inf
        return row


class Nested:
    """Collects nested draws path by path, in memory of GROUPS gradients however many are drawn.

    sizes: numbers of weights in each of K parameters, whose parts can be looked at separately.
    """

    def __init__(self, sizes: Sequence[int], groups: int = GROUPS) -> None:
        self.sizes, self.groups, self.paths, self.batches = list(sizes), groups, 0, 0
        self.sums: Tensor | None = None  # of path means, [G, P]
        self.plain = torch.zeros(groups, len(self.sizes), dtype=torch.float64)
        self.squares, self.within = torch.zeros_like(self.plain), torch.zeros_like(self.plain)

    def add(self, gradients: Tensor, weight: float = 1.0) -> None:
        """The gradients [B, P] of one path's batches; `weight` u / p of a path drawn from u."""
        group, self.batches = self.paths % self.groups, len(gradients)
        self.paths += 1
        mean = gradients.mean(0)
        if self.sums is None:
            self.sums = mean.new_zeros(self.groups, len(mean))
        self.sums[group] += mean
        square = self._by_parameter(mean.square())
        spread = (gradients - mean).square().sum(0) / (self.batches - 1)
        self.plain[group] += square
        for sums, own in ((self.squares, square), (self.within, self._by_parameter(spread))):
            sums[group] += torch.where(own > 0, own * weight, 0)  # no gradient: whatever the weight

    def _by_parameter(self, values: Tensor) -> Tensor:
        return torch.stack([part.sum() for part in values.split(self.sizes)]).double().cpu()

    def moments(self, positions: Sequence[int] | None = None) -> Moments:
        """What the estimators need, of the parameters at `positions` (None: all)."""
        positions = list(range(len(self.sizes)) if positions is None else positions)
        parts = self.sums.split(self.sizes, 1)
        gram = sum((parts[k].double() @ parts[k].double().T).cpu() for k in positions)
        counts = np.bincount(np.arange(self.paths) % self.groups, minlength=self.groups)
        return Moments(
            gram.numpy(),
            *(
                sums[:, positions].sum(1).numpy()
                for sums in (self.plain, self.squares, self.within)
            ),
            counts,
            self.batches,
        )


def collect(
    draw: Callable[[], dict[str, Draw]], sizes: Sequence[int], paths: int, error: float
) -> dict[str, Nested]:
    """Nested draws until the total variance of each kind of step is known well enough.

    draw: gradients [B, P] of the batches of one random path, and its weight, for each kind of step.
    Two rounds of all groups, then as many more as the interval found calls for, until half its
    width is at most `error` of the estimate, or `paths` are drawn. (The kind 'difference' is not
    waited for.)
    """
    groups = min(GROUPS, paths)
    most, rounds, done = paths // groups, 2, 0
    found: dict[str, Nested] = {}
    while True:
        rounds = min(rounds, most)
        for _ in range((rounds - done) * groups):
            for kind, drawn in draw().items():
                found.setdefault(kind, Nested(sizes, groups)).add(*drawn)
        done = rounds
        wide = 0.0
        for kind, nested in found.items():
            row = nested.moments().summary()
            if kind != "difference" and 0 < row["total"] < math.inf:
                wide = max(wide, (row["total_high"] - row["total_low"]) / 2 / row["total"])
        if done == most or wide <= error:
            return found
        rounds = done + max(1, math.ceil(1.1 * done * ((wide / error) ** 2 - 1)))


def probe(
    trainer: Trainer, paths: int, batches: int, error: float = 0.1, seed: int = 0
) -> dict[str, Nested]:
    """Nested draws of the trainer's own steps, before clipping.

    'raw': no importance weights, the step that the released code takes. 'importance': each loss
    weighted by 1/(|A| p) and 1/(N q); it estimates the step of uniform sampling (times the paths of
    a group) without bias as far as each image has a gradient of its own; with batch statistics
    (bn='batch') it has not, because q also shifts the statistics. Where the sampler is not uniform,
    its paths are drawn uniformly, see above. 'difference': raw - importance, means only.
    The samplers draw as in the epoch that has just ended, from its p and q, each time from where it
    left them (`samplers.checking.independent`). 'raw' alone where the weights are not known
    (`gives_weights`). ValueError where a gradient is not finite.
    """
    config = trainer.config
    # Draws differ between training seeds, or intervals over seeds would miss the probe's own noise,
    # and are the same for all methods, which makes their comparison a paired one.
    names = (*train.STREAMS, "uniform")
    rng = {name: train.stream(seed, f"probe {config.seed} {name}") for name in names}
    some = [trainer.space.sample(rng["uniform"]) for _ in range(64)]
    known = gives_weights(trainer, some)
    uniform = not known or all(abs(trainer.paths.weight(arch) - 1) < 1e-4 for arch in some)
    kinds = ("raw", "importance") if known else ("raw",)
    trainer.net.train()
    anew = checking.independent(trainer.paths), checking.independent(trainer.data)

    def draw() -> dict[str, Draw]:
        anew[0]()
        archs = trainer.paths.draw(rng["paths"])
        even = archs if uniform else [trainer.space.sample(rng["uniform"])]
        drawn: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
        for _ in range(batches):
            anew[1]()  # independent batches, not one epoch's
            index = checking.batch(trainer.data, len(trainer.images), config.batch, rng["data"])
            seen = rng["augment"], config.crop, config.flip, config.cutout
            x, y = trainer.images.batch(index, *seen)
            found = step_gradients(trainer, archs, index, x, y, drawn if uniform else ("raw",))
            if not uniform:
                found |= step_gradients(trainer, even, index, x, y, ("importance",))
            for kind, gradients in found.items():
                drawn[kind].append(torch.cat([g.flatten() for g in gradients]))
        stacked = {kind: torch.stack(gradients) for kind, gradients in drawn.items()}
        if not all(gradients.isfinite().all() for gradients in stacked.values()):
            codes = ", ".join(map(trainer.space.code, dict.fromkeys([*archs, *even])))
            raise ValueError(
                f"gradients of a step of {codes} are not finite: probe an epoch at which training "
                "had not diverged, or train with a lower lr or clip"
            )
        raw, own = stacked["raw"], {"raw": (stacked["raw"], 1.0)}
        if not known:
            return own
        weighted, weight = stacked["importance"], 1.0 if uniform else weight_of(trainer, even[0])
        return own | {"importance": (weighted, weight), "difference": (raw - weighted, 1.0)}

    return collect(draw, [p.numel() for p in trainer.net.parameters()], paths, error)


def step_gradients(
    trainer: Trainer,
    archs: list[Arch],
    index: Tensor,
    x: Tensor,
    y: Tensor,
    kinds: Iterable[str] = ("raw", "importance"),
) -> dict[str, list[Tensor]]:
    """'raw' and 'importance' gradients of one step, summed over its paths, per parameter.

    'importance' weights images by 1/(N q); a path's own weight is left to the caller. Operations
    that the step did not sample have gradient zero.
    """
    parameters = list(trainer.net.parameters())
    weights = checking.weights(trainer.data, index)
    sums = {kind: [torch.zeros_like(parameter) for parameter in parameters] for kind in kinds}
    for arch in archs:
        losses = F.cross_entropy(trainer.net(x, arch), y, reduction="none")
        found = {}
        for kind in sums:
            if kind == "importance" and weights is None and "raw" in found:
                found[kind] = found["raw"]
                continue
            weighted = kind == "importance" and weights is not None
            loss = (losses * weights.to(losses) if weighted else losses).mean()
            found[kind] = torch.autograd.grad(
                loss, parameters, retain_graph=True, allow_unused=True
            )
        for kind, gradients in found.items():
            for total, gradient in zip(sums[kind], gradients, strict=True):
                if gradient is not None:
                    total += gradient
    return sums
