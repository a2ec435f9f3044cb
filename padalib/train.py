"""The only training loop: supernets, and single architectures trained alone."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Annotated, Any, Literal

import pandas as pd
import torch
from torch import Tensor

from padalib import data as datasets
from padalib import samplers, spaces
from padalib.engine import checked
from padalib.engine.checked import Count, NotNegative, Positive, Whole, Within
from padalib.engine.devices import check_device, check_name, readable
from padalib.engine.runs import Run
from padalib.samplers import Method, alone, checking, update, watch, yoked
from padalib.spaces import Arch, Space, Supernet

STREAMS = ("data", "augment", "paths", "network")
_network = attrgetter("space", "arch", "bn")  # what decides which weights there are


@dataclass(frozen=True)
class TrainConfig:
    """One training run; its fields are its identity. ValueError for values that make no run.

    An epoch is as many images through forward and backward as the training split holds, to half a
    step, whatever the method: with five paths a step it has a fifth of the steps (equal compute).
    """

    method: Method | str = "SPOS"  # how paths and data are drawn; with `arch`, a uniform one
    seed: int = 0  # of weights, data order, augmentation and paths, one stream each
    space: Space | str = "mini"  # the search space and its network
    data: str = "digits"  # a name that `data.load` knows
    arch: Arch | None = None  # train this architecture alone
    # The run whose recorded probabilities its paths are drawn by (`samplers.yoked`).
    replay: "TrainConfig | None" = field(default=None, metadata={"identity": "given"})
    # The run whose last weights it goes on from, with a new optimiser and the schedule anew.
    start: "TrainConfig | None" = field(default=None, metadata={"identity": "given"})
    epochs: Count = 30  # see above
    batch: Count = 64  # images per forward, at most those it learns from
    lr: Positive = 0.05  # at the start; cosine to 0, constant within an epoch (released recipe)
    momentum: Annotated[float, Within(0, 1)] = 0.9  # released recipe
    weight_decay: NotNegative = 2.5e-4  # released recipe
    nesterov: bool | None = field(default=None, metadata={"identity": "given"})  # its momentum
    warmup: Count | None = field(default=None, metadata={"identity": "given"})  # epochs below lr
    clip: Positive = 5.0  # of the gradient's norm (released recipe)
    crop: Whole = 1  # pixels of random shift
    flip: bool = False  # mirror images; of digits that makes others
    # Side in pixels of a square that is hidden in each image (DARTS: 16, when retraining).
    cutout: Count | None = field(default=None, metadata={"identity": "given"})
    bn: Literal[spaces.BN_MODES] = "batch"  # statistics of batch norm; 'batch' is the paper's
    precision: Literal[tuple(spaces.PRECISIONS)] = "float32"  # of convolutions; 'bfloat16' may win
    train_split: Literal[(*datasets.SPLITS, datasets.WHOLE)] = "train"  # the paper's: 'train+valid'
    # Epochs whose state is kept for probes (0: before any); to keep more, it is trained again.
    keep: tuple[Whole, ...] = field(default=(), metadata={"identity": False})
    device: str = "cpu"  # in the identity (last bits); runs that others finished can be read

    def __post_init__(self) -> None:
        checked.check(self)
        fill = object.__setattr__
        if isinstance(self.method, str):
            fill(self, "method", samplers.get(self.method))
        fill(self, "space", spaces.usable(self.space))
        if self.arch is not None:
            fill(self, "arch", self.space.canonical(self.arch))
            alone.check(self)
        fill(self, "keep", tuple(sorted(set(self.keep))))
        if max(self.keep, default=0) > self.epochs:
            raise ValueError(f"keep must be epochs in 0..{self.epochs}, got {self.keep}: change it")
        datasets.check(self.data)
        paths, data, _ = build_samplers(self, n=self.batch)
        yoked.check(self, paths)  # no option that none takes
        if self.start is not None and _network(self.start) != _network(self):
            raise ValueError(
                f"{self.label} cannot take the weights of {self.start.label}, which has another "
                "network: give both the same space, arch and bn"
            )
        update.check(self, paths, data)
        check_name(self.device)

    @property
    def needs(self) -> "tuple[TrainConfig, ...]":
        """The runs that it builds on, if any."""
        return tuple(other for other in (self.replay, self.start) if other is not None)

    @property
    def label(self) -> str:
        """A name for people."""
        what = self.method.name if self.arch is None else f"alone {self.space.code(self.arch)}"
        return f"{what} {spaces.label(self.space)} seed {self.seed}"

    @property
    def ticks(self) -> int:
        """Progress lines: one an epoch."""
        return self.epochs

    @property
    def states(self) -> list[str]:
        """Names of the states that it is asked to keep; the last one is kept anyhow."""
        return ["last" if epoch == self.epochs else f"epoch_{epoch}" for epoch in self.keep]

    def keeping(self, epoch: int) -> "TrainConfig":
        """The same run, to be trained again where its state after `epoch` is not there."""
        return replace(self, keep=(*self.keep, epoch))

    def check_kept(self, epoch: int | None) -> None:
        """ValueError unless the state after `epoch` (None: the last one) will be there."""
        if epoch not in (None, self.epochs, *self.keep):
            raise ValueError(
                f"{self.label} does not keep epoch {epoch}, only {(*self.keep, self.epochs)}: add "
                "it to `keep` of the training config"
            )

    def inputs(self) -> dict[str, Any]:
        """The training data's hash; of what it builds on too, where that learns from others."""
        found = {"data": datasets.fingerprint(self.data)}
        others = {"replay": self.replay, "start": self.start}
        told = {name: other.inputs() for name, other in others.items() if other is not None}
        return found | {name: theirs for name, theirs in told.items() if theirs != found}

    def check(self) -> None:
        """ValueError where the device is not here, or the images are too few, small, or others."""
        check_device(self.device, self.precision)
        images, side = self.images(), self.space.size
        datasets.check_fit(images, self.space)
        paths, _, update = build_samplers(self, len(images))
        n, passes = len(images), watch.group(paths) * update.passes
        checked.whole(f"batch (of the {n} images of {images.name})", self.batch, 1, n)
        checked.whole(f"crop (of images of {side}x{side})", self.crop, 0, side - 1)
        checked.whole(f"cutout (of images of {side}x{side})", self.cutout or 1, 1, side)
        if 2 * n < self.batch * passes:
            raise ValueError(
                f"an epoch of {n} images is less than half a step of {self.method.name} ({passes} "
                f"passes of {self.batch} images): use a batch of at most {2 * n // passes}"
            )

    def images(self) -> datasets.ImageSet:
        """What it learns from."""
        return datasets.load(self.data)[self.train_split]

    def compute(self, run: Run) -> None:
        """Train from the last checkpoint, if there is one, to the end."""
        trainer = Trainer(self, run.load_state("last") if run.has_state("last") else None)
        if not all(run.has_state(f"epoch_{epoch}") for epoch in self.keep if epoch < trainer.epoch):
            trainer = Trainer(self)  # it has kept too few: from the start
        run.resume(trainer.epoch)
        if (now := f"epoch_{trainer.epoch}") in self.states:  # not yet asked for when it was cut
            run.save_state(now, trainer.state())
        while trainer.epoch < self.epochs:
            bad = watch.epoch(trainer) or trainer.broken()
            if bad is not None:
                run.fail(
                    f"the {bad} of epoch {trainer.epoch} (learning rate "
                    f"{trainer.history[-1]['lr']:.3g}); lower lr or clip"
                )
            if f"epoch_{trainer.epoch}" in self.states:
                run.save_state(f"epoch_{trainer.epoch}", trainer.state())
            run.save_state("last", trainer.state())
            run.log(trainer.summary())
        run.write_table("curves", pd.DataFrame(trainer.history))


