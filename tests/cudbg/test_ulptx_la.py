"""ULPTX_LA: eleven analysers, and debug words behind a strobe."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import dumped, writes

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError

FIRST, STRIDE, INSTANCES, READS = 0x8EC0, 0x10, 11, 512  # ULP_TX_LA_RDPTR_0
STROBE, DEBUG, PM_RX_CFG = 0x8F70, 0x8F74, 0x8FC0
RDPTR, WRPTR, RDDATA, RD_DATA, ASIC_CTRL, ASIC = 0, 11, 22, 33, 5665, 5793  # words
HEAD_BYTES = 8


def body(blob: bytes) -> tuple[int, ...]:
    return u32s(blob[HEAD_BYTES:])


def counting(card: RamCard, register: int, first: int) -> None:
    """Every read gives the next number."""
    numbers = iter(range(first, 1 << 32))
    card.on_read[register] = lambda stored: next(numbers)


def test_of_every_instance_pointers_and_513_words_are_read() -> None:
    card = RamCard()
    for i in range(INSTANCES):
        card.put(FIRST + STRIDE * i, 100 + i)
        card.put(FIRST + STRIDE * i + 8, 200 + i)
        counting(card, FIRST + STRIDE * i + 4, i << 16)
    entity, blob = dumped(card, T6, "ULPTX_LA")
    words = body(blob)
    assert words[RDPTR : RDPTR + INSTANCES] == tuple(range(100, 111))
    assert words[WRPTR : WRPTR + INSTANCES] == tuple(range(200, 211))
    assert words[RDDATA : RDDATA + INSTANCES] == tuple(i << 16 for i in range(INSTANCES))
    for i in range(INSTANCES):
        trace = words[RD_DATA + READS * i : RD_DATA + READS * (i + 1)]
        assert trace == tuple((i << 16) + 1 + n for n in range(READS))
    assert entity.counts.total == 6689


def test_each_strobe_gives_seven_words_the_last_of_another_block() -> None:
    card, strobes = RamCard(), 0

    def latch(value: int) -> None:
        nonlocal strobes
        strobes += 1
        for i in range(5):
            card.put(DEBUG + 4 * i, strobes << 8 | i)

    card.on_write[STROBE] = latch
    card.put(PM_RX_CFG, 0xABCD)
    words = body(dumped(card, T6, "ULPTX_LA")[1])
    assert words[ASIC_CTRL : ASIC_CTRL + 128] == (1,) * 128
    assert words[ASIC : ASIC + 6] == (0x100, 0x101, 0x102, 0x103, 0x104, 0xABCD)
    assert words[ASIC + 6 * 127 : ASIC + 6 * 128 - 1] == tuple(0x8000 | i for i in range(5))


def test_the_strobe_is_nothing_but_a_one() -> None:
    card = RamCard()
    strobes = writes(card, STROBE)
    dumped(card, T6, "ULPTX_LA")
    assert strobes == [1] * 128


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_instances_words_and_debug_words_are_shown(chip: Chip) -> None:
    made = collected(chip)
    words = body(made.dump.raw("ULPTX_LA"))
    instances = made.table("ULPTX_LA", "analysers")
    assert [row["RDPTR"] for row in instances] == list(words[:INSTANCES])
    steps = made.table("ULPTX_LA", "ULP TX trace")
    assert [row["LA 10"] for row in steps] == list(words[RD_DATA + 10 * READS : ASIC_CTRL])
    asic = made.table("ULPTX_LA", "ASIC")
    assert len(asic) == 128
    assert {row["PM_RX_CFG"] for row in asic} == {words[ASIC + 5]}


def test_another_revision_is_refused() -> None:
    blob = bytearray(collected(T6).dump.raw("ULPTX_LA"))
    blob[4] = 2
    with pytest.raises(DumpFormatError, match="ULPTX_LA: revision 2, known is 1"):
        entities()["ULPTX_LA"].decode(bytes(blob), T6)
