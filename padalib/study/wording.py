"""How numbers are written, in captions, verdicts and tables of claims."""

import math

NOISE = 1e-12  # of sums that are zero
SKEWED = 100  # a positive interval with such a ratio of its ends has digits of its own at each


def short(number: float) -> str:
    """Three digits, or a whole number from a thousand on: 0.0130, 1.29, 16.7, 12,905, 5.07e7."""
    if abs(number) >= 1e6:
        return f"{number:.2e}".replace("e+0", "e").replace("e+", "e")
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:#.3g}".rstrip(".")


def interval(value: float, low: float, high: float, null: float = math.nan) -> str:
    """A number and its interval: 1.29 [0.79, 2.25]; with signs where no effect, `null`, is zero.

    As many decimals as half the interval has down to its second digit, more where an end would look
    as if it were zero or `null`: +0.44 [+0.28, +0.59].
    """
    values, sign = (value, low, high), "+" if null == 0 else ""
    decimals = _decimals(low, high, null)

    def shown(number: float) -> str:
        if decimals is None or max(map(abs, values)) >= 1000:
            return (sign if number >= 0 else "") + short(number)
        number = number if abs(number) > NOISE else 0.0  # nothing is -0; what is less says so
        return f"{number:{sign}.{decimals}f}"

    said, *ends = map(shown, values)
    return f"{said} [{', '.join(ends)}]"


def _decimals(low: float, high: float, null: float) -> int | None:
    """See `interval`; None where it is a point, has no end, or is `SKEWED`."""
    half = (high - low) / 2
    if not 0 < half < math.inf or (null != 0 < low and high / low > SKEWED):
        return None
    decimals = max(0, 1 - math.floor(math.log10(half) + 1e-9))
    alike = {0.0, null}
    while decimals < 6 and any(
        end != none and round(end, decimals) == none for end in (low, high) for none in alike
    ):
        decimals += 1
    return decimals
