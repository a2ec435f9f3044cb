"""Truth tables of our own, made here and, by maintainers, published."""

from padalib import spaces
from padalib.benchmarks import alone, layouts, truth
from padalib.engine import paths

SEEDS = 3  # of each architecture, where no table says how many
LARGEST = 1000  # architectures to train alone, one by one


def make(
    name: str, seeds: int | None = None, workers: int | None = None, publish: bool = False
) -> str:
    """Train every architecture of a space alone and write `build/truth/<name>.csv`; says how good.

    With `publish` the table also becomes `data/truth/<name>.csv`. ValueError for a space that is
    too large for it.
    """
    space = spaces.get(name)
    if len(space) > LARGEST:
        raise ValueError(
            f"{name} has {len(space):,} architectures, too many to train each alone (at most "
            f"{LARGEST:,}); its truth comes from a published benchmark, see data/README.md"
        )
    own, home = paths.project_root() / "build" / "truth" / f"{name}.csv", layouts.own_path(space)
    if seeds is None:
        seeds = len(truth.load(space).seeds) if home.exists() else SEEDS
    table = alone.build(name, range(seeds), workers)
    alone.save(table, own)
    # One of each class: members that share a run would agree perfectly.
    codes = [space.code(arch) for arch in space.classes()]
    known, said = truth.load(space, own), [f"{own}: {len(table)} architectures, {seeds} seeds"]
    for what, found in (("another table", known.agreement), ("perfect scores", known.perfect)):
        tau, low, high = found("test", codes)
        said.append(f"tau with {what} like it {tau:.3f} [{low:.3f}, {high:.3f}]")
    if publish:
        alone.save(table, home)
        said.append(f"published as {home}")
    elif home.exists():
        same = own.read_bytes() == home.read_bytes()
        said.append(f"the published table {home} {'is the same' if same else 'differs'}")
    return "\n".join(said)
