"""CIM_MA_LA and CIM_PIF_LA: the processor's interfaces, out and in."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import dumped, writes

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s

CONFIG, STATUS = 0x7B70, 0x7B74  # CIM_DEBUGCFG, CIM_DEBUGSTS
OUT, IN, MEMORY_OUT, MEMORY_IN = 0x7B78, 0x7B7C, 0x7B80, 0x7B84
ENABLE = 1 << 12
REQUEST, RESPONSE = 1 << 16, 2 << 16
NAMES = ["CIM_MA_LA", "CIM_PIF_LA"]


def analysers(flags: int = 0, out: int = 0, in_: int = 0) -> RamCard:
    """A word of either trace tells its pointer; the write pointers are `out` and `in_`."""
    card = RamCard()
    card.put(CONFIG, flags)
    card.put(STATUS, out << 16 | in_)

    def select(value: int) -> None:
        for outgoing, incoming in ((OUT, IN), (MEMORY_OUT, MEMORY_IN)):
            card.put(outgoing, REQUEST | value >> 23)
            card.put(incoming, RESPONSE | value >> 14 & 0x1FF)

    card.on_write[CONFIG] = select
    return card


def test_requests_to_memory_overwrite_all_but_the_last_80_responses() -> None:
    entity, blob = dumped(analysers(), T5, "CIM_MA_LA")
    pointers = [8 * entry + word for entry in range(64) for word in range(5)]
    words = u32s(blob)
    assert words[:320] == tuple(REQUEST | pointer for pointer in pointers)
    assert words[320:400] == tuple(RESPONSE | pointer for pointer in pointers[240:])
    assert words[400:] == (0,) * 240
    assert entity.counts.total == 962


def test_what_passed_the_interface_begins_at_the_write_pointers() -> None:
    entity, blob = dumped(analysers(out=0x1F8, in_=8), T6, "CIM_PIF_LA")
    words = u32s(blob)
    assert words[0] == 64
    out = [(0x1F8 + 8 * entry) % 512 + word for entry in range(64) for word in range(6)]
    in_ = [(8 + 8 * entry) % 512 + word for entry in range(64) for word in range(6)]
    assert words[1:385] == tuple(REQUEST | pointer for pointer in out)
    assert words[385:] == tuple(RESPONSE | pointer for pointer in in_)
    assert entity.counts.total == 1155


@pytest.mark.parametrize("name", NAMES)
def test_analysers_that_run_are_stopped_and_started_as_they_were(name: str) -> None:
    card = analysers(ENABLE | 1)
    written = writes(card, CONFIG)
    entity, _ = dumped(card, T6, name)
    assert (written[0], written[-1]) == (1, ENABLE | 1)
    assert entity.good


@pytest.mark.parametrize("name", NAMES)
def test_analysers_that_rest_get_their_pointers_back(name: str) -> None:
    card = analysers(1)
    written = writes(card, CONFIG)
    dumped(card, T6, name)
    assert written[-1] == 1
    assert not any(value & ENABLE for value in written)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_entries_are_shown_as_what_was_asked_and_answered(chip: Chip) -> None:
    made = collected(chip)
    words = u32s(made.dump.raw("CIM_PIF_LA"))
    requests = made.table("CIM_PIF_LA", "requests")
    assert len(requests) == len(made.table("CIM_PIF_LA", "responses")) == 64
    assert requests[0]["Addr"] == words[5]
    assert len(made.table("CIM_MA_LA", "requests")) == 64
    assert len(made.table("CIM_MA_LA", "responses")) == 80
