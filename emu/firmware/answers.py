"""Binds commands to the functions that answer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vmcoredd.chip.firmware import Command, Retval
from vmcoredd.emu.errors import EmuError, ModelError

if TYPE_CHECKING:
    from vmcoredd.emu.firmware.firmware import Firmware

C = TypeVar("C", bound=Command)
Answer = Callable[["Firmware", int, Any], Command]
"""(firmware, physical function, command) -> the answer."""

_ANSWERS: dict[type[Command], Answer] = {}


class Refused(EmuError):
    """The firmware refuses a command; the driver sees `retval`."""

    def __init__(self, retval: Retval, why: str) -> None:
        super().__init__(f"{retval.name}: {why}")
        self.retval = retval


def answers(*kinds: type[Command]) -> Callable[[Answer], Answer]:
    """Makes a function answer commands of these layouts; ModelError if another does already."""

    def bind(function: Answer) -> Answer:
        for kind in kinds:
            if kind in _ANSWERS:
                raise ModelError(f"{kind.__name__} is already answered")
            _ANSWERS[kind] = function
        return function

    return bind


def answer_of(command: Command) -> Answer:
    """The function that answers; Refused if there is none."""
    function = _ANSWERS.get(type(command))
    if function is None:
        raise Refused(Retval.EINVAL, f"{type(command).__name__} is not known")
    return function
