"""Decompresses FastLZ, in Python: no package for it is kept well enough to trust with hostile data.

A block is a sequence of runs. The first byte's top three bits are the level less one; the rest of
it is the first run's control byte, which is a literal one:

- below 32: so many bytes and one more follow, to be copied;
- else a match: its length less two in the top three bits, its distance less one in the other five
  and the next byte. 7 means that the length goes on: by one byte at level 1; at level 2 by bytes
  up to the first that is not 255. At level 2 the distance 31, 255 means that two bytes follow, big
  end first, which count from 8191.

Source: the description of the format that comes with FastLZ.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.plural import exact

LITERAL = 32
LONG = 7
FAR = 8191
GROWTH = 256
"""A byte of a block makes fewer bytes than this."""


class FastLzError(ValueError):
    """The block is damaged."""


class _Match(NamedTuple):
    """`length` bytes that stand `distance` bytes before the end; `at` is behind it in the block."""

    length: int
    distance: int
    at: int


def decompress(block: bytes, size: int) -> bytes:
    """Returns the `size` bytes that `block` holds; raises FastLzError if it does not hold them."""
    try:
        made = _decompress(block, size)
    except IndexError:
        raise FastLzError("the block ends within a run") from None
    if len(made) != size:
        raise FastLzError(f"need {exact(size, 'byte')}, have {len(made)}")
    return bytes(made)


def _decompress(block: bytes, size: int) -> bytearray:
    level = (block[0] >> 5) + 1
    if level > 2:
        raise FastLzError(f"level {level}: there are 1 and 2")
    made, at, end, control = bytearray(), 1, len(block), block[0] & 31
    while True:
        if control < LITERAL:
            made += block[at : at + control + 1]
            at += control + 1
            if at > end:
                raise FastLzError("the block ends within a run")
        else:
            match = _match(block, at, control, level)
            at = match.at
            if match.length > size - len(made):
                break
            _repeat(made, match)
        if len(made) > size:
            break
        if at == end:
            return made
        control, at = block[at], at + 1
    raise FastLzError(f"more than {exact(size, 'byte')}")


def _match(block: bytes, at: int, control: int, level: int) -> _Match:
    """Reads the match whose control byte stands before `at`."""
    length, high = control >> 5, (control & 31) << 8
    if length == LONG:
        code = 255
        while code == 255:
            code, at = block[at], at + 1
            length += code
            if level == 1:
                break
    distance, at = high + block[at], at + 1
    if level == 2 and distance == 31 << 8 | 255:
        distance, at = FAR + (block[at] << 8) + block[at + 1], at + 2
    return _Match(length + 2, distance + 1, at)


def _repeat(made: bytearray, match: _Match) -> None:
    """Appends the match, which may overlap what it makes: a run of equal bytes has distance 1."""
    start = len(made) - match.distance
    if start < 0:
        raise FastLzError("a match begins before the block")
    if match.distance >= match.length:
        made += made[start : start + match.length]
    else:
        made += (made[start:] * (match.length // match.distance + 1))[: match.length]
