"""Mistakes that a newcomer makes in a space of her own, and what she is told."""

import pytest
import torch

from padalib import spaces
from padalib.spaces import checking_net
from padalib.train import TrainConfig

GOOD = """
from dataclasses import dataclass, field
from functools import cached_property
import torch
from torch import nn
from padalib.spaces import ChainSpace, Norm, Position, Space, Supernet

@dataclass(frozen=True)
class Mine(Space):
    name: str = "mine"
    size: int = 16
    in_channels: int = 1
    classes_out: int = 10

    @cached_property
    def positions(self):
        return Position("left", ("conv3", "conv1", "off")), Position("right", ("conv3", "conv5"))

    def network(self, bn, arch, precision):
        return Net(self, bn, arch, precision)

class Net(Supernet):
    def __init__(self, space, bn, arch, precision):
        super().__init__(space, bn, arch, precision)
        self.stem = nn.Conv2d(space.in_channels, 6, 3, stride=2)
        self.norm = Norm(6, **self.norm_options)
        self.head = nn.Linear(6, space.classes_out)
        self.branches = nn.ModuleList()
        for place, position in enumerate(space.positions):
            sizes = [int(name[-1]) if name != "off" else 0 for name in position.options]
            if arch is not None:
                sizes = [k if option == arch[place] else 0 for option, k in enumerate(sizes)]
            convs = [nn.Conv2d(6, 6, k, padding=k // 2) if k else nn.Identity() for k in sizes]
            self.branches.append(nn.ModuleList(convs))

    def features(self, x, arch):
        x = self.norm(self.stem(x)).relu()
        x = sum(branch[option](x) for branch, option in zip(self.branches, arch))
        return x.relu().mean((2, 3))

    def choices(self):
        return {(place, option): [module]
                for place, branch in enumerate(self.branches)
                for option, module in enumerate(branch)}
"""
ZIPPED = "branch[option](x) for branch, option in zip(self.branches, arch)"
MISTAKES = {
    "tensors in a list": (
        "self.branches = nn.ModuleList()",
        "self.branches, self.scales = nn.ModuleList(), {'a': [torch.ones(1)]}",
        "scales of  of Net is or holds a tensor that is no weight",
    ),
    "a field of ours": (
        "    size: int = 16\n",
        "    size: int = 16\n    architectures: int = 7\n",
        "Mine names one of its fields architectures, which says how many it has: rename it",
    ),
    "a bare tensor": (
        "self.branches = nn.ModuleList()",
        "self.branches, self.scale = nn.ModuleList(), torch.full((1,), 0.5)",
        "scale of  of Net is or holds a tensor that is no weight, so it stays",
    ),
    # The class.
    "no dataclass": ("@dataclass(frozen=True)\n", "", "Mine must be a frozen dataclass: write @d"),
    "not frozen": ("@dataclass(frozen=True)", "@dataclass", "Mine must be a frozen dataclass: wri"),
    "no size": (
        "    size: int = 16\n",
        "",
        "size of Mine must be a whole number from 1, got None: give it a line `size: int = ...`",
    ),
    "no name": ('"mine"', '""', "name of Mine must be a text, got ''"),
    "a list": (
        "    size: int",
        "    widths: list = field(default_factory=list)\n    size: int",
        "fields of Mine must not change: write tuples for lists",
    ),
    # Positions.
    "a method": ("    @cached_property\n", "", "mine is a method: write @cached_property above it"),
    "one position without comma": (
        ', Position("right", ("conv3", "conv5"))',
        "",
        r"a single one is \(Position\(...\),\)",
    ),
    "names, no positions": (
        'Position("right", ("conv3", "conv5"))',
        '("conv3", "conv5")',
        "must be Position objects, each with a name of its own",
    ),
    "twice one name": ('"right"', '"left"', "must be Position objects, each with a name of its ow"),
    "one option without comma": (
        '("conv3", "conv5")',
        '("conv5")',
        r"options of position 'right' must be a tuple of names such as \('conv5',\), got 'conv5'",
    ),
    "options in a list": ('("conv3", "conv5")', '["conv3", "conv5"]', "'right' must be a tuple of"),
    "an option twice": ('("conv3", "conv5")', '("conv3", "conv3")', "must be different texts"),
    "a bar in a name": ('("conv3", "conv5")', '("conv|3", "conv5")', "must be different texts wit"),
    "options of the names of parts": (
        '("conv3", "conv5")',
        '("conv3", "fixed")',
        "position 'right' has an option 'fixed', which is the name of other weights in tables of",
    ),
    "all": ('"off"', '"all"', "position 'left' has an option 'all', which is the name of other we"),
    "inputs": ('"off"', '"inputs"', "'left' has an option 'inputs', which is the name of other we"),
    "an option called as a position": (
        '"off"',
        '"position 1"',
        r"option 'position 1', .* each 'position <number>'\): give it another name",
    ),
    # The network.
    "no network": (
        "    def network",
        "    def net",
        "Mine must define network",
    ),
    "another signature": (
        "def network(self, bn, arch, precision)",
        "def network(self)",
        r"making the network of mine fails .*: the signatures are network\(self, bn, arch, precis",
    ),
    "nothing returned": ("        return Net(", "        Net(", "return a Supernet, got NoneType"),
    "no super": (
        "        super().__init__(space, bn, arch, precision)\n",
        "",
        r"making the network of mine fails .* begin __init__ with super",
    ),
    "no head": ("self.head =", "self.last =", "Net has no head: set self.head = nn.Linear"),
    "modules in a list": (
        "nn.ModuleList(convs)",
        "convs",
        r"making the network of mine fails \(TypeError: .*list",
    ),
    "modules in a list of lists": (
        "self.branches = nn.ModuleList()",
        "self.branches = []",
        "does not hold the modules of 'conv3' of position 0, so nobody trains them: keep modules",
    ),
    "plain batch norm": (
        "Norm(6, **self.norm_options)",
        "nn.BatchNorm2d(6)",
        r"norm of Net keeps running statistics.*: make it by Norm\(channels, \*\*self.norm_option",
    ),
    "dropout": (
        "self.norm = Norm",
        "self.drop = nn.Dropout()\n        self.norm = Norm",
        "draws fr",
    ),
    "weights of its own": (
        "self.norm = Norm",
        "self.scale = nn.PReLU()\n        self.norm = Norm",
        r"scale of Net \(PReLU\) has weights or buffers of its own",
    ),
    # Choices and features.
    "no choices": ("    def choices", "    def chosen", "Net must define choices"),
    "modules without a list": (": [module]", ": module", "it gives Conv2d, no list"),
    "choices by name": (
        "enumerate(branch)",
        'zip("abc", branch)',
        r"both counted from 0; \(0, 'a'\) is neither in mine",
    ),
    "no pooling": (".mean((2, 3))", "", r"\[B, D\], got \[2, 6, 7, 7\]: average over pixels with"),
    "features of another width": (
        "nn.Linear(6,",
        "nn.Linear(7,",
        "the head must be as wide as the features",
    ),
    "ten labels for ever": (
        "nn.Linear(6, space.classes_out)",
        "nn.Linear(6, 9)",
        r"gives \[2, 9\] for 2 images of 10 classes: make it nn.Linear\(..., space.classes_out\)",
    ),
    "colours": (
        "in_channels: int = 1",
        "in_channels: int = 3",
        None,  # the stem asks the space
    ),
    "grey for ever": (
        "nn.Conv2d(space.in_channels, 6",
        "nn.Conv2d(3, 6",
        r"the path 0-0 \(conv3\|conv3\) of mine fails .* the first one takes space.in_channels",
    ),
    "no padding": (
        ", padding=k // 2",
        "",
        "fails .*: what is added must have equal shapes: mind strides, widths and padding",
    ),
    "an option that does nothing": (
        ZIPPED,
        "self.branches[0][option](x) for option in arch[:1]",
        r"the path 0-0 \(conv3\|conv3\) does not use weights that choices\(\) gives to 'conv3' of "
        "position 1",
    ),
    "one position asked for the other": (
        ZIPPED,
        "branch[min(arch[0], len(branch) - 1)](x) for branch in self.branches",
        r"the path 0-1 .* does not use weights that choices\(\) gives to 'conv5' of position 1",
    ),
    "one position left out beside an option": (
        ZIPPED,
        ZIPPED + " if arch != (2, 0) or branch is self.branches[0]",
        r"the path 2-0 \(off\|conv3\) does not use weights .* 'conv3' of position 1: .* in live",
    ),
    "options counted from the end": (
        ZIPPED,
        "branch[-1 - option](x) for branch, option in zip(self.branches, arch)",
        r"does not use weights that choices\(\) gives to 'conv3' of position 0",
    ),
    "everything at once": (
        ZIPPED,
        "module(x) for branch in self.branches for module in branch",
        "uses weights that choices.. gives to .*, which it does not choose",
    ),
    "a choice left out": (
        "enumerate(self.branches)\n",
        "enumerate(self.branches[:1])\n",
        r"some paths use branches.1.\d.\w+, others do not, and choices\(\) does not name whose",
    ),
    "canonical": (
        "    def network",
        "    def canonical(self, arch):\n        return 0, (arch[1] + 1) % 2\n    def network",
        r"canonical of mine must give one representative: \(0, 1\) for \(0, 0\), but \(0, 0\)",
    ),
    "canonical of other functions": (
        "    def network",
        "    def canonical(self, arch):\n        return arch[0], 0\n    def network",
        r"canonical of mine gives \(1, 0\) \(conv1\|conv3\) for \(1, 1\) \(conv1\|conv5\), and "
        "from the same weights these two compute unlike outputs, so they would share one score: "
        "give one representative to codes of the same function only, or leave canonical out",
    ),
    "canonical of no architecture": (
        "    def network",
        "    def canonical(self, arch):\n        return arch if arch[0] else (0,)\n    def network",
        r"canonical of mine gives \(0,\) for \(0, 0\), which is no architecture of it: .* got 1",
    ),
    "canonical in a list": (
        "    def network",
        "    def canonical(self, arch):\n        return list(arch)\n    def network",
        r"canonical of mine gives \[0, 0\] for \(0, 0\), .* return a tuple of ints, as \(0, 0\) is",
    ),
    "canonical in tensors": (
        "    def network",
        "    def canonical(self, arch):\n        return tuple(torch.tensor(arch))\n    def network",
        r"canonical of mine gives .* for \(0, 0\), .*: return a tuple of ints, as \(0, 0\) is",
    ),
    "live": (
        "    def network",
        "    def live(self, arch):\n        return (True,)\n    def network",
        "live of mine must say True or False of each of 2 positions",
    ),
    "live that calls dead what is used": (
        "    def network",
        "    def live(self, arch):\n        return arch[1] == 0, True\n    def network",
        r"the path 1-1 \(conv1\|conv5\) uses weights that choices\(\) gives to 'conv1' of position "
        r"0, of which live\(arch\) says that it takes no part: .* so say True of what features",
    ),
    # Alone.
    "everything alone": (
        "if arch is not None:",
        "if False:",
        r"the network of 0-0 \(conv3\|conv3\) alone holds weights of 'conv1' of position 0, which "
        r"it does not use, .*: where network\(bn, arch, precision\) is given an arch, make the mod",
    ),
}


