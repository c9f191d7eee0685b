"""Write numbers for people: three significant digits, a true minus sign."""

from __future__ import annotations


def plain(number: float) -> str:
    """Return a number with three significant digits and a true minus sign.

    Example:
        >>> from lrp_engine.markup.numbers import plain
        >>> plain(4.4), plain(-0.012345), plain(1234.6)
        ('4.40', '−0.0123', '1,235')
    """
    if number == 0 or number != number:
        return "0" if number == 0 else "undefined"
    size = abs(number)
    if 1000 <= size < 1e6:
        text = f"{size:,.0f}"
    elif 1e-4 <= size < 1000:
        text = f"{size:#.3g}".rstrip(".")
    else:
        text = f"{size:.2e}".replace("-", "−")
    return f"−{text}" if number < 0 else text


def signed(number: float) -> str:
    """Return a number as `plain` does, with a plus sign if it is positive."""
    return f"+{plain(number)}" if number > 0 else plain(number)


def percent(share: float) -> str:
    """Return a share as per cent: "78 %", "0.4 %"; what would be 0 and is not, as "<0.1 %"."""
    if 0 < abs(share) < 0.0005:
        return "<0.1 %"
    digits = 0 if abs(share) >= 0.0995 or share == 0 else 1
    return f"{100 * share:.{digits}f} %".replace("-", "−")
