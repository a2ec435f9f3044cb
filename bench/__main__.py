"""`make bench`: what each method's step costs beside SPOS's, measured now, in one process."""

import sys

import numpy as np

from padalib import metrics, runs, samplers, scales
from padalib.cost import paired_times

PAIRS, PATHS = 100, 10
BAR = 1.05  # PA&DA's step over SPOS's, same architectures


def main() -> int:
    """Print a table; exit 1 when PA&DA's median ratio is above the bar."""
    study = scales.get("laptop")
    failed = False
    print(f"{PAIRS} pairs of blocks of {PATHS} paths, batch {study.batch}, {study.space}, 1 thread")
    for method in samplers.METHODS:
        with runs.one_thread():
            times = paired_times(study.training(method, seed=0), PAIRS, PATHS)
        ratio = times[:, 1] / times[:, 0]
        low, high = metrics.bootstrap(np.median, ratio)
        median = np.median(ratio)
        verdict = ""
        if method == "PA&DA":
            failed = median > BAR
            verdict = f"  bar {BAR}: {'missed' if failed else 'met'}"
        print(
            f"{method:16s} {1e3 * np.median(times[:, 1]):6.2f} ms a path, "
            f"{median:.3f} [{low:.3f}, {high:.3f}] of SPOS{verdict}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
