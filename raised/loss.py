"""Takes the card out of its slot again where the dump's adapter was lost: in the entity whose
collection noticed it. That and all that follow have -EIO in a dump of this driver's.

The loss waits for an access (`emu.triggers`): the first one that the entity's collector makes of a
register, counted from the probe on. A driver whose probe makes other accesses to that register than
the kernel's loses the card in another place.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from vmcoredd import cudbg
from vmcoredd.chip.register import Location
from vmcoredd.cudbg.dump import Dump
from vmcoredd.cudbg.entity import Stage, entities
from vmcoredd.driver import Adapter, ProbeError
from vmcoredd.emu import Card
from vmcoredd.emu.silicon.slot import REMOVAL
from vmcoredd.emu.snapshot import Snapshot
from vmcoredd.hw.errors import DeadDevice
from vmcoredd.hw.io import Counts, SingleIo, Space

Probed = Callable[[], Adapter]
"""Probes the card, as `RaisedCard.open`."""

_VPD, _CONFIG, _NO_VPD = "VPD_DATA", "PCIE_CONFIG", "no-vpd"


def lost_from(dump: Dump) -> str | None:
    """Returns the entity whose collection noticed that the adapter was lost; None if none did."""
    there = {entity.name: entity for entity in dump.entities if not entity.left_out}
    first = None
    for name, entity in reversed(entities().items()):
        if entity.stage == Stage.DRIVER or (found := there.get(name)) is None:
            continue
        if found.code != -errno.EIO:
            break
        first = name
    return first


def vpd_was_lost(dump: Dump) -> bool:
    """Returns whether the adapter was lost when VPD_DATA looked for the capability: it found none
    in all ones, and the next entity noticed why."""
    lost = lost_from(dump)
    codes = [entity.code for entity in dump.entities if entity.name == _VPD]
    return lost == _after(_VPD) and codes == [-errno.ENODEV]


def lose_again(card: Card, dump: Dump, probed: Probed) -> tuple[str, ...]:
    """Lets a card be lost at the first access that collects the entity which the dump lost first.

    Returns the faults that wait for that; none if nothing was lost, the card does not come up, or
    no register is read for that entity.
    """
    if (name := lost_from(dump)) is None:
        return ()
    before = card.snapshot()
    wanted = [(REMOVAL, name)]
    if vpd_was_lost(dump):
        wanted.insert(0, (_NO_VPD, _after(_CONFIG)))
    try:
        made = [_waiting(card, probed, fault, entity, before) for fault, entity in wanted]
    except ProbeError:
        card.restore(before)
        return ()
    faults = tuple(filter(None, made))
    for fault in faults:
        card.fail(fault)
    return faults


def _after(name: str) -> str:
    names = [*entities()]
    return names[names.index(name) + 1]


def _waiting(card: Card, probed: Probed, fault: str, name: str, before: Snapshot) -> str:
    """Returns the fault with its trigger; empty if there is nothing that it could wait for."""
    names = [*entities()]
    with probed() as adapter:
        verb, place = _first_access(adapter, name)
    card.restore(before)
    if place is None:
        return ""
    made = 0

    def hear(is_write: bool) -> None:
        nonlocal made
        made += is_write == (verb == "write")

    end = card.core.watch([place], hear)
    with probed() as adapter:
        adapter.collect(_room(), compress="none", entities=names[: names.index(name)])
    end()
    card.restore(before)
    return f"{fault}@{verb}:{place}:{made + 1}"


def _room() -> memoryview:
    return memoryview(bytearray(cudbg.DUMP_SIZE))


def _first_access(adapter: Adapter, name: str) -> tuple[str, Location | None]:
    """Returns how an entity's collector begins, and the register; None if it has no name."""
    io = _Lost(adapter.io.config)
    cudbg.collect(io, adapter.device, _room(), entities=[name])
    verb, offset = io.first
    return verb, adapter.chip.r.at(offset) if verb else None


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
