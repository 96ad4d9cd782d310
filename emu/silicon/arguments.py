"""What a fault takes: FAULT=ARGUMENT, such as `firmware-retval=EBUSY`.

    @fault("server-stalls", "The server stands still.", takes=number("MS", "milliseconds", 500))
    def stall(self, milliseconds: int) -> None: ...

The method gets what `parse` makes of the text. What a text may say is checked where it is typed, so
`parse` knows no card; what a card lacks is for the method to refuse (`Model.refuse()`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from vmcoredd.chip import T5, T6
from vmcoredd.chip.register import UnknownRegister
from vmcoredd.emu.errors import BadArgument

T = TypeVar("T")
MOST_DIGITS = 9


@dataclass(frozen=True)
class Takes:
    """What a fault takes, and how it is read."""

    form: str
    """What stands for it in lists: a word in capitals, such as MS."""
    meaning: str
    """What that is, as in "milliseconds, 1 to 60000"."""
    example: str
    parse: Callable[[str], object]
    """Returns the method's argument. Raises ValueError or UnknownRegister, with the reason."""
    names: Callable[[], Iterable[str]] = tuple
    """Returns the texts that a shell may propose."""

    def value(self, fault: str, text: str) -> object:
        """Returns what a fault's method is called with. Raises BadArgument."""
        if not text:
            raise BadArgument(f"{fault}: its argument is missing; {self._wanted(fault)}")
        try:
            return self.parse(text)
        except (ValueError, UnknownRegister) as error:
            raise BadArgument(f"{fault}={text}: {error}; {self._wanted(fault)}") from error

    def _wanted(self, fault: str) -> str:
        return f"type {fault}={self.form}, {self.meaning}, as in {fault}={self.example}"


def number(form: str, unit: str, example: int, most: int = 60_000) -> Takes:
    """Returns what a fault takes that wants a number of 1 to `most`, of a unit in the plural."""
    return Takes(form, f"{unit}, 1 to {most}", str(example), partial(_number, most))


def _number(most: int, text: str) -> int:
    if not re.fullmatch(rf"[0-9]{{1,{MOST_DIGITS}}}", text):
        raise ValueError("no whole number")
    if not 1 <= int(text) <= most:
        raise ValueError(f"not in 1 to {most}")
    return int(text)


def one_of(form: str, meaning: str, example: str, values: Mapping[str, object]) -> Takes:
    """Returns what a fault takes that wants one of these names."""
    return Takes(form, meaning, example, partial(known, values, form.lower()), lambda: values)


def described(text: str) -> str:
    """Returns a text that names a register of one of the chips, or one of its words: NAME[3].
    Raises UnknownRegister."""
    try:
        T5.r.words(text)
    except UnknownRegister:
        T6.r.words(text)
    return text


def known(values: Mapping[str, T], what: str, name: str) -> T:
    """Returns the value of a name in capitals. Raises ValueError with the nearest names."""
    if name in values:
        return values[name]
    near = ", ".join(difflib.get_close_matches(name.upper(), values, 3))
    hint = f"did you mean {near}?" if near else f"there is {', '.join(values)}"
    raise ValueError(f"no {what} {name}; {hint}")
