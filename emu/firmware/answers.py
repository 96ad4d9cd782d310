"""The table of commands and the functions that answer them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from vmcoredd.chip.firmware import FwCommand, Retval
from vmcoredd.emu.errors import EmuError, ModelError

Answer = Callable[[Any, int, Any], FwCommand]
"""(`Firmware`, physical function, command) -> the reply."""

_ANSWERS: dict[type[FwCommand], Answer] = {}


class Refused(EmuError):
    """The firmware refuses a command; the driver gets `retval`."""

    def __init__(self, retval: Retval, why: str) -> None:
        super().__init__(f"{retval.name}: {why}")
        self.retval = retval


def answers(*kinds: type[FwCommand]) -> Callable[[Answer], Answer]:
    """Makes a function answer commands of these layouts; ModelError if one is already answered."""

    def bind(function: Answer) -> Answer:
        for kind in kinds:
            if kind in _ANSWERS:
                raise ModelError(f"{kind.__name__} is already answered")
            _ANSWERS[kind] = function
        return function

    return bind


def answer_to(command: FwCommand) -> Answer:
    """Returns the function that answers `command`; Refused (EINVAL) if there is none."""
    _discover()
    function = _ANSWERS.get(type(command))
    if function is None:
        raise Refused(Retval.EINVAL, f"{type(command).__name__} is not known")
    return function


@cache
def _discover() -> None:
    """Imports every module of this folder, which binds their functions."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
