"""padalib: supernets, path and data samplers, gradient-variance probes (the PA&DA workbook)."""

__version__ = "0.1.0"

# Part of every run's identity. Raise it when a change alters what a run computes, so that old runs
# are not mistaken for new ones; `tests/test_recipe.py` notices when it was forgotten. Where only
# one kind of run is concerned, count it in `changes` of its config: the others are kept.
RECIPE = 3
