"""Numbers as the reader reads them."""

import math


def number(value: float | None, digits: int = 3) -> str:
    """A number for the reader: at most three significant digits, a proper minus, a dash for what is undefined."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e5 or size < 1e-3:
        mantissa, power = f"{value:.{max(0, digits - 2)}e}".split("e")
        mantissa = mantissa.removesuffix(".0")
        exponent = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        head = {"1": "", "-1": "-"}.get(mantissa, f"{mantissa}·")
        return f"{head}10{exponent}".replace("-", "−")
    if size >= 1000:
        return f"{value:,.0f}".replace(",", " ").replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


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


def size(count: float | None) -> str:
    """Bytes in the unit that keeps them short."""
    if count is None:
        return "–"
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= one:
            return f"{count / one:.3g} {unit}"
    return f"{count:.0f} B"
