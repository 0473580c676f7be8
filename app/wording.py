"""Numbers as the reader reads them."""

import math
from collections.abc import Callable, Sequence


def number(value: float | None, digits: int = 3) -> str:
    """A number for the reader: at most three significant digits, a proper minus, a dash for what is undefined."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e5 or size < 1e-3:
        mantissa, power = f"{value:.{max(0, digits - 1)}e}".split("e")
        mantissa = mantissa.rstrip("0").removesuffix(".") if "." in mantissa else mantissa
        exponent = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        head = {"1": "", "-1": "-"}.get(mantissa, f"{mantissa}·")
        return f"{head}10{exponent}".replace("-", "−")
    if size >= 1000:
        return f"{value:,.0f}".replace(",", " ").replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def distinct(form: Callable[[float, int], str], values: Sequence[float], digits: int = 0) -> Callable[[float], str]:
    """`form` with as few digits, from `digits` on, as tell all of these values apart: two ticks never read the same."""
    for enough in range(digits, digits + 6):
        if len({form(value, enough) for value in values}) == len(set(values)):
            break
    return lambda value: form(value, enough)


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as a percentage."""
    if fraction is None or not math.isfinite(fraction):
        return "–"
    return f"{100 * fraction:.{digits}f} %".replace("-", "−")


def points(fraction: float | None, digits: int = 1) -> str:
    """A difference of fractions in percentage points, with its sign."""
    if fraction is None or not math.isfinite(fraction):
        return "–"
    value = round(100 * fraction, digits)
    return f"{value + 0.0:+.{digits}f}".replace("-", "−") if value else f"{0:.{digits}f}"


def size(count: float | None, digits: int = 3) -> str:
    """Bytes in the unit that keeps them short."""
    if count is None:
        return "–"
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= one:
            return f"{count / one:.{digits}g} {unit}"
    return f"{count:.0f} B"
