"""Counts in words, for the messages and screens of all rooms: `1 port`, `2 ports`, `0 entities`."""

from __future__ import annotations


def counted(count: int, noun: str, nouns: str = "") -> str:
    """Returns a count with its noun: `1 byte`, `4,096 bytes`; `nouns` is an irregular plural."""
    return f"{count:,} {agreeing(count, noun, nouns)}"


def exact(count: int, noun: str, nouns: str = "") -> str:
    """Returns the same in plain digits, as the numbers in data and in errors: `4096 bytes`."""
    return f"{count} {agreeing(count, noun, nouns)}"


def agreeing(count: int, noun: str, nouns: str = "") -> str:
    """Returns the noun alone in the number of `count`: `byte` for 1, else `bytes`."""
    return noun if count == 1 else nouns or _plural(noun)


def _plural(noun: str) -> str:
    """Returns the plural of words that end with a regular noun."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