@dataclass(frozen=True)
class FromTraining:
    """Base of the configs that look at a trained network: which run, and its state at which epoch.

    ValueError for an epoch that the run does not keep.
    """

    train: TrainConfig  # the run that trains the network
    epoch: Whole | None = None  # its state after this epoch; the last one if None
    device: str = field(init=False)  # the training run's

    ticks = 1

    def __post_init__(self) -> None:
        checked.check(self)
        object.__setattr__(self, "device", self.train.device)
        self.train.check_kept(self.epoch)
        if self.epoch is None:
            object.__setattr__(self, "epoch", self.train.epochs)

    @property
    def needs(self) -> tuple[TrainConfig]:
        """The training run."""
        return (self.train,)

    def inputs(self) -> dict[str, Any]:
        """The data's hash."""
        return self.train.inputs()

    def check(self) -> None:
        """ValueError where the images do not fit, before anything is trained."""
        self.train.check()

    def trainer(self) -> "Trainer":
        """The trainer in that state; trains if need be."""
        self.check()
        return load(Run(self.train.keeping(self.epoch)).compute(), self.epoch)


def load(run: Run, epoch: int | None = None) -> "Trainer":
    """The trainer of a run as it was after `epoch` (ValueError where not kept), or at the end."""
    run.config.check_kept(epoch)
    name = "last" if epoch in (None, run.config.epochs) else f"epoch_{epoch}"
    # Onto the CPU where its device is not here: only to compute asks for that.
    config = replace(run.config, device=readable(run.config.device, run.config.precision))
    return Trainer(config, run.load_state(name))


