"""Numbers as the reader reads them: no line ends within one, nor between it and its unit."""

import math
from collections.abc import Callable, Sequence

HELD = "\N{NO-BREAK SPACE}"


def number(value: float | None, digits: int = 3) -> str:
    """A number for the reader: at most three significant digits, a proper minus, a dash for what is undefined."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 999.5 <= abs(value) < 99_999.5:
        return _signed(f"{value:,.0f}".replace(",", HELD))  # in full, whatever `digits` says
    mantissa, power = f"{value:.{digits - 1}e}".split("e")  # rounded first: 9.996 is 10, and has no digit too many
    places = digits - 1 - int(power)
    if -3 <= int(power) < 5:
        written = f"{float(f'{mantissa}e{power}'):,.{max(0, places)}f}".replace(",", HELD)
        return _signed(written.rstrip("0").removesuffix(".") if "." in written else written)
    mantissa = mantissa.rstrip("0").removesuffix(".") if "." in mantissa else mantissa
    exponent = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    head = {"1": "", "-1": "-"}.get(mantissa, f"{mantissa}·")
    return _signed(f"{head}10{exponent}")


def sentence(words: str) -> str:
    """What ended in no full stop and began small, as a sentence; nothing stays nothing."""
    words = words.strip().rstrip(".")
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def whole(count: int) -> str:
    """A count in full, in groups of three."""
    return f"{count:,}".replace(",", HELD)


def _signed(written: str) -> str:
    """With a proper minus, and none before a nought."""
    return written.replace("-", "−" if any(digit in written for digit in "123456789") else "")


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
    return _signed(f"{100 * fraction:.{digits}f}{HELD}%")


def brief(fraction: float) -> str:
    """A fraction that somebody has set as a percentage, with a digit after the point only where it needs one."""
    return percent(fraction, 0 if abs(round(100 * fraction) - 100 * fraction) < 0.05 else 1)


def excess(share: float) -> str:
    """By how much something is off, as a percentage with its sign."""
    return f"{round(100 * share):+d}{HELD}%".replace("-", "−").replace(f"+0{HELD}", f"0{HELD}")


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
            return f"{count / one:.{digits}g}{HELD}{unit}"
    return f"{count:.0f}{HELD}B"
