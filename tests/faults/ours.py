"""What our own driver does with each fault: its probe, and the entities of its dump."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

from vmcoredd import emu
from vmcoredd.cudbg.errors import Code
from vmcoredd.driver import ProbeError
from vmcoredd.driver.adapter import Adapter
from vmcoredd.driver.transports import Inproc
from vmcoredd.emu.errors import NoSuchFault
from vmcoredd.hw.errors import DeviceError

from . import cases
from .cases import HEALTHY, Case, Phase
from .rows import Row

COMPLETE = "complete"
SIZE = 8 << 20
"""Bytes of a dump: enough for all entities of a card with little memory."""


class HasCodes(Protocol):
    """An entity of a dump."""

    name: str
    code: int
    sys_err: int
    sys_warn: int


def lost(entities: Iterable[HasCodes]) -> dict[str, str]:
    """Returns why each entity that is not whole is not: the last status that its header has."""
    found = ((each.name, each.sys_warn or each.sys_err or each.code) for each in entities)
    return {name: _status(code) for name, code in found if code}


def _status(code: int) -> str:
    return Code(code).name if code in list(Code) else errno.errorcode.get(-code, str(code))


def told(lost: Mapping[str, str]) -> str:
    """Returns `complete`, or the entities that a dump has lost: `EBUSY: CIM_LA CIM_QCFG; ...`."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(lost.items()):
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{why}: {' '.join(names)}" for why, names in by_reason.items()) or COMPLETE


def parsed(outcome: str) -> dict[str, str]:
    """Returns what `told` was made from; nothing for what is no dump."""
    parts = (part.partition(": ") for part in outcome.split("; "))
    return {name: why for why, _, names in parts if why.isupper() for name in names.split()}


def row(chip: str, fault: str, outcome: str) -> Row:
    """Returns the row of what our driver does with a fault."""
    return Row(chip, fault, Phase.OURS, outcome)


def met(chip: str, known: Mapping[Case, Row]) -> dict[str, str]:
    """Returns what our driver does with each fault, as the rows have it."""
    found = (row for row in known.values() if (row.chip, row.phase) == (chip, Phase.OURS))
    return {row.fault: row.outcome for row in found}


def measured(chip: str, without: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yields each fault that the chip's card can have, and what our driver does with it; first the
    healthy card. Those `without` are left out."""
    card = cases.card(chip)
    kept, buffer = card.snapshot(), bytearray(SIZE)
    healthy = _dumped(card, buffer)
    yield HEALTHY, COMPLETE
    for fault in emu.faults().values():
        card.restore(kept)
        try:
            card.fail(fault.example)
        except NoSuchFault:
            continue
        if fault.name not in without:
            yield fault.example, _met(card, buffer, healthy)


def _met(card: emu.Card, buffer: bytearray, healthy: Mapping[str, str]) -> str:
    try:
        return told(dict(_dumped(card, buffer).items() - healthy.items()))
    except ProbeError as error:
        return f"no probe: {error.step}: {_reason(error.why)}"
    except DeviceError as error:
        return f"no probe: {_reason(str(error))}"


def _dumped(card: emu.Card, buffer: bytearray) -> dict[str, str]:
    """Returns what our driver's dump lacks; waits for the firmware take no time."""
    adapter = Adapter(Inproc(card), sleep=lambda seconds: None)
    return lost(adapter.collect(memoryview(buffer), compress="none").entities)


def _reason(why: str) -> str:
    found = re.search(r"-(E[A-Z0-9]+)", why)
    return found[1] if found else why