def made(text):
    names = {"__name__": "__main__"}
    exec(text, names)
    return names["Mine"]()


def test_what_is_whole_passes_and_trains():
    space = made(GOOD)
    spaces.check(space)
    assert TrainConfig(space=space, data="digits-small").space is space
    assert TrainConfig(space="mini").space is spaces.get("mini")


@pytest.mark.parametrize("name", spaces.SPACES)
def test_the_workbooks_own_spaces_pass(name):
    spaces.check(spaces.get(name))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_remedy(name):
    old, new, said = MISTAKES[name]
    assert old in GOOD
    space = made(GOOD.replace(old, new, 1))
    if said is None:
        spaces.check(space)
        return
    with pytest.raises(ValueError, match=said):
        spaces.check(space)


@pytest.mark.parametrize("name", ["not frozen", "one option without comma", "no pooling"])
def test_a_config_says_it_before_anything_is_trained(name):
    old, new, said = MISTAKES[name]
    with pytest.raises(ValueError, match=said):
        TrainConfig(space=made(GOOD.replace(old, new, 1)), data="digits-small")


def test_the_class_is_no_space():
    with pytest.raises(ValueError, match=r"must be an instance of .*, got the class Mine"):
        spaces.check(type(made(GOOD)))


CHAIN = """
from dataclasses import dataclass
from torch import nn
from padalib.spaces import ChainSpace

@dataclass(frozen=True)
class Mine(ChainSpace):
    name: str = "mine"
    options: tuple[str, ...] = ("conv", "pool")

    def block(self, position, option, norm):
        where = self.widths[position], self.widths[position + 1]
        conv = nn.Conv2d(*where, 3, self.strides[position], padding=1)
        return conv if option == "conv" else nn.Sequential(nn.AvgPool2d(3, 1, 1), conv)
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("@dataclass(frozen=True)\n", "", r"gives name, options.* is no dataclass: write @datac"),
        ("self.widths[position + 1]", "self.widths[position]", r"the path .* of mine fails \(Run"),
        ("    def block", "    def blocks", "inherit from ChainSpace|making the network of mine"),
        (
            '"mine"\n',
            '"mine"\n    strides = (2, 2, 1)\n',
            r"stays: write `strides: tuple = \(2, 2, 1\)`",
        ),
        ('"mine"\n', '"mine"\n    channels = 4\n', "stays: write `channels: int = 4`"),
    ],
)
def test_mistakes_in_a_chain(old, new, said):
    spaces.check(made(CHAIN))
    spaces.check(made(CHAIN.replace('"mine"\n', '"mine"\n    channels: int = 4\n')))  # a remedy
    with pytest.raises((ValueError, TypeError), match=said):
        spaces.check(made(CHAIN.replace(old, new, 1)))


LONG = """
from dataclasses import dataclass
from functools import cached_property
from torch import nn
from padalib.spaces import Norm, Position, Space, Supernet

