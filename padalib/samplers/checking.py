"""What is wrong with a part of a method of one's own: where, and what to do."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from padalib.engine import origin
from padalib.engine.runs import RunError
from padalib.engine.values import plain

STEPS = {"step", "backward", "objective"}  # of a rule, what says what a step follows
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def name(part: Any) -> str:
    """The name of a part's class, and of the one that it goes around."""
    inner = getattr(part, "rule", None)
    return type(part).__name__ + (f" around {name(inner)}" if hasattr(inner, "step") else "")


def part(given: Any) -> None:
    """ValueError for what is no class."""
    if not isinstance(given, type):
        raise ValueError(
            f"a part of a method must be a class, got {given!s:.80}, of type "
            f"{type(given).__name__}: give the class itself, and its options by name"
        )


def roles(method: str, given: Mapping[str, type], bases: Mapping[str, type]) -> None:
    """ValueError where the class that is given for a role does not inherit from the role's."""
    for role, cls in given.items():
        if not issubclass(cls, bases[role]):
            fits = [other for other, base in bases.items() if issubclass(cls, base)]
            remedy = f"give it as `{fits[0]}=`" if fits else "inherit from that"
            raise ValueError(
                f"{role} of {method!r} must be a class that inherits from {bases[role].__name__}, "
                f"which {cls.__name__} does not: {remedy}"
            )


def indices(sampler: Any, found: Any, n: int, size: int | None = None) -> Tensor:
    """What `refill` (with a `size`: `draw`) of a data sampler returned, as int64.

    ValueError where it is no indices of n images, or not as many as were asked for.
    """
    does = f"{'refill' if size is None else 'draw'} of {type(sampler).__name__}"
    got, good, remedy = _got(found), False, "return indices, of a mask `mask.nonzero()[:, 0]`"
    if isinstance(found, Tensor):
        good = found.dtype in WHOLE and found.dim() == 1
    if good and len(found) == 0:
        raise ValueError(f"{does} returned no index")
    if good and size not in (None, len(found)):
        good, remedy = False, "return as many as `size` says, or write `refill` instead of `draw`"
    if good:
        low, high = (int(end) for end in found.aminmax())
        if low < 0 or high >= n:
            good, got = False, f"numbers from {low} to {high}"
    if not good:
        raise ValueError(
            f"{does} must return a tensor [{size or 'k'}] of whole numbers from 0 to {n - 1}, got "
            f"{got}: {remedy}"
        )
    return found.long()


def batch(sampler: Any, n: int, size: int, generator: torch.Generator) -> Tensor:
    """The next `size` indices of n images, as a data sampler draws them; ValueError for others."""
    return indices(sampler, sampler.draw(size, generator), n, size)


def independent(sampler: Any) -> Callable[[], None]:
    """What makes the next draw independent of all since now: call it before each.

    It puts a sampler back to where it stands now, so that one that counts, or goes on from its last
    draw, still draws as training would at this moment; and drops what it holds (`forget`).
    """
    kept = copy.deepcopy(sampler.state())

    def back() -> None:
        sampler.restore(copy.deepcopy(kept))
        sampler.forget()

    return back


def weights(sampler: Any, index: Tensor) -> Tensor | None:
    """The importance weights [B] of images that were drawn; ValueError for what is none.

    None where it knows none and trains without. On a GPU padalib's own are not waited for.
    """
    found, got = sampler.weights(index), ""
    if found is None and not getattr(sampler, "importance", False):
        return None
    if not isinstance(found, Tensor) or found.shape != index.shape or found.is_complex():
        got = _got(found)
    elif found.device.type == "cpu" or not origin.ours(type(sampler)):
        bad = (~(found.isfinite() & (found >= 0))).nonzero().flatten().tolist()
        got = f"{float(found[bad[0]])} for image {int(index[bad[0]])}" if bad else ""
    if got:
        raise ValueError(
            f"weights of {type(sampler).__name__} must return a tensor [{len(index)}] of finite "
            f"numbers, none below 0, got {got}: return 1 / (n q) of each index that it is given, "
            "where q is the probability to draw that image"
        )
    return found


