"""C's printf() for 32-bit operands, as the firmware's log uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_DIRECTIVE = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d{0,3}|\*)(?:\.(?P<precision>\d{0,3}|\*))?"
    r"(?P<length>hh|h|ll|l|q|j|z|t)?(?P<kind>[diuxXocps%])"
)
_BITS = {"hh": 8, "h": 16}
_WIDEST = 999


class _Shape(NamedTuple):
    """A directive whose `*` are resolved; a `precision` of None is none."""

    flags: str
    width: int
    precision: int | None


def formatted(template: bytes, operands: Sequence[int]) -> str:
    """Formats 32-bit numbers as C's printf() does with 32-bit int and long. A string is not in the
    log: its address is shown. A directive that is unknown, or without an operand, stays unchanged.
    """
    left = iter(operands)
    text = template.split(b"\0", 1)[0].decode("ascii", "replace")
    return _DIRECTIVE.sub(lambda match: _one(match, left), text).rstrip("\n")


def _one(match: re.Match[str], left: Iterator[int]) -> str:
    if match["kind"] == "%":
        return "%"
    try:
        shape = _shape(match, left)
        number = next(left)
    except StopIteration:
        return match[0]
    return _converted(number, shape, match["length"] or "", match["kind"])


def _shape(match: re.Match[str], left: Iterator[int]) -> _Shape:
    """Reads flags, width and precision. A negative width aligns left, a negative precision is
    none; StopIteration if an operand is missing."""
    flags, precision = match["flags"], match["precision"]
    width = _starred(match["width"], left)
    digits = None if precision is None else _starred(precision, left)
    if width < 0:
        flags, width = flags + "-", -width
    if digits is not None and digits < 0:
        digits = None
    return _Shape(flags, min(width, _WIDEST), digits if digits is None else min(digits, _WIDEST))


def _starred(text: str, left: Iterator[int]) -> int:
    return _signed(next(left), 32) if text == "*" else int(text or 0)


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> bits - 1 else number


def _converted(number: int, shape: _Shape, length: str, kind: str) -> str:
    if kind == "c":
        return _padded("", chr(number & 0xFF), shape, zeros=False)
    if kind == "s":
        return _padded("", f"<string at {number:#x}>", shape, zeros=False)
    sign, digits = _digits(number, shape.flags, _BITS.get(length, 32), kind)
    if shape.precision is not None:
        digits = digits.rjust(shape.precision, "0") if number or shape.precision else ""
    if kind == "o" and "#" in shape.flags and not digits.startswith("0"):
        digits = "0" + digits
    return _padded(sign, digits, shape, zeros=shape.precision is None)


def _digits(number: int, flags: str, bits: int, kind: str) -> tuple[str, str]:
    """Returns the sign or prefix, and the digits."""
    if kind in "di":
        value = _signed(number, bits)
        plus = "+" if "+" in flags else " " if " " in flags else ""
        return "-" if value < 0 else plus, str(abs(value))
    value = number & (1 << bits) - 1
    if kind == "p":
        return "0x", f"{value:x}"
    prefix = f"0{kind}" if "#" in flags and kind in "xX" and value else ""
    return prefix, format(value, "d" if kind == "u" else kind)


def _padded(sign: str, text: str, shape: _Shape, *, zeros: bool) -> str:
    room = shape.width - len(sign)
    if "-" in shape.flags:
        return sign + text.ljust(room)
    if zeros and "0" in shape.flags:
        return sign + text.rjust(room, "0")
    return (sign + text).rjust(shape.width)
