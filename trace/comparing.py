"""What two traces, or a trace and a card, have in common: the driver's accesses, polls as one, and
which bits of an answer may differ.

A driver polls as often as the time allows, so a series of reads of polled words (chip/volatile.py)
is one wait: each word with its last value. Other accesses stand for themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmcoredd.chip import Chip, pci
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.chip.pci import Bar
from vmcoredd.chip.volatile import is_polled, is_volatile, waits_for_firmware
from vmcoredd.trace.records import ACCESSES, CONFIG_SPACE, WINDOW, Kind, Record, Source

DRIVERS = (Source.CLIENT, Source.DRIVER)
"""Who accesses the card as a driver does."""
Key = tuple[int, int, int, int, bytes]
"""What an access is: kind, space, address, length, and what is written."""


def is_drivers(record: Record) -> bool:
    """Returns whether a record is a driver's access."""
    return record.kind in ACCESSES and record.source in DRIVERS


def key_of(record: Record) -> Key:
    """Returns what an access asks for; two with the same key ask for the same."""
    written = record.content if record.kind == Kind.WRITE else b""
    return record.kind, record.space, record.address, record.length, written


@dataclass(slots=True)
class Step:
    """An access, or a polled word with the number of times that it was read."""

    index: int
    """Of the first record, among those of the trace."""
    record: Record
    """The last one, whose answer ended the poll."""
    turns: int = 1
    is_poll: bool = False
    """Whether the word is polled, though it may have been read once."""
    moved: bool = False
    """Whether its value was another one before."""

    @property
    def key(self) -> Key:
        """See `key_of`."""
        return key_of(self.record)


class Words:
    """What a chip's words are to one who compares accesses."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._polled: dict[tuple[int, int, int], bool] = {}
        self._volatile: dict[int, str] = {}

    def is_polled(self, record: Record) -> bool:
        """Returns whether a read is of a word that drivers poll."""
        if record.kind != Kind.READ or record.detail:
            return False
        key = (record.space, record.address, record.length)
        if key not in self._polled:
            self._polled[key] = self._is_polled(record)
        return self._polled[key]

    def _is_polled(self, record: Record) -> bool:
        if record.space == CONFIG_SPACE:
            flag = pci.CAP_AT[pci.Cap.VPD] + 2  # PCI 3.0, appendix I: the bit F
            return record.address == flag and record.length == 2
        if record.space != Bar.REGISTERS or record.length != WORD_BYTES:
            return False
        found = self._chip.r.at(record.address)
        return found is not None and is_polled(found.register)

    def is_quick(self, record: Record) -> bool:
        """Returns whether a polled word waits for hardware, which takes no time, not firmware."""
        found = self._chip.r.at(record.address) if record.space == Bar.REGISTERS else None
        return found is not None and not waits_for_firmware(found.register)

    def volatile(self, record: Record) -> dict[int, str]:
        """Returns the words of a read that may differ: their offset in the access, and name."""
        if record.space != Bar.REGISTERS or record.detail & WINDOW:
            return {}
        places = range(0, record.length, WORD_BYTES)
        names = ((at, self._name(record.address + at)) for at in places)
        return {at: name for at, name in names if name}

    def _name(self, offset: int) -> str:
        """Returns the name of the volatile register at an offset; else nothing."""
        if offset not in self._volatile:
            found = self._chip.r.at(offset)
            self._volatile[offset] = str(found) if found and is_volatile(found.register) else ""
        return self._volatile[offset]

    def differing(self, record: Record, came: bytes) -> tuple[bool, list[str]]:
        """Compares what came with a read's recorded answer.

        Returns whether it differs where it may not, and the volatile registers that differ.
        """
        recorded = record.content
        if came == recorded:
            return False, []
        allowed = self.volatile(record)
        moved = [name for at, name in allowed.items() if _word(recorded, at) != _word(came, at)]
        return _without(recorded, allowed) != _without(came, allowed), moved


def _word(data: bytes, at: int) -> bytes:
    return data[at : at + WORD_BYTES]


def _without(data: bytes, places: Iterable[int]) -> bytes:
    rest = bytearray(data)
    for at in places:
        struct.pack_into("<I", rest, at, 0)
    return bytes(rest)


def steps(words: Words, records: Iterable[Record]) -> Iterator[Step]:
    """Yields the steps of the driver among a trace's records, in the order of their beginning.

    Of a series of polls each word is yielded once, in the order in which they were first read.
    """
    polls: dict[Key, Step] = {}
    for index, record in enumerate(records):
        if not is_drivers(record):
            continue
        if words.is_polled(record):
            _turn(polls, index, record)
            continue
        yield from polls.values()
        polls.clear()
        yield Step(index, record)
    yield from polls.values()


def _turn(polls: dict[Key, Step], index: int, record: Record) -> None:
    found = polls.setdefault(key_of(record), Step(index, record, 0, is_poll=True))
    found.moved = found.moved or found.record.value != record.value
    found.record, found.turns = record, found.turns + 1