def _got(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"{found.dtype} of shape {tuple(found.shape)}"
    return f"an object of type {type(found).__name__}"


def record(rule: Any, found: Any) -> Tensor:
    """What `step` of an update rule returned, as one tensor [3]; RunError where it is not that."""
    good = isinstance(found, (tuple, list)) and len(found) == 3
    if not good or any(not isinstance(one, Tensor) or one.dim() for one in found):
        raise RunError(
            f"`step` of {name(rule)} must return three tensors of one number each: the loss, the "
            f"share of correct answers and the gradient's norm; got {found!s:.80}. Return "
            "`loss, correct, norm`, and make a tensor of a number by `torch.tensor(number)`"
        )
    return torch.stack([one.detach() for one in found])


def row(begun: dict[str, Any], parts: tuple) -> dict[str, Any]:
    """An epoch's row of the curves, begun by the loop, with what the parts log.

    RunError for what is no number, or has the name of what is there.
    """
    for part in parts:
        found = part.log()
        if not isinstance(found, Mapping):
            raise RunError(
                f"`log` of {name(part)} must return a dict of names and numbers, got {found!s:.80}"
            )
        found = plain(dict(found))  # a checkpoint holds no numbers of numpy's
        for key, value in found.items():
            if not (isinstance(key, str) and isinstance(value, Real)):
                raise RunError(
                    f"`log` of {name(part)} must return a dict of names and numbers, got "
                    f"{value!s:.80} for {key!r}: of a tensor of one number return `float(tensor)`"
                )
            if key in begun and key not in getattr(part, "replaces", ()):
                raise RunError(
                    f"`log` of {name(part)} returns {key!r}, which the curves have already: give "
                    "it another name"
                )
        begun = begun | found
    return begun


def says(sampler: Any, draws: tuple[str, ...], weighs: str) -> bool:
    """Whether what a sampler draws by (`draws`) is not newer than what says the weights of that."""
    classes = [vars(own) for own in type(sampler).__mro__]
    said = next(k for k, own in enumerate(classes) if weighs in own or own.get("uniform"))
    return said <= next(k for k, own in enumerate(classes) if own.keys() & {*draws})


def weighted(paths: Any, data: Any) -> None:
    """ValueError where one trains on weighted steps and draws otherwise than its weights say."""
    for sampler, draws, weighs, what in (
        (paths, ("draw",), "weight", "1 / (|A| p) of an architecture"),
        (data, ("draw", "refill"), "weights", "1 / (N q) of each image"),
    ):
        if getattr(sampler, "importance", False) and not says(sampler, draws, weighs):
            raise ValueError(
                f"{type(sampler).__name__} draws in its own way and trains on weighted steps, but "
                f"its weights are those of its base, which draws otherwise: write `{weighs}` in "
                f"it, {what} that it draws, or leave importance out"
            )


@contextmanager
def heard(rule: Any, *samplers: Any) -> Iterator[None]:
    """RunError where in all that is done here a rule tells a sampler nothing that learns."""
    told: set[int] = set()
    learn = [s for s in samplers if _first(s, "observe").__module__ != "padalib.samplers.base"]
    for sampler in learn:

        def observe(*given: Any, own: Any = sampler, **named: Any) -> Any:
            told.add(id(own))
            return type(own).observe(own, *given, **named)

        vars(sampler)["observe"] = observe
    try:
        yield
    finally:
        for sampler in learn:
            del vars(sampler)["observe"]
    for sampler in learn:
        if id(sampler) not in told:
            given = ("paths", "archs, net, scale") if hasattr(sampler, "group") else ("data", "")
            call = f"{given[0]}.observe({given[1] or 'index, logits, y'})"
            raise RunError(
                f"{type(sampler).__name__} learns by `observe`, which `step` of {name(rule)} did "
                f"not call in a whole epoch, so it would draw as if it learnt nothing: call "
                f"`{call}` there"
            )


def _first(thing: Any, attribute: str) -> type:
    """The class of a thing's that defines an attribute."""
    return next(own for own in type(thing).__mro__ if attribute in vars(own))


def unsummed(config: Any) -> str:
    """What to do where no one says that a step of a run is the sum of its paths' gradients, or ''.

    The class that says so (`summed`) speaks for itself and its bases, not for a class below it or
    beside it that changes the step.
    """
    method, where, advice = config.method, (config.space, config.epochs), ""
    for rule in (method.update.build(*where), method.rule(*where)):
        classes = type(rule).__mro__
        said = next(own for own in classes if "summed" in vars(own)).__mro__
        if not rule.summed:
            return "look at a method whose steps are"
        if any(STEPS & vars(own).keys() for own in (rule, *classes) if own not in said):
            advice = (
                "look at a method whose steps are, or if these are, write `summed = True` in "
                f"{type(rule).__name__}"
            )
    return advice