class Trainer:
    """A training run at its start, or in a `state`: network, optimiser, samplers, streams, ..."""

    def __init__(self, config: TrainConfig, state: dict[str, Any] | None = None) -> None:
        self.config, self.space = config, config.space
        config.check()
        self.images = config.images().to(config.device)
        self.net = build(config)
        if state is None and config.start is not None:
            start = Run(config.start.keeping(config.start.epochs)).compute()
            self.net.load_state_dict(start.load_state("last")["net"])
        how = {"momentum": config.momentum, "weight_decay": config.weight_decay, "foreach": True}
        how["nesterov"] = bool(config.nesterov)
        self.optimizer = torch.optim.SGD(self.net.parameters(), config.lr, **how)
        self.paths, self.data, self.update = self.new_samplers(state is None)
        self.passes = self.paths.group * self.update.passes  # forward and backward, of one step
        self.generators = {name: stream(config.seed, name) for name in STREAMS}
        self.epoch, self.history = 0, []
        if state is not None:  # it holds all that the runs it builds on gave it
            self.restore(state)

    def new_samplers(self, start: bool = True) -> watch.Samplers:
        """The method's parts; at the run's start, for which it trains what is replayed."""
        paths, data, update = build_samplers(self.config, len(self.images))
        if start and self.config.replay is not None:
            paths.follow(Run(self.config.replay).compute().table("curves"))
        return paths, data, update

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return max(1, round(len(self.images) / (self.config.batch * self.passes)))

    def train_epoch(self, scheduled: Callable[[], None] = lambda: None) -> str | None:
        """Train one epoch (`scheduled`: the network knows it); what was not finite, and where."""
        config = self.config
        lr = config.lr * (1 + math.cos(math.pi * self.epoch / config.epochs)) / 2
        lr *= min(1.0, (self.epoch + 1) / ((config.warmup or 0) + 1))  # 1/(n+1), 2/(n+1), ..., 1
        self.optimizer.param_groups[0]["lr"] = lr
        self.net.train()
        self.net.schedule(self.epoch / config.epochs, self.generators["network"])
        scheduled()
        for part in (self.paths, self.data, self.update):
            part.new_epoch(self.epoch)
        records = torch.zeros(self.steps, 3, device=config.device)  # loss, accuracy, norm
        drawn = torch.zeros(len(self.images), dtype=torch.bool)
        with checking.heard(self.update, self.paths, self.data):
            for step in range(self.steps):
                index, records[step] = self.step(watch.drawn(self))
                drawn[index] = True
        self.update.end_epoch(self.optimizer)
        records = records.cpu()  # the epoch's only wait for the device
        self.epoch += 1
        images = self.steps * config.batch * self.passes
        row = {"epoch": self.epoch, "lr": lr, "steps": self.steps, "images": images}
        row |= dict(zip(("loss", "accuracy", "grad_norm"), records.mean(0).tolist(), strict=True))
        row["clipped"] = float((records[:, 2] > config.clip).float().mean())
        row["unique_images"] = float(drawn.float().mean())
        self.history.append(checking.row(row, (self.paths, self.data, self.update)))
        for column, name in ((0, "loss was"), (2, "gradient's norm was")):
            bad = (~records[:, column].isfinite()).nonzero()
            if len(bad):
                return f"{name} {float(records[bad[0], column])} in step {int(bad[0])}"
        return None

    def step(self, archs: list[Arch]) -> tuple[Tensor, Tensor]:
        """Train one step of these paths: indices of its images [B], and [loss, accuracy, norm]."""
        config, rng = self.config, self.generators
        index = checking.batch(self.data, len(self.images), config.batch, rng["data"])
        x, y = self.images.batch(index, rng["augment"], config.crop, config.flip, config.cutout)
        self.optimizer.zero_grad(set_to_none=not config.method.zero_grad)
        given = (self.net, self.optimizer, config.clip, archs, index, x, y, self.paths, self.data)
        return index, checking.record(self.update, self.update.step(*given))

    def broken(self) -> str | None:
        """Where a weight or a statistic is not finite, whose; the loss tells only a step later."""
        bad = [name for name, v in self.net.state_dict().items() if not v.isfinite().all()]
        return f"{bad[0]} of the network was not finite after the last step" if bad else None

    def summary(self) -> str:
        """The last epoch in one line."""
        row = self.history[-1]
        return (
            f"epoch {row['epoch']}/{self.config.epochs}  loss {row['loss']:.3f}  "
            f"accuracy {100 * row['accuracy']:.1f} %  gradient norm {row['grad_norm']:.2f}"
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        return {
            "epoch": self.epoch,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "touched": [p.grad is not None for p in self.net.parameters()],
            "paths": self.paths.state(),
            "data": self.data.state(),
            "generators": {name: g.get_state() for name, g in self.generators.items()},
            "history": self.history,
        } | ({"update": held} if (held := self.update.state()) else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.epoch, self.history = state["epoch"], state["history"]
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        # With zero_grad=True a gradient of zero moves weights, and a gradient of None does not.
        for parameter, touched in zip(self.net.parameters(), state["touched"], strict=True):
            parameter.grad = torch.zeros_like(parameter) if touched else None
        self.paths.restore(state["paths"])
        self.data.restore(state["data"])
        self.update.restore(state.get("update", {}))
        for name, own in state["generators"].items():
            self.generators[name].set_state(own)


def stream(seed: int, name: str) -> torch.Generator:
    """An independent random stream for each purpose of a run."""
    return torch.Generator().manual_seed(zlib.crc32(f"{name}/{seed}".encode()))


def build(config: TrainConfig) -> Supernet:
    """The untrained network of a run."""
    seed = zlib.crc32(f"init/{config.seed}".encode())
    net = config.space.build(seed, config.arch, config.bn, config.precision)
    return net.to(config.device, memory_format=torch.channels_last)


def build_samplers(config: TrainConfig, n: int) -> watch.Samplers:
    """The path sampler, the data sampler and the update rule of a run, at their start."""
    method, where = config.method, (config.space, config.epochs)
    update = method.rule(*where)
    if config.arch is not None:
        return alone.AlonePath(*where, config.arch), samplers.Shuffled(n, config.epochs), update
    return method.paths.build(*where), method.data.build(n, config.epochs), update
