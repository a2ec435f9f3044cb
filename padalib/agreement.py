"""Does the sampled probe find what the exact probe computes, as often as its intervals promise?"""

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from padalib.exact import ExactProbe
from padalib.frozen import Frozen, flat_gradient
from padalib.runs import Run
from padalib.train import FromTraining, stream
from padalib.variance import collect


@dataclass(frozen=True)
class AgreementConfig(FromTraining):
    """Sampled probes of the population of the exact one; ValueError where they cannot be compared.

    Paths and images come from the p and q that the run's samplers hold, q restricted to the
    population, with replacement; statistics are frozen for each path.
    """

    images: int = 512  # n, the first of the training split
    batch: int = 64  # images of a step
    paths: int = 256  # outer draws of each sampled probe, at most
    batches: int = 2  # inner draws
    error: float = 0.1  # that its interval must reach, see `VarianceConfig`
    seeds: int = 20  # sampled probes

    @property
    def label(self) -> str:
        """A name for people."""
        return f"sampled against exact variance of {self.train.label} epoch {self.epoch}"

    def compute(self, run: Run) -> None:
        """Train if need be, then probe."""
        trainer = self.trainer()
        if trainer.paths.group != 1:
            raise ValueError(f"{self.train.label} takes steps of several paths: not in the exact")
        frozen = Frozen(trainer, self.images)
        exact = ExactProbe(trainer, frozen)
        p, q = exact.held()
        truth = {
            "importance": exact.population.variance(p, q, self.batch),
            "raw": exact.unweighted({self.batch: {"held": (p, q)}})[self.batch, "held"],
        }
        chances = torch.as_tensor(q)
        sizes = [parameter.numel() for parameter in frozen.net.parameters()]
        rows = []
        for seed in range(self.seeds):
            rng = stream(seed, "agreement")

            def draw(rng: torch.Generator = rng) -> dict[str, Tensor]:
                (arch,) = trainer.paths.draw(rng)
                net, of_path = frozen.set(arch), trainer.paths.weight(arch)
                found: dict[str, list[Tensor]] = {"raw": [], "importance": []}
                for _ in range(self.batches):
                    index = torch.multinomial(chances, self.batch, True, generator=rng)
                    weights = (1 / (self.images * chances[index])).to(frozen.x) * of_path
                    losses = F.cross_entropy(
                        net(frozen.x[index], arch), frozen.y[index], reduction="none"
                    )
                    found["raw"].append(flat_gradient(net, losses.mean()))
                    found["importance"].append(flat_gradient(net, (losses * weights).mean()))
                return {kind: torch.stack(gradients) for kind, gradients in found.items()}

            nested = collect(draw, sizes, self.paths, self.error)
            for weights, own in nested.items():
                row = own.moments().summary()
                for name in ("total", "path", "data"):
                    rows.append(
                        {
                            "probe_seed": seed,
                            "weights": weights,
                            "quantity": name,
                            "paths": own.paths,
                            "exact": truth[weights][name],
                            "sampled": row[name],
                            "low": row[f"{name}_low"],
                            "high": row[f"{name}_high"],
                        }
                    )
        table = pd.DataFrame(rows)
        table["covered"] = (table.low <= table.exact) & (table.exact <= table.high)
        run.log(f"{int(table.covered.sum())} of {len(table)} intervals hold the exact value")
        table.insert(0, "epoch", trainer.epoch)
        run.write_table("agreement", table)
