"""The only training loop: supernets, and single architectures trained alone."""

import math
import warnings
import zlib
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from padalib import data as datasets
from padalib import samplers, spaces
from padalib.engine.runs import Run
from padalib.samplers import Method, PathSampler
from padalib.samplers.watch import Watch
from padalib.spaces import Arch, CellSpace, Supernet

STREAMS = ("data", "augment", "paths")


@dataclass(frozen=True)
class TrainConfig:
    """One training run; its fields are its identity. ValueError for values that make no run.

    An epoch is as many images through forward and backward as the training split holds, whatever
    the method: a method with five paths a step takes a fifth of the steps (equal compute).
    """

    method: Method | str = "SPOS"  # how paths and data are drawn; ignored with `arch`
    seed: int = 0  # of weights, data order, augmentation and paths, one stream each
    space: CellSpace | str = "mini"  # the search space and its network
    data: str = "digits"  # a name that `data.load` knows
    arch: Arch | None = None  # train this architecture alone
    epochs: int = 30  # see above
    batch: int = 64  # images per forward
    lr: float = 0.05  # at the start; cosine to 0, constant within an epoch (released recipe)
    momentum: float = 0.9  # released recipe
    weight_decay: float = 2.5e-4  # released recipe
    clip: float = 5.0  # of the gradient's norm (released recipe)
    crop: int = 1  # pixels of random shift
    flip: bool = False  # mirror images; digits must not be
    bn: str = "batch"  # batch norm: 'batch' (the paper's), 'running', 'recalibrated'
    precision: str = "float32"  # of convolutions; 'bfloat16' is faster where the processor has it
    train_split: str = "train"  # what it learns from; the paper's protocol: 'train+valid'
    # Epochs after which the state is kept for probes (0: before any). It changes no result: a run
    # that has kept too few trains again when it is asked for more.
    keep: tuple[int, ...] = field(default=(), metadata={"identity": False})
    device: str = "cpu"  # part of the identity: devices differ in the last bits

    def __post_init__(self) -> None:
        fill = object.__setattr__
        if isinstance(self.method, str):
            fill(self, "method", samplers.get(self.method))
        if isinstance(self.space, str):
            fill(self, "space", spaces.get(self.space))
        if self.arch is not None:
            fill(self, "arch", self.space.canonical(self.arch))
        fill(self, "keep", tuple(sorted(set(self.keep))))
        for name in ("epochs", "batch"):
            if not (isinstance(getattr(self, name), int) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a whole number > 0, got {getattr(self, name)}")
        for name in ("lr", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("momentum", "weight_decay", "crop"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be below 0, got {getattr(self, name)}")
        if self.train_split not in (*datasets.SPLITS, datasets.WHOLE):
            raise ValueError(
                f"train_split must be one of {(*datasets.SPLITS, datasets.WHOLE)}, got "
                f"{self.train_split!r}"
            )
        if self.bn not in spaces.BN_MODES:
            raise ValueError(f"bn must be one of {spaces.BN_MODES}, got {self.bn!r}")
        if self.precision not in spaces.PRECISIONS:
            raise ValueError(
                f"precision must be one of {tuple(spaces.PRECISIONS)}, got {self.precision!r}"
            )
        if any(not 0 <= epoch <= self.epochs for epoch in self.keep):
            raise ValueError(f"keep must be epochs in 0..{self.epochs}, got {self.keep}")
        datasets.check(self.data)
        build_samplers(self, n=self.batch)  # an option that no sampler takes is an error now
        check_device(self.device, self.precision)

    @property
    def label(self) -> str:
        """A name for people."""
        what = self.method.name if self.arch is None else "alone " + self.space.code(self.arch)
        return f"{what} {self.space.name} seed {self.seed}"

    @property
    def ticks(self) -> int:
        """Progress lines: one an epoch."""
        return self.epochs

    @property
    def states(self) -> list[str]:
        """Names of the states that are kept beside the last one."""
        return [f"epoch_{epoch}" for epoch in self.keep if epoch < self.epochs]

    def check_kept(self, epoch: int | None) -> None:
        """ValueError unless the state after `epoch` (None: the last one) will be there."""
        if epoch not in (None, self.epochs, *self.keep):
            raise ValueError(
                f"{self.label} does not keep epoch {epoch}, only {(*self.keep, self.epochs)}: add "
                "it to `keep` of the training config"
            )

    def inputs(self) -> dict[str, Any]:
        """The training data's hash."""
        return {"data": datasets.fingerprint(self.data)}

    def compute(self, run: Run) -> None:
        """Train from the last checkpoint, if there is one, to the end."""
        trainer = Trainer(self)
        if run.has_state("last"):
            trainer.restore(run.load_state("last"))
            past = [f"epoch_{epoch}" for epoch in self.keep if epoch < trainer.epoch]
            if not all(map(run.has_state, past)):
                trainer = Trainer(self)  # it has kept too few: from the start
        if trainer.epoch == 0 and 0 in self.keep:
            run.save_state("epoch_0", trainer.state())
        while trainer.epoch < self.epochs:
            bad = trainer.train_epoch()
            if bad is not None:
                run.fail(
                    f"the {bad} of epoch {trainer.epoch} (learning rate "
                    f"{trainer.history[-1]['lr']:.3g}); lower lr or clip"
                )
            state = trainer.state()
            if f"epoch_{trainer.epoch}" in self.states:
                run.save_state(f"epoch_{trainer.epoch}", state)
            run.save_state("last", state)
            run.log(trainer.summary())
        run.write_table("curves", pd.DataFrame(trainer.history))


@dataclass(frozen=True)
class FromTraining:
    """Base of the configs that look at a trained network: which run, and its state at which epoch.

    ValueError for an epoch that the run does not keep.
    """

    train: TrainConfig  # the run that trains the network
    epoch: int | None = None  # its state after this epoch; the last one if None
    device: str = field(init=False)  # the training run's

    ticks = 1

    def __post_init__(self) -> None:
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

    def trainer(self) -> "Trainer":
        """The trainer in that state; trains if need be."""
        return load(Run(self.train).compute(), self.epoch)


def load(run: Run, epoch: int | None = None) -> "Trainer":
    """The trainer of a run as it was after `epoch` (kept by the config), or at the end.

    ValueError where that epoch is not kept.
    """
    config: TrainConfig = run.config
    config.check_kept(epoch)
    name = "last" if epoch in (None, config.epochs) else f"epoch_{epoch}"
    trainer = Trainer(config)
    trainer.restore(run.load_state(name))
    return trainer


class AlonePath(PathSampler):
    """Always the one architecture."""

    def __init__(self, space: CellSpace, epochs: int, arch: Arch) -> None:
        super().__init__(space, epochs)
        self.arch = arch

    def draw(self, generator: torch.Generator) -> list[Arch]:
        return [self.arch]

    def restore(self, state: dict[str, Any]) -> None:
        self.arch = tuple(state["arch"])


class Trainer:
    """The state of one training run: network, optimiser, samplers, random streams, history."""

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.space = config, config.space
        self.images = datasets.load(config.data)[config.train_split].to(config.device)
        check_fit(self.images, self.space)
        self.net = build(config)
        self.optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            foreach=True,
        )
        self.paths, self.data = build_samplers(config, len(self.images))
        self.update = config.method.update.build()
        self.watch = self._watch()
        self.generators = {name: stream(config.seed, name) for name in STREAMS}
        self.epoch, self.history = 0, []

    def _watch(self) -> Watch | None:
        """Who sees that a sampler of the user's own hides no state; padalib's own do not."""
        method, n = self.config.method, len(self.images)
        own = any(part.code for part in (method.paths, method.data, method.update))
        if self.config.arch is not None or not own:
            return None
        return Watch(method, self.update, self.net, lambda: build_samplers(self.config, n))

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return max(1, round(len(self.images) / (self.config.batch * self.paths.group)))

    def train_epoch(self) -> str | None:
        """Train one epoch; where a loss or a gradient was not finite, what and in which step."""
        config = self.config
        lr = config.lr * (1 + math.cos(math.pi * self.epoch / config.epochs)) / 2
        self.optimizer.param_groups[0]["lr"] = lr
        live = self.paths, self.data
        if self.watch:
            self.watch.begin(live, self.generators, self.epoch, config.batch)
        self.paths.new_epoch(self.epoch)
        self.data.new_epoch(self.epoch)
        self.net.train()
        records = torch.zeros(self.steps, 3, device=config.device)  # loss, accuracy, norm
        drawn = torch.zeros(len(self.images), dtype=torch.bool)
        for step in range(self.steps):
            archs = self.paths.draw(self.generators["paths"])
            index, records[step] = self.step(archs)
            drawn[index] = True
            if self.watch and step == 0:
                self.watch.first(live, archs, index)
        if self.watch:
            self.watch.end(live)
        records = records.cpu()  # the epoch's only wait for the device
        self.epoch += 1
        images = self.steps * config.batch * self.paths.group
        row = {"epoch": self.epoch, "lr": lr, "steps": self.steps, "images": images}
        row |= dict(zip(("loss", "accuracy", "grad_norm"), records.mean(0).tolist(), strict=True))
        row["clipped"] = float((records[:, 2] > config.clip).float().mean())
        row["unique_images"] = float(drawn.float().mean())
        self.history.append(row | self.paths.log() | self.data.log())
        for column, name in ((0, "loss was"), (2, "gradient's norm was")):
            bad = (~records[:, column].isfinite()).nonzero()
            if len(bad):
                return f"{name} {float(records[bad[0], column])} in step {int(bad[0])}"
        return None

    def step(self, archs: list[Arch]) -> tuple[Tensor, Tensor]:
        """Train one step of the given paths: indices of its images [B], and [loss, accuracy, norm].

        Nothing here waits for the device.
        """
        config, rng = self.config, self.generators
        index = self.data.draw(config.batch, rng["data"])
        x, y = self.images.batch(index, rng["augment"], config.crop, config.flip)
        self.optimizer.zero_grad(set_to_none=not config.method.zero_grad)
        record = self.update.step(
            self.net, self.optimizer, config.clip, archs, index, x, y, self.paths, self.data
        )
        return index, torch.stack(record)

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
        }

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
        for name, generator in self.generators.items():
            generator.set_state(state["generators"][name])


def stream(seed: int, name: str) -> torch.Generator:
    """An independent random stream for each purpose of a run."""
    return torch.Generator().manual_seed(zlib.crc32(f"{name}/{seed}".encode()))


def check_device(device: str, precision: str = "float32") -> None:
    """ValueError for a device that is not there, or lacks the precision; warns if it is slow."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"{device!r} is no device that torch knows: pass 'cpu' or 'cuda'"
        ) from error
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported: pass 'cpu' or 'cuda'")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {device!r} asked for, but torch sees no CUDA device: pass device='cpu' (or "
            "unset PADALIB_DEVICE), or install a torch build with CUDA and its driver"
        )
    if precision == "bfloat16" and kind == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise ValueError(f"{device!r} cannot compute in bfloat16: pass precision='float32'")
    if precision == "bfloat16" and kind == "cpu":
        able = torch.cpu.get_capabilities()
        if able.get("architecture") == "x86_64" and not (
            able.get("avx512_bf16") or able.get("amx_bf16")
        ):
            warnings.warn(
                f"this processor ({able.get('cpu_name')}) has no bfloat16 instructions, so "
                "precision='bfloat16' is slower here than 'float32'",
                stacklevel=2,
            )


def check_fit(images: datasets.ImageSet, space: CellSpace) -> None:
    """ValueError unless the network of `space` is made for such images and labels."""
    channels, height, width = images.images.shape[1:]
    found = {
        "in_channels": (space.in_channels, channels),
        "size": (space.size, height if height != space.size else width),
        "classes_out": (space.classes_out, int(images.labels.max()) + 1),
    }
    for field_name, (built, given) in found.items():
        if built != given and not (field_name == "classes_out" and given < built):
            raise ValueError(
                f"{images.name} has {field_name} {given}, but {space.name} is built for {built}: "
                f"use dataclasses.replace(space, {field_name}={given})"
            )


def build(config: TrainConfig) -> Supernet:
    """The untrained network of a run."""
    seed = zlib.crc32(f"init/{config.seed}".encode())
    net = config.space.build(seed, config.arch, config.bn, config.precision)
    return net.to(config.device, memory_format=torch.channels_last)


def build_samplers(config: TrainConfig, n: int) -> tuple[PathSampler, samplers.DataSampler]:
    """The path sampler and the data sampler of a run, at their start."""
    if config.arch is not None:
        return AlonePath(config.space, config.epochs, config.arch), samplers.Shuffled(
            n, config.epochs
        )
    method = config.method
    return method.paths.build(config.space, config.epochs), method.data.build(n, config.epochs)
