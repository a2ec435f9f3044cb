"""Figures of the study of optimal sampling."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from padalib.study import figures, wording
from padalib.study.optimum import ORDER, Optimum, at

ONE, MANY = figures.TWO  # one image a step; a batch
HELD, MISSED = {"color": MANY, "lw": 1}, {"color": "black", "lw": 1.8}  # intervals of probes
MOST = 20.0  # what lies beyond is written, not drawn to scale
TICKS = (0.5, 1, 2, 5, 10, 20)
FEW_SEEDS = 10  # so few are named, each at its place
PAIRS = (  # table, column, label
    ("paths", "held paths", "p that PA&DA holds"),
    ("paths", "size", "p by size"),
    ("images", "softmax error", "softmax error"),
    ("images", "held images", "q that PA&DA holds"),
)


def draw(found: Optimum, exact: pd.DataFrame) -> Figure:
    """Variance of every distribution at the end, with importance weights and without."""
    ends, batch = last(exact), int(exact.batch.max())
    with figures.style():
        figure = Figure(figsize=(6.75, 4.2))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, weights, title in (
            (axes[0], "importance", "with importance weights"),
            (axes[1], "raw", "steps as taken, no weights"),
        ):
            for size, shade, shift in ((1, ONE, -0.15), (batch, MANY, 0.15)):
                rows = ends[(ends.weights == weights) & (ends.batch == size)]
                for place, name in enumerate(ORDER):
                    values = rows.loc[rows.distribution == name, "fraction"]
                    label = f"{size} image{'s' if size > 1 else ''} a step"
                    look = {"color": shade, "ms": 3, "mec": "white", "mew": 0.3}
                    label = label if place == 0 else None
                    near, height = values[values <= MOST], place + shift
                    axis.plot(near, [height] * len(near), "o", **look, label=label)
                    if len(near) < len(values):
                        mean = at(found.fractions, name, weights, size).change
                        far = {"ha": "right", "va": "center", "color": shade}
                        axis.text(MOST, place + 1.6 * shift, wording.short(mean) + " →", **far)
            axis.axvline(1, color="grey", lw=0.6)
            axis.set(xscale="log", xlim=(0.5, MOST), title=title)
            axis.set_xlabel("variance / uniform sampling's")
            figures.log_ticks(axis.xaxis)
            axis.xaxis.set_major_locator(FixedLocator(TICKS))
        axes[0].set_yticks(range(len(ORDER)), ORDER)
        axes[0].invert_yaxis()
        axes[0].legend(loc="upper right")
    return figure


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the end of training."""
    return rows[rows.epoch == rows.epoch.max()]


def caption(found: Optimum, scale: str, images: int) -> str:
    """What the optimum saves, and what those in use do."""
    rows = found.fractions
    far = (rows.change > MOST).any()
    beyond = (
        " Numbers at arrows: geometric means of rows with a point beyond the axis." if far else ""
    )
    held = wording.short(at(rows, "held").change)
    return (
        f"Exact variance of a step at the end of training, scale {scale}, {rows.seeds.max()} "
        f"seeds, over {images} images. In steps of {rows.batch.max()} images with weights the "
        f"optimum has {at(rows, 'optimum').change:.2f} of uniform sampling's variance, the "
        f"best that one number per operation can do "
        f"{at(rows, 'best per operation').change:.2f}, what PA&DA holds {held}; "
        f"in steps without weights, as released, {at(rows, 'held', 'raw').change:.2f}. "
        "Points: seeds. Best: the least variance within a family (product: paths and images drawn "
        "independently); norms: PA's scores, exactly; softmax error: DA's score; size: without "
        "gradients; held: what the run drew by. "
        f"All on one network, PA&DA's, with frozen batch norm.{beyond}"
    )


def draw_proxies(paths: pd.DataFrame, images: pd.DataFrame, proxies: pd.DataFrame) -> Figure:
    """What stands for the norm against the probability of least variance; end, first seed."""
    sides = {"paths": last(paths), "images": last(images)}
    rows = last(proxies)
    seed = rows.seed.min()
    rows = rows[rows.seed == seed].set_index(["over", "proxy"])
    with figures.style():
        figure = Figure(figsize=(6.75, 2.4))
        axes = figure.subplots(1, len(PAIRS))
        for axis, (over, column, label) in zip(axes, PAIRS, strict=True):
            own, row = sides[over], rows.loc[(over, column)]
            own = own[own.seed == seed]
            figures.scatter(axis, own[column], own.best, ONE)
            title = f"rho {row.rho:+.2f}\n[{row.low:+.2f}, {row.high:+.2f}]"
            axis.set(xscale="log", yscale="log", xlabel=label, title=title)
            figures.log_ticks(axis.xaxis)
            figures.log_ticks(axis.yaxis)
        axes[0].set_ylabel("best p")
        axes[2].set_ylabel("best q")
    return figure


def caption_proxies(proxies: pd.DataFrame) -> str:
    """Means over seeds of Spearman's rho."""
    rows = last(proxies)
    means = rows.groupby(["over", "proxy"]).rho.mean()
    return (
        f"What stands for the norm, against the probability of least variance, at the end of "
        f"training (seed {rows.seed.min()}; titles: Spearman's rho, 95 % bootstrap). Means over "
        f"seeds: held p {means['paths', 'held paths']:+.2f}, size {means['paths', 'size']:+.2f}, "
        f"softmax error {means['images', 'softmax error']:+.2f}, held q "
        f"{means['images', 'held images']:+.2f}."
    )


def draw_agreement(probes: pd.DataFrame) -> Figure:
    """Each sampled probe's interval of the total variance, over the exact value."""
    totals = probes[probes.quantity == "total"]
    with figures.style():
        panels = list(totals.groupby(["epoch", "weights"], sort=False))
        figure = Figure(figsize=(6.75, 2.1))
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, ((epoch, weights), rows) in zip(axes, panels, strict=True):
            for row in rows.itertuples():
                ends = [row.low / row.exact, row.high / row.exact]
                look = HELD if row.covered else MISSED
                axis.plot([row.probe_seed] * 2, ends, **look)
                dot = {"color": "black", "mec": "white", "mew": 0.4, "ms": 3}
                axis.plot(row.probe_seed, row.ratio, "o", **dot)
            axis.axhline(1, color="grey", lw=0.6)
            word = "weighted" if weights == "importance" else "as taken"
            axis.set(yscale="log", title=f"{word}, epoch {epoch}", xlabel="seed of the probe")
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))  # there is no seed 0.5
            if len(seeds := sorted(rows.probe_seed.unique())) < FEW_SEEDS:
                axis.set_xticks(seeds)
            figures.log_ticks(axis.yaxis)
        axes[0].set_ylabel("sampled / exact variance")
    return figure


def caption_agreement(found: Optimum) -> str:
    """How many intervals hold the exact value."""
    totals = found.agreed[found.agreed.quantity == "total"]
    words = {"raw": "as taken", "importance": "weighted"}
    said = [
        f"{row.held} of {row.of} ({words[row.weights]}, epoch {row.epoch})"
        for row in totals.itertuples()
    ]
    paths = found.probes[found.probes.quantity == "total"].paths.max()
    missed = " Thick and black: those that miss it." if (totals.held < totals.of).any() else ""
    return (
        f"The sampled probe against the exact variance of the same population: probes of at "
        f"most {paths} paths, 95 % intervals. They hold the exact value in "
        f"{', '.join(said)}.{missed}"
    )