@dataclass(frozen=True)
class Mine(Space):
    name: str = "long"
    size: int = 8
    in_channels: int = 1
    classes_out: int = 10

    @cached_property
    def positions(self):
        return tuple(Position(f"p{k}", ("conv1", "off", "conv3", "skip")) for k in range(7))

    def network(self, bn, arch, precision):
        return Net(self, bn, arch, precision)

class Net(Supernet):
    def __init__(self, space, bn, arch, precision):
        super().__init__(space, bn, arch, precision)
        self.stem, self.head = nn.Conv2d(1, 4, 3, 2), nn.Linear(4, 10)
        self.norm = Norm(4, **self.norm_options)
        self.joint = nn.Conv2d(4, 4, 1)
        self.ops = nn.ModuleList(
            nn.ModuleDict({o: nn.Conv2d(4, 4, size, padding=size // 2)
                           for o, size in {"0": 1, "2": 3}.items()
                           if arch is None or int(o) == arch[k]})
            for k in range(len(space.positions))
        )

    def features(self, x, arch):
        x = self.norm(self.stem(x)).relu()
        for k, own in enumerate(self.ops):
            option = arch[k]
            if option in (0, 2):
                x = x + own[str(option)](x)
        return x.relu().mean((2, 3))

    def choices(self):
        return {(k, int(o)): [own[o]] for k, own in enumerate(self.ops) for o in own}
"""
CHOSEN = "option = arch[k]"
ASKED = r"of long|weights that choices\(\) gives to 'conv\d' of position \d"


@pytest.mark.parametrize(
    "line",
    [
        *(f"option = arch[{k}]" for k in range(7)),
        "option = arch[k - 1]",
        "option = arch[max(k, 1)]",  # of two positions only
        "option = arch[k if k != 5 else 1]",
        "option = 1 if k and arch[k - 1] == 1 else arch[k]",
        "option = 1 if k and arch[0] == 1 else arch[k]",
        "option = 1 if k == 6 and arch[4] == 1 else arch[k]",
        "option = 1 if k == 0 and arch[6] == 1 else arch[k]",
    ],
)
def test_a_path_that_goes_by_another_position_is_seen_in_a_space_too_large_to_look_at_whole(line):
    assert CHOSEN in LONG
    with pytest.raises(ValueError, match=ASKED):
        spaces.check(made(LONG.replace(CHOSEN, line)))


def test_a_network_alone_that_is_built_by_another_position_is_seen():
    spaces.check(made(LONG))
    with pytest.raises(ValueError, match=r"the path 0-1-2-3-0-1-2 \(.*\) alone of long fails"):
        spaces.check(made(LONG.replace("int(o) == arch[k]", "int(o) == arch[0]")))


ZERO = """
        x = self.norm(self.stem(x)).relu()
        left, right = (branch[option](x) for branch, option in zip(self.branches, arch))
        x = left * {left} + right
"""


def test_what_is_multiplied_by_nothing_is_dead_though_it_is_computed():
    """Some write 'none' so: the graph holds what the numbers do not."""
    old = GOOD[GOOD.index("        x = self.norm(self.stem(x)).relu()\n") :]
    old = old[: old.index("        return x.relu()")]
    said = "    def live(self, arch):\n        return False, True\n    def network"
    mine = GOOD.replace("    def network", said)
    spaces.check(made(mine.replace(old, ZERO.format(left=0).lstrip("\n"))))
    with pytest.raises(ValueError, match=r"uses weights .* 'conv3' of position 0, of which live"):
        spaces.check(made(mine.replace(old, ZERO.format(left=1e-3).lstrip("\n"))))


SORTED = """
    def canonical(self, arch):
        return tuple(sorted(arch))
"""


def test_a_chain_that_names_different_functions_alike_is_refused():
    with pytest.raises(ValueError, match=r"canonical of mine gives .* compute unlike outputs"):
        spaces.check(made(CHAIN + SORTED))


FREE = {"none": "x * 0", "skip": "x", "pool": "nn.functional.avg_pool2d(x, 3, 1, 1)"}
ALIKE = """
    def canonical(self, arch):
        return tuple(1 if option == 3 else option for option in arch)

    def network"""


@pytest.mark.parametrize("pair", [("skip", "none"), ("skip", "pool"), ("none", "pool")])
def test_options_without_weights_are_told_apart_by_what_they_compute(pair):
    """The paths of both use the same weights."""
    last, (one, other) = "        return x.relu().mean((2, 3))", (FREE[name] for name in pair)
    free = f"            else:\n                x = {one} if option == 1 else {other}\n"
    assert last in LONG
    text = LONG.replace(last, free + last)
    spaces.check(made(text))
    with pytest.raises(ValueError, match=r"canonical of long gives .* compute unlike outputs"):
        spaces.check(made(text.replace("\n    def network", ALIKE)))


@pytest.mark.parametrize("hidden", ["1e-4 * x.relu()", "1e3 + x.relu()"])
def test_what_is_small_beside_what_all_paths_give_is_seen(hidden):
    text = GOOD.replace("return x.relu()", f"return ({hidden})")
    spaces.check(made(text))
    said = "    def canonical(self, arch):\n        return arch[0], 0\n    def network"
    with pytest.raises(ValueError, match="these two compute unlike outputs"):
        spaces.check(made(text.replace("    def network", said)))


def test_chance_in_a_network_is_not_taken_for_another_function_and_moves_no_stream():
    text = LONG.replace("return x.relu()", "return nn.functional.dropout(x, 0.2).relu()")
    before = torch.get_rng_state()
    spaces.check(made(text.replace("\n    def network", ALIKE)))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_canonical_of_one_function_passes():
    spaces.check(made(LONG.replace("\n    def network", ALIKE)))


def test_what_joins_unlike_options_belongs_to_none():
    spaces.check(made(LONG))
    joint = "if k and (option == 0) != (arch[k - 1] == 0):\n                x = self.joint(x)\n"
    spaces.check(made(LONG.replace("if option in", f"{joint}            if option in")))


@pytest.mark.parametrize("name", ["darts", "mobilenet", "nasbench201", "nb1shot1-3", "chain-mini"])
def test_few_paths_show_each_position_without_each_other_one(name):
    space = spaces.get(name)
    with torch.device("meta"):
        net = space.network("batch", None, "float32")
        paths, ends = checking_net._paths(space, net), checking_net._ends(space, net)
    sizes = [len(position.options) for position in space.positions]
    assert len(paths) <= 2 * max(sizes) + 7 and paths[0] == (0,) * len(sizes)
    assert [{*own} for own in zip(*paths, strict=True)] == [{*range(n)} for n in sizes]
    for a, (most, _) in enumerate(ends):
        for b, (_, least) in enumerate(ends):
            assert a == b or any(arch[a] == most and arch[b] in least for arch in paths)


def test_a_small_space_is_looked_at_whole():
    space = spaces.CellSpace("few", nodes=3, ops=("none", *spaces.CONVS), channels=4, cells=1)
    assert sorted(checking_net._paths(space, space.build())) == list(space)
