"""Takes the card out of its slot again where the dump's adapter was lost (`answered.py`).

The loss waits for an access (`emu.triggers`): the first that was lost if the dump shows which, else
the first one that an entity's collector makes. It is counted from the probe on, so a driver whose
probe makes other accesses to that register than the kernel's loses the card in another place.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from vmcoredd import cudbg
from vmcoredd.chip.register import Location
from vmcoredd.cudbg.entity import entities
from vmcoredd.driver import Adapter, ProbeError
from vmcoredd.emu import Card
from vmcoredd.emu.silicon.slot import REMOVAL
from vmcoredd.hw.errors import DeadDevice
from vmcoredd.hw.io import Counts, SingleIo, Space
from vmcoredd.raised.answered import Answered

Probed = Callable[[], Adapter]
"""Probes the card, as `RaisedCard.open`."""


class Access(NamedTuple):
    """A read or a write of a register."""

    verb: str
    place: Location


_VPD, _CONFIG, _NO_VPD = "VPD_DATA", "PCIE_CONFIG", "no-vpd"


def vpd_was_lost(dump: Answered) -> bool:
    """Returns whether the adapter was lost when VPD_DATA looked for the capability: it found none
    in all ones, and the next entity noticed why."""
    codes = [entity.code for entity in dump.entities if entity.name == _VPD]
    return dump.lost_at is not None and (dump.lost_at.entity, codes) == (
        _after(_VPD),
        [-errno.ENODEV],
    )


def lose_again(card: Card, dump: Answered, probed: Probed) -> tuple[str, ...]:
    """Lets a card be lost where the dump's adapter was.

    Returns the faults that wait for that; none if nothing was lost, the card does not come up, or
    no register is read after that.
    """
    if dump.lost_at is None:
        return ()
    name, before = dump.lost_at.entity, card.snapshot()
    try:
        if place := dump.first_lost:
            made = [_counted(card, probed, REMOVAL, name, Access("read", place))]
        else:
            made = [_waiting(card, probed, REMOVAL, _after(name) if dump.lost_at.spans else name)]
        if vpd_was_lost(dump):
            made.insert(0, _waiting(card, probed, _NO_VPD, _after(_CONFIG)))
    except ProbeError:
        made = []
    card.restore(before)
    faults = tuple(filter(None, made))
    for fault in faults:
        card.fail(fault)
    return faults


def _after(name: str) -> str:
    names = [*entities()]
    return names[names.index(name) + 1]


def _waiting(card: Card, probed: Probed, fault: str, name: str) -> str:
    """Returns a fault that waits for the first access that collects an entity, or if there is none
    one of those that follow; empty if these make none, either."""
    names, before = [*entities()], card.snapshot()
    for entity in names[names.index(name) :]:
        with probed() as adapter:
            found = _first_access(adapter, entity)
        card.restore(before)
        if found:
            return _counted(card, probed, fault, entity, found)
    return ""


def _counted(card: Card, probed: Probed, fault: str, name: str, access: Access) -> str:
    """Returns a fault that waits for an access, the first one when an entity is collected."""
    names, before, made = [*entities()], card.snapshot(), 0

    def hear(is_write: bool) -> None:
        nonlocal made
        made += is_write == (access.verb == "write")

    with ExitStack() as stack:
        stack.callback(card.core.watch([access.place], hear))
        adapter = stack.enter_context(probed())
        adapter.collect(_room(), compress="none", entities=names[: names.index(name)])
    card.restore(before)
    return f"{fault}@{access.verb}:{access.place}:{made + 1}"


def _room() -> memoryview:
    return memoryview(bytearray(cudbg.DUMP_SIZE))


def _first_access(adapter: Adapter, name: str) -> Access | None:
    """Returns how an entity's collector begins; None if it makes no access to a named register."""
    io = _Lost(adapter.io.config)
    cudbg.collect(io, adapter.device, _room(), entities=[name])
    verb, offset = io.first
    place = adapter.chip.r.at(offset) if verb else None
    return Access(verb, place) if place else None


class _Lost(SingleIo):
    """An adapter that is lost at the first access to its registers."""

    def __init__(self, config: Space) -> None:
        self.config = config
        self.first = ("", 0)
        self.counts = Counts()

    def read(self, offset: int, width: int = 4) -> int:
        """Fails."""
        raise self._at("read", offset)

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Fails."""
        raise self._at("write", offset)

    def _at(self, verb: str, offset: int) -> DeadDevice:
        self.first = verb, offset
        return DeadDevice(-errno.EIO, "the first access")
