"""Whether the network of a space is whole: as a supernet, and as each architecture alone.

Networks are built, and images passed through them, on torch's meta device, where nothing is
computed. `checking_drawn` computes what only numbers tell.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations, count, islice
from math import comb
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from padalib.spaces.base import Arch, Space
from padalib.spaces.checking_drawn import Drawn, merged, tried
from padalib.spaces.network import DRAWN, Supernet

FEW = 32  # architectures that are all looked at: about as many paths as of a large space


def check(space: Space) -> None:
    """ValueError that says what is wrong with the networks of a space, where, and what to do."""
    with torch.device("meta"):
        net = tried(space, "making the network", lambda: space.network("batch", None, "float32"))
        _network(space, net)
        _choices(space, net)
        used = {arch: _used(space, net, arch) for arch in _paths(space, net)}
    drawn = Drawn(space, net)
    _credited(space, net, used, drawn)
    merged(space, used, drawn)
    with torch.device("meta"):
        # Alone nothing is shared: what goes by another position does not find its modules.
        for arch in dict.fromkeys(map(space.canonical, [*space.some(), next(shifted(space))])):
            alone = tried(
                space,
                f"making the network of {space.code(arch)} alone",
                lambda arch=arch: space.network("running", arch, "float32"),
            )
            _alone(space, alone, arch, _used(space, alone, arch, " alone"))


def shifted(space: Space) -> Iterator[Arch]:
    """As `some`, but each position one option on from the one before it."""
    sizes = [len(position.options) for position in space.positions]
    for k in range(max(sizes)):
        yield tuple((k + place) % n for place, n in enumerate(sizes))


def _paths(space: Space, net: Supernet) -> list[Arch]:
    """Those that are looked at, few of a large space.

    Of any two positions, one has its largest option where the other has one of its smallest, and
    the other way round. So a network that asks one position for another is seen, and one that
    leaves out a position where another one has no weights.
    """
    if space.architectures <= FEW:
        return list(dict.fromkeys([*space.some(), *space]))
    ends = _ends(space, net)
    # Sets of equal size: none holds another, so each position is changed without each other one.
    n = next(n for n in count(1) if comb(n, n // 2) >= len(ends))
    sets = list(islice(combinations(range(n), n // 2), len(ends)))
    split = (
        tuple(
            least[k % len(least)] if k in own else most
            for own, (most, least) in zip(sets, ends, strict=True)
        )
        for k in range(n)
    )
    return list(dict.fromkeys([*space.some(), *shifted(space), *split]))


def _ends(space: Space, net: Supernet) -> list[tuple[int, list[int]]]:
    """Of each position the first option with most weights, and those of the others with fewest."""
    sizes = {key: sum(w.numel() for w in _weights(made)) for key, made in net.choices().items()}
    found = []
    for place, position in enumerate(space.positions):
        own = [sizes.get((place // space.extent, k), 0) for k in range(len(position.options))]
        most = own.index(max(own))
        others = own[:most] + own[most + 1 :] or own
        least = [k for k, size in enumerate(own) if size == min(others) and k != most]
        found.append((most, least or [most]))
    return found


PARTS = ("_parameters", "_buffers", "_modules")  # of a module, where torch keeps what it holds


def _holds_tensor(value: Any) -> bool:
    inner = [*value.values()] if isinstance(value, dict) else value
    return isinstance(value, Tensor) or (
        isinstance(inner, list | tuple) and any(map(_holds_tensor, inner))
    )


def _network(space: Space, net: Any) -> None:
    if not isinstance(net, Supernet):
        raise ValueError(
            f"network of {space.name} must return a Supernet, got {type(net).__name__}: inherit "
            "from Supernet, and return the network"
        )
    if not isinstance(getattr(net, "head", None), nn.Module):
        raise ValueError(
            f"{type(net).__name__} has no head: set self.head = nn.Linear(width of the features, "
            "space.classes_out) in its __init__"
        )
    for name, module in net.named_modules():
        where = f"{name} of {type(net).__name__}"
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            raise ValueError(
                f"{where} keeps running statistics, which paths would share: make it by "
                "Norm(channels, **self.norm_options)"
            )
        if isinstance(module, _DropoutNd):
            raise ValueError(f"{where} draws from no stream of the run's seed: leave dropout out")
        for attribute, value in vars(module).items():
            if attribute not in PARTS and _holds_tensor(value):
                raise ValueError(
                    f"{attribute} of {where} is or holds a tensor that is no weight, so it stays "
                    "where the network is planned and has no numbers: keep numbers, and make it in "
                    "`features`"
                )
        held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if held and not isinstance(module, DRAWN):
            raise ValueError(
                f"{where} ({type(module).__name__}) has weights or buffers of its own, which "
                "nobody draws from the run's seed: build it of nn.Conv2d, nn.Linear and norms"
            )


def _choices(space: Space, net: Supernet) -> None:
    """That `choices` is keyed by place and option, and its modules are the network's own."""
    found = tried(space, "choices()", net.choices)
    wanted = "choices() must give {(position, option): [modules]}, both counted from 0"
    if not isinstance(found, dict):
        raise ValueError(f"{wanted}, got {type(found).__name__}")
    own = {id(parameter) for parameter in net.parameters()}
    for key, modules in found.items():
        try:
            place, option = key
            if place < 0 or option < 0:
                raise IndexError
            name = space.positions[place * space.extent].options[option]
        except (TypeError, ValueError, IndexError):
            raise ValueError(f"{wanted}; {key!r} is neither in {space.name}") from None
        where = f"{name!r} of {space.kind} {place}"
        if not isinstance(modules, (list, tuple)) or not all(
            isinstance(module, nn.Module) for module in modules
        ):
            raise ValueError(f"{wanted}; of {where} it gives {type(modules).__name__}, no list")
        if any(id(p) not in own for module in modules for p in module.parameters()):
            raise ValueError(
                f"the network of {space.name} does not hold the modules of {where}, so nobody "
                "trains them: keep modules in nn.ModuleList or nn.ModuleDict, not in a list or dict"
            )


