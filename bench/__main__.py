"""`make bench`: our way beside the textbook way, measured now, in one process, block against block.

At the size of the paper (C=16, N=5, 32x32, batch 256) on noise: time does not depend on what the
images show. Exit status 1 when a bar is missed.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import count

import numpy as np
import torch
from torch.utils.data import DataLoader

from bench import roofline, textbook
from padalib import data as datasets
from padalib import samplers, spaces
from padalib.benchmarks import truth
from padalib.data import ImageSet
from padalib.engine import launch, runs
from padalib.probes import cost
from padalib.ranking import metrics, scores
from padalib.spaces.chain import ChainNet
from padalib.study import scales
from padalib.train import TrainConfig, Trainer

NOISE, BATCH, CROP, LR = "noise", 256, 4, 0.05
missed: list[str] = []


def noise() -> dict[str, ImageSet]:
    """Random pixels in the shape of CIFAR-10."""
    rng = torch.Generator().manual_seed(0)

    def draw(n: int) -> ImageSet:
        pixels = torch.randint(256, (n, 3, 32, 32), generator=rng, dtype=torch.uint8)
        labels = torch.randint(10, (n,), generator=rng)
        return ImageSet(NOISE, pixels, labels, (0.5,) * 3, (0.25,) * 3)

    return {split: draw(2048) for split in datasets.SPLITS}


def paired(a: Callable[[int], None], b: Callable[[int], None], pairs: int) -> np.ndarray:
    """Seconds [pairs, 2] of a(pair) and b(pair), which one first at random; one pair to warm up."""
    order = np.random.default_rng(0).integers(2, size=pairs + 1)
    times = np.zeros((pairs + 1, 2))
    for pair in range(pairs + 1):
        for k in (0, 1) if order[pair] else (1, 0):
            start = time.perf_counter()
            (a, b)[k](pair)
            times[pair, k] = time.perf_counter() - start
    return times[1:]


def report(name: str, ratio: np.ndarray, bar: float, most: bool = False) -> None:
    """One line: the median ratio, its interval, and whether it meets the bar."""
    low, high = metrics.bootstrap(np.median, ratio)
    median = float(np.median(ratio))
    met = median <= bar if most else median >= bar
    if not met:
        missed.append(name)
    sign = "<=" if most else ">="
    print(
        f"  {name}: {median:.3f} [{low:.3f}, {high:.3f}]  bar {sign} {bar}: "
        f"{'met' if met else 'MISSED'}",
        flush=True,
    )


def precision() -> str:
    """bfloat16 where the processor has it."""
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def training(space: spaces.CellSpace, pairs: int) -> None:
    """Images a second of PA&DA's training beside the textbook's SPOS, on the same architectures."""
    archs = scores.sample(space, pairs + 1)
    plain = textbook.Trainer(space, noise()["train"], BATCH, CROP, LR)
    config = TrainConfig(
        "PA&DA", space=space, data=NOISE, batch=BATCH, crop=CROP, flip=True, precision=precision()
    )
    ours = Trainer(config)
    print(
        f"training, {space.name} C={space.channels} N={space.cells}, batch {BATCH}, "
        f"{torch.get_num_threads()} threads; ours: PA&DA, {config.precision}"
    )
    times = paired(lambda i: plain.step(archs[i]), lambda i: ours.step([archs[i]]), pairs)
    speeds = BATCH / np.median(times, axis=0)
    print(f"  textbook {speeds[0]:.0f} images/s, ours {speeds[1]:.0f} images/s")
    report("training, ours over textbook", times[:, 0] / times[:, 1], 3.0)
    moved, done = roofline.count(lambda: ours.step([archs[0]]))
    seconds = float(np.median([ours_time(ours, archs[0]) for _ in range(3)]))
    peak, wide = roofline.arithmetic(spaces.PRECISIONS[config.precision]), roofline.bandwidth()
    print(
        f"  roofline of one step: {moved / 1e9:.2f} GB at {wide / 1e9:.1f} GB/s is "
        f"{moved / wide:.2f} s; {done / 1e9:.0f} GFLOP at {peak / 1e9:.0f} GFLOP/s is "
        f"{done / peak:.2f} s; measured {seconds:.2f} s, "
        f"{100 * (moved / wide) / seconds:.0f} % of it memory traffic at full speed",
        flush=True,
    )


def ours_time(trainer: Trainer, arch: spaces.Arch) -> float:
    """Seconds of one step."""
    start = time.perf_counter()
    trainer.step([arch])
    return time.perf_counter() - start


def ranking(space: spaces.CellSpace, blocks: int, images: int) -> None:
    """Architectures a second over the whole space: all 15,625 by a full pass each, or our way.

    Ours are stretches of neighbours in the sorted list of classes, as a whole ranking walks it.
    """
    held = noise()["valid"].first(images)
    net = space.build(0, precision=precision()).to(memory_format=torch.channels_last)
    plain = textbook.Textbook(space).take_weights(net)
    loader = DataLoader(textbook.Pictures(held, False, 0), BATCH)
    every, classes = scores.sample(space, 2 * (blocks + 1)), sorted(space.classes())
    length = 4
    starts = np.random.default_rng(1).integers(len(classes) - length, size=blocks + 1)

    def theirs(i: int) -> None:
        for arch in every[2 * i : 2 * i + 2]:
            textbook.accuracy(plain, arch, loader)

    def ours(i: int) -> None:
        scores.score(net, classes[starts[i] : starts[i] + length], held, BATCH)

    times = paired(theirs, ours, blocks)
    each = times / np.array([2, length])
    whole = each * np.array([len(space), len(classes)])
    share = len(space) / len(classes)
    speeds = 1 / np.median(each, axis=0)
    print(
        f"ranking the {len(space):,} architectures on {images} images: textbook "
        f"{speeds[0]:.2f} a second, ours {share * speeds[1]:.2f} ({len(classes):,} classes)"
    )
    report("ranking, ours over textbook", whole[:, 0] / whole[:, 1], 6.0)


class OneByOne(ChainNet):
    """A chain that computes every path from its images on."""

    walk = spaces.Supernet.walk


def prefixes(space: spaces.ChainSpace, pairs: int, images: int, part: int = 27) -> None:
    """Seconds to rank a whole chain space one by one (a random part of it, scaled), and our way."""
    pixels = noise()["valid"].first(images)
    held = replace(pixels, images=pixels.images[..., : space.size, : space.size].contiguous())
    net = space.build(0).to(memory_format=torch.channels_last)
    plain = OneByOne(space, "batch", None, "float32").to(memory_format=torch.channels_last)
    plain.load_state_dict(net.state_dict())
    archs = list(space)
    some = scores.sample(space, len(archs))

    def theirs(i: int) -> None:
        own = [some[(i * len(some) // part + k) % len(some)] for k in range(len(some) // part)]
        scores.score(plain, own, held)

    times = paired(theirs, lambda i: scores.score(net, archs, held), pairs)
    times[:, 0] *= len(archs) / (len(archs) // part)
    seconds = np.median(times, axis=0)
    print(
        f"ranking all {len(archs):,} of {space.name}, C={space.channels}, {space.size}x{space.size}"
        f", on {images} images: one by one {seconds[0]:.0f} s, ours {seconds[1]:.0f} s"
    )
    report("ranking a chain, ours over one by one", times[:, 0] / times[:, 1], 4.0)


def steps(space: spaces.CellSpace, pairs: int) -> None:
    """The cost of each method's step beside SPOS's."""
    config = TrainConfig(
        "SPOS", space=space, data=NOISE, batch=BATCH, crop=CROP, flip=True, precision=precision()
    )
    print(f"PA&DA's step over SPOS's at this size, {pairs} pairs of one path")
    times = cost.paired_times(replace(config, method="PA&DA"), pairs, 1)
    report("PA&DA over SPOS", times[:, 1] / times[:, 0], 1.03, most=True)
    study = scales.get("laptop")
    print(f"and at laptop scale: 30 pairs of blocks of 10 paths, batch {study.batch}, 1 thread")
    for method in samplers.METHODS:
        with runs.one_thread():
            times = cost.paired_times(study.training(method, seed=0), 30, 10)
        ratio = times[:, 1] / times[:, 0]
        low, high = metrics.bootstrap(np.median, ratio)
        print(
            f"  {method:18s} {1e3 * np.median(times[:, 1]):6.2f} ms a path, "
            f"{np.median(ratio):.3f} [{low:.3f}, {high:.3f}] of SPOS",
            flush=True,
        )


def quietly(configs: list, workers: int) -> list[runs.Run]:
    """Finished runs, without their lines of progress."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return launch.grid(configs, workers)


