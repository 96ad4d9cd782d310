"""The arguments of the marks: read, checked, and turned into a card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmcoredd import emu
from vmcoredd.emu import triggers, wires
from vmcoredd.emu.profile import load as load_profile

if TYPE_CHECKING:
    import pytest

MARK = "vmcoredd"


class BadMark(Exception):
    """A mark's arguments cannot be used; the message says which can."""


@dataclass(frozen=True)
class Arguments:
    """What `@pytest.mark.vmcoredd` can say; None: the fixture's own default."""

    card: str | Path = "t62100-cr"
    seed: int = 0
    faults: Sequence[str] = ()
    scene: str | None = None
    strict: bool = False
    wires: Sequence[str] = ()
    kernel: str | None = None

    def make(self, scene: emu.Scene) -> emu.Card:
        """Makes the card, in `scene` if the mark names none. Raises BadMark."""
        try:
            card = emu.Card.load(
                self.card,
                self.seed,
                scene=self.scene or scene,
                faults=self.faults,
                strict=self.strict,
            )
            wires.plug(list(self.wires), {"": card})
        except emu.EmuError as error:
            raise BadMark(f"{self}: {error}") from error
        return card

    def __str__(self) -> str:
        """Returns the mark, as one would type it."""
        values = ((item, getattr(self, item.name)) for item in dataclasses.fields(self))
        words = [f"{item.name}={value!r}" for item, value in values if value != item.default]
        return f"pytest.mark.{MARK}({', '.join(words)})"


def arguments(node: pytest.Item | pytest.Collector) -> Arguments:
    """Returns what the marks of a test, its class and its module say; the nearest wins.

    Raises BadMark.
    """
    given: dict[str, Any] = {}
    for mark in node.iter_markers(MARK):
        _check(mark)
        given = {**mark.kwargs, **given}
    return Arguments(**given)


def _check(mark: pytest.Mark) -> None:
    names = [field.name for field in dataclasses.fields(Arguments)]
    shown = ", ".join([*map(repr, mark.args), *(f"{k}={v!r}" for k, v in mark.kwargs.items())])
    where = f"pytest.mark.{MARK}({shown})"
    if mark.args:
        raise BadMark(f"{where}: name the arguments: {', '.join(names)}")
    for name, value in mark.kwargs.items():
        if name not in names:
            raise BadMark(f"{where}: no argument {name}; there are {', '.join(names)}")
        try:
            _CHECKS[name](value)
        except (BadMark, emu.EmuError) as error:
            raise BadMark(f"{where}: {name}: {error}") from error


def _card(value: object) -> None:
    if not isinstance(value, str | Path):
        raise BadMark(f"a card's name or the path of its TOML file: {', '.join(emu.profiles())}")
    load_profile(value)


def _seed(value: object) -> None:
    if type(value) is not int:
        raise BadMark("a whole number")


def _texts(value: object, example: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise BadMark(f"a list of texts, such as [{example!r}]")
    return list(value)


def _faults(value: object) -> None:
    for text in _texts(value, "cim-host-busy"):
        triggers.parse(text, emu.faults())


def _scene(value: object) -> None:
    if value not in emu.Scene.chosen():
        raise BadMark(f"no scene {value!r}; there are {', '.join(emu.Scene.chosen())}")


def _strict(value: object) -> None:
    if not isinstance(value, bool):
        raise BadMark("True (accesses to words without behaviour are refused) or False")


def _wires(value: object) -> None:
    for text in _texts(value, "0=1"):
        wires.parse(text)


def _kernel(value: object) -> None:
    from vmcoredd.qemu.errors import GuestError
    from vmcoredd.qemu.kernels import NAMES, check_kernel

    try:
        check_kernel(value if isinstance(value, str) else "")
    except GuestError as error:
        raise BadMark(f"no kernel {value!r}; there are {', '.join(NAMES)}") from error


_CHECKS: dict[str, Callable[[object], None]] = {
    "card": _card,
    "seed": _seed,
    "faults": _faults,
    "scene": _scene,
    "strict": _strict,
    "wires": _wires,
    "kernel": _kernel,
}