def _used(space: Space, net: Supernet, arch: Arch, how: str = "") -> set[nn.Parameter]:
    """The weights that a path's logits depend on."""
    said = f"the path {space.code(arch)} ({space.decode(arch)}){how}"
    x = torch.empty(2, space.in_channels, space.size, space.size)
    out = tried(space, said, lambda: net.features(x, arch))
    if not isinstance(out, Tensor) or out.dim() != 2:
        shape = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"features of {said} must be [B, D], got {shape}: average over pixels with "
            ".mean((2, 3))"
        )
    logits = tried(space, f"the head after {said}", lambda: net.head(out))
    if list(logits.shape) != [2, space.classes_out]:
        raise ValueError(
            f"the head of {type(net).__name__} gives {list(logits.shape)} for 2 images of "
            f"{space.classes_out} classes: make it nn.Linear(..., space.classes_out)"
        )
    found, todo, seen = set(), [logits.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(node.variable)
        todo += [other for other, _ in node.next_functions]
    return found


def _credited(
    space: Space, net: Supernet, used: dict[Arch, set[nn.Parameter]], drawn: Drawn
) -> None:
    """That paths use the weights of what they choose, and no others but what all of them use.

    And of what they choose those that are live, and not those that are dead.
    """
    owners: dict[nn.Parameter, str] = {}
    for (place, option), modules in net.choices().items():
        name = space.positions[place * space.extent].options[option]
        for parameter in _weights(modules):
            owners.setdefault(parameter, f"{name!r} of {space.kind} {place}")
    for arch, own in used.items():
        said = f"the path {space.code(arch)} ({space.decode(arch)})"
        named: dict[nn.Parameter, bool] = {}
        for *_, weights, live in net.owned(arch):
            named |= {weight: live or named.get(weight, False) for weight in weights}
        for weight, live in named.items():
            if not live and weight in own and drawn.moves(arch, weight):
                raise ValueError(
                    f"{said} uses weights that choices() gives to {owners[weight]}, of which "
                    "live(arch) says that it takes no part: PA would not learn from it, so say "
                    "True of what features(x, arch) uses"
                )
            if live and weight not in own:
                raise ValueError(
                    f"{said} does not use weights that choices() gives to {owners[weight]}: use "
                    "them in features(x, arch), or say so in live(arch)"
                )
        for weight in own & owners.keys() - named.keys():
            raise ValueError(
                f"{said} uses weights that choices() gives to {owners[weight]}, which it does not "
                "choose: in features(x, arch) each option is a number from 0, in the order of the "
                "options"
            )
    # Where a position is dead, what stands after it may be left out as well. What joins unlike
    # options belongs to none of them: it is not seen where all positions choose alike.
    alike = [arch for arch in space.some() if all(space.live(arch))]
    alive = [used[arch] for arch in alike] or [set()]
    names = {parameter: name for name, parameter in net.named_parameters()}
    for parameter in set.union(*alive) - set.intersection(*alive) - set(_all(net)):
        raise ValueError(
            f"some paths use {names[parameter]}, others do not, and choices() does not name whose "
            "it is: add its module to choices()"
        )


def _alone(space: Space, net: Supernet, arch: Arch, used: set[nn.Parameter]) -> None:
    """That an architecture alone has no weights of options besides its own.

    Where the space counts parameters by itself, it may.
    """
    if type(space).params is not Space.params:
        return
    what = f"choices() of the network of {space.code(arch)} alone"
    for (place, option), modules in tried(space, what, net.choices).items():
        if any(weight not in used for weight in _weights(modules)):
            name = space.positions[place * space.extent].options[option]
            raise ValueError(
                f"the network of {space.code(arch)} ({space.decode(arch)}) alone holds weights of "
                f"{name!r} of {space.kind} {place}, which it does not use, so its number of "
                "parameters would not be its own: where network(bn, arch, precision) is given an "
                "arch, make the modules of its options only, and name these in choices()"
            )


def _weights(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [p for module in modules for p in module.parameters() if p.dim() > 1]


def _all(net: Supernet) -> list[nn.Parameter]:
    return [p for modules in net.choices().values() for m in modules for p in m.parameters()]


def unused(net: Supernet, archs: list[Arch]) -> str:
    """What is wrong where weights that paths choose got no gradient from them."""
    space = net.space
    arch, place, option = next(
        (arch, place, option)
        for arch in archs
        for place, option, weights, live in net.owned(arch)
        if live and any(weight.grad is None for weight in weights)
    )
    name = space.positions[place].options[option]
    return (
        f"{name!r} of {space.kind} {place} got no gradient from the path {space.code(arch)} "
        f"({space.decode(arch)}) of {space.name}: use its weights in features(x, arch), or say "
        "False of that position in live(arch)"
    )
