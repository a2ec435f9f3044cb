"""What a search finds with a trained supernet, as a run: computed once, under its config."""

from dataclasses import dataclass

from padalib import data as datasets
from padalib.data import ImageSet
from padalib.engine.checked import Count, Positive, Whole
from padalib.engine.runs import Run
from padalib.ranking import search
from padalib.ranking.counted import Counted, Limits, Score, scorer
from padalib.ranking.partial import Partial
from padalib.ranking.scores import BrokenNetwork
from padalib.spaces import Arch
from padalib.train import FromTraining


@dataclass(frozen=True)
class SearchConfig(FromTraining):
    """SPOS's evolution by the accuracies of a trained supernet, within a limit on FLOPs.

    Its table `search` has the columns of `Counted.table`, so the last `found` is what was found.
    One that is cut goes on with what it had scored, and ends as if it had not been.
    ValueError for a run of one architecture, an unknown split, or more images than there are.
    """

    evaluations: Count = 1000  # settings of the evolution: `search.scaled`
    flops: Positive | None = None  # of the searched network, at most; None: no limit
    seed: Whole = 0  # of the search
    split: str = "valid"  # what is scored on
    images: Count | None = None  # only the first so many of it; all if None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in datasets.SPLITS:
            raise ValueError(f"split must be one of {datasets.SPLITS}, got {self.split!r}")
        if self.train.arch is not None:
            raise ValueError(
                f"{self.train.label} trains one architecture, so there is nothing to search: pass "
                "the run of a supernet"
            )

    @property
    def label(self) -> str:
        """A name for people."""
        return f"search of {self.train.label}"

    def check(self) -> None:
        """ValueError for fewer images than are asked for, or a limit that nothing meets."""
        super().check()
        self._images()
        self._counted(lambda arch, share: 0.0).draw(search.stream(self.seed))

    def _counted(self, score: Score) -> Counted:
        space = self.train.space
        limits = None if self.flops is None else Limits(space, {"flops": self.flops})
        return Counted(space, score, self.evaluations, limits)

    def _images(self) -> ImageSet:
        images = datasets.load(self.train.data)[self.split]
        return images if self.images is None else images.first(self.images)

    def compute(self, run: Run) -> None:
        """Train if need be, then search; a network that is broken fails the run."""
        trainer = self.trainer()
        images = self._images().to(self.device)
        score = scorer(trainer.net, images, calibration=trainer.images)
        with Partial(run) as partial:
            counted = self._counted(self._kept(partial, score))
            try:
                search.elitist(counted, self.seed, **search.scaled(self.evaluations))
            except BrokenNetwork as error:
                run.fail(f"at epoch {trainer.epoch}, {error}")
            finally:  # whatever ends it, what was scored can be read
                run.write_table("search", counted.table)
        run.log(f"looked at {len(counted.table)} architectures")

    def _kept(self, partial: Partial, score: Score) -> Score:
        """The score, which is asked for once, however often the run is cut and goes on."""
        known = partial.part("search", self.train)

        def once(arch: Arch, share: float) -> float:
            code = self.train.space.code(arch)
            if code not in known:
                known[code] = score(arch, share)
                partial.added()
            return known[code]

        return once
