"""The records of the firmware's log, which DEV_LOG holds, and the core clock that they tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from vmcoredd.chip.devlog import DevlogEntry
from vmcoredd.chip.layout import sizeof
from vmcoredd.cudbg.blank import is_silent
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.printf import formatted

ENTRY_BYTES = sizeof(DevlogEntry)
RECORDS_MOST = 1 << 16
"""Later records are not read. PCIE_FW_PF can describe a log of 2,048."""
_CORE_CLOCK = re.compile(r"core\s+clock\D{0,16}(\d{1,10})\s*([kM])Hz", re.IGNORECASE)
_KHZ = {"k": 1, "m": 1000}
KHZ_LEAST, KHZ_MOST = 1000, 10_000_000
"""Outside of these a number is no core clock."""


class ToldClock(NamedTuple):
    """The core clock that a record tells."""

    khz: int
    seqno: int
    """The record's number."""


def records(log: Bytes) -> list[DevlogEntry]:
    """Returns the records that have been written, oldest first."""
    end = min(len(log), RECORDS_MOST * ENTRY_BYTES)
    data = memoryview(log[0:end])
    starts = range(0, end - ENTRY_BYTES + 1, ENTRY_BYTES)
    found = [
        DevlogEntry.from_bytes(data[at : at + ENTRY_BYTES]) for at in starts if _used(data, at)
    ]
    return sorted(found, key=lambda record: int(record.seqno))


def _used(data: memoryview, at: int) -> bool:
    """Returns whether a record has a time, and was measured."""
    return any(data[at : at + DevlogEntry.timestamp.size]) and not is_silent(
        data[at : at + ENTRY_BYTES]
    )


def message(record: DevlogEntry) -> str:
    """Returns a record's text."""
    return formatted(bytes(record.fmt), list(record.params))


def told_clock(log: Bytes) -> ToldClock | None:
    """Returns the last core clock that the firmware logged; None if it did not."""
    if b"clock" not in bytes(log[0 : RECORDS_MOST * ENTRY_BYTES]).lower():
        return None
    found = list(_clocks(log))
    return found[-1] if found else None


def _clocks(log: Bytes) -> Iterator[ToldClock]:
    for record in records(log):
        match = _CORE_CLOCK.search(message(record))
        if match and KHZ_LEAST <= (khz := int(match[1]) * _KHZ[match[2].lower()]) <= KHZ_MOST:
            yield ToldClock(khz, int(record.seqno))
