"""padalib: supernets, path and data samplers, gradient-variance probes (the PA&DA workbook).

To read the core, in this order; each file says in its first lines what it is about:

1. `spaces/base.py`: a space is a product of positions; `cell.py` and `chain.py` are two kinds
2. `spaces/network.py`: what a supernet is; `cell_net.py` and the end of `chain.py` build them
3. `samplers/base.py`, then one method a file: `spos.py`, `pa.py`, `da.py`, `curriculum.py`, ...
4. `train.py`: the only training loop
5. `probes/sampled.py`: gradient variance from nested draws
6. `probes/population.py`, `frozen.py`, `exact.py`: the same exactly, on a small population

Around it, from the ground up; a room uses those below it only:

    study/       what the notebooks share: a folder a question, scales, claims, figures
    commands/    what the command line does: run, redraw, compare, publish, report
    probes/      variance, sampled and exact; the cost of a step
    benchmarks/  truth tables: readers, checks, comparing with them, making our own
    ranking/     scores of architectures, and measures of a ranking with intervals
    train.py
    samplers/    one method a file          data/    image sets
    spaces/      search spaces              engine/  runs, grids of runs, where things lie
"""

__version__ = "0.2.0"

# Part of every run's identity. Raise it when a change alters what a run computes, so that old runs
# are not mistaken for new ones; `tests/test_recipe.py` notices when it was forgotten. Where only
# one kind of run is concerned, count it in `changes` of its config: the others are kept.
RECIPE = 3