def grid(rounds: int, epochs: int) -> None:
    """Eight runs at C=8, N=1, 16x16 with two workers, and with one."""
    space = replace(spaces.get("nasbench201"), channels=8, cells=1, size=16, in_channels=1)
    fresh = count()

    def eight(workers: int) -> float:
        seeds = [next(fresh) for _ in range(8)]
        configs = [TrainConfig(seed=s, space=space, data="digits", epochs=epochs) for s in seeds]
        start = time.perf_counter()
        quietly(configs, workers)
        return time.perf_counter() - start

    print(f"grid of 8 runs, C=8, N=1, 16x16, {epochs} epochs of 8,000 images", flush=True)
    ratio = np.array([eight(1) / eight(2) for _ in range(rounds)])
    report("grid, two workers over one", ratio, 1.8)


def halves(seeds: int, epochs: int) -> None:
    """tau of supernets trained and ranked in bfloat16 and in float32, same seeds."""
    if precision() == "float32":
        print("no bfloat16 instructions here, so nothing to compare")
        return
    study = replace(scales.get("laptop"), epochs=epochs, keep=(), exact_epochs=())
    configs = [
        study.scoring(replace(study.training("SPOS", seed), precision=kind))
        for seed in range(seeds)
        for kind in ("bfloat16", "float32")
    ]
    taus = [truth.compare(run).tau for run in quietly(configs, launch.cores())]
    found = metrics.paired_difference(taus[::2], taus[1::2])
    changed = metrics.verdict(found.low, found.high, "higher", "lower", "unchanged")
    print(
        f"SPOS on {study.space.name}, {epochs} epochs, {seeds} seeds: tau in bfloat16 "
        f"{np.mean(taus[::2]):.3f}, in float32 {np.mean(taus[1::2]):.3f}, difference "
        f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]: {changed}",
        flush=True,
    )
    if changed == "lower":
        missed.append("tau in bfloat16")


def main() -> int:
    """Print the measurements; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=12, help="pairs of timed blocks")
    space, chain = spaces.get("nasbench201"), replace(spaces.get("macro"), channels=8, size=16)
    parts: dict[str, Callable[[int], None]] = {
        "training": lambda pairs: training(space, pairs),
        "ranking": lambda pairs: ranking(space, pairs, images=512),
        "prefixes": lambda pairs: prefixes(chain, max(1, pairs // 4), images=1000),
        "steps": lambda pairs: steps(space, 2 * pairs),
        "grid": lambda _: grid(rounds=3, epochs=4),
        "halves": lambda _: halves(seeds=8, epochs=10),
    }
    parser.add_argument("--only", choices=parts, help="measure this alone")
    asked = parser.parse_args()
    datasets.DATASETS[NOISE] = noise
    torch.set_num_threads(launch.cores())
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"PADALIB_DATA": folder, "PADALIB_HEADLESS": "1"}
        for name, measure in parts.items():
            if asked.only in (None, name):
                measure(asked.pairs)
    if missed:
        print("missed: " + ", ".join(missed))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
