"""Does the sampled probe find what the exact probe computes, as often as its intervals promise?"""

from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import torch
from torch.nn import functional as F

from padalib.engine.checked import Count, Positive, Within
from padalib.engine.runs import Run
from padalib.probes.exact import ExactProbe, check_population
from padalib.probes.frozen import Frozen, flat_gradient
from padalib.probes.sampled import Draw, collect
from padalib.samplers import checking
from padalib.train import FromTraining, stream


@dataclass(frozen=True)
class AgreementConfig(FromTraining):
    """Sampled probes of the population of the exact one; ValueError where they cannot be compared.

    Paths and images come from the p and q that the run's samplers hold, q restricted to the
    population, with replacement; statistics are frozen for each path.
    """

    images: Annotated[int, Within(2)] = 512  # n, the first of the training split
    batch: Count = 64  # images of a step, drawn with replacement
    paths: Annotated[int, Within(3)] = 128  # outer draws of each sampled probe, at most
    batches: Annotated[int, Within(2)] = 2  # inner draws
    error: Positive = 0.1  # that its interval must reach, see `VarianceConfig`
    seeds: Count = 20  # sampled probes

    changes = 1  # what it computes has changed so often, see `padalib.RECIPE`

    def __post_init__(self) -> None:
        super().__post_init__()
        check_population(self.train)

    def check(self) -> None:
        """ValueError where there are fewer images."""
        super().check()
        self.train.images().first(self.images)

    @property
    def label(self) -> str:
        """A name for people."""
        return f"sampled against exact variance of {self.train.label} epoch {self.epoch}"

    def compute(self, run: Run) -> None:
        """Train if need be, then probe."""
        trainer = self.trainer()
        frozen = Frozen(trainer, self.images)
        exact = ExactProbe(trainer, frozen)
        p, q = exact.held()
        truth = {
            "importance": exact.population.variance(p, q, self.batch),
            "raw": exact.unweighted({self.batch: {"held": (p, q)}})[self.batch, "held"],
        }
        chances = torch.as_tensor(q)
        sizes = [parameter.numel() for parameter in frozen.net.parameters()]
        anew = checking.independent(trainer.paths)
        rows = []
        for seed in range(self.seeds):
            rng = stream(seed, "agreement")

            def draw(rng: torch.Generator = rng) -> dict[str, Draw]:
                found = {}
                anew()  # independent paths
                (drawn,), even = trainer.paths.draw(rng), trainer.space.sample(rng)
                for kind, arch in (("raw", drawn), ("importance", even)):
                    net, steps = frozen.set(arch), []
                    for _ in range(self.batches):
                        index = torch.multinomial(chances, self.batch, True, generator=rng)
                        logits = net(frozen.x[index], arch)
                        losses = F.cross_entropy(logits, frozen.y[index], reduction="none")
                        if kind == "importance":
                            losses = losses * (1 / (self.images * chances[index])).to(losses)
                        steps.append(flat_gradient(net, losses.mean()))
                    weight = trainer.paths.weight(arch) if kind == "importance" else 1.0
                    found[kind] = torch.stack(steps), weight
                return found

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
