"""SGE_INDIRECT, collected from emulated cards."""

from __future__ import annotations

from functools import cache

import pytest
from carddump import CARDS, CardDump, collect, collected

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.entity import entities

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)


@cache
def dumped(chip: Chip) -> tuple[emu.Card, CardDump]:
    card = emu.Card.load(CARDS[chip], 6, strict=True)
    return card, collect(card, entities=("SGE_INDIRECT",))


@CHIPS
def test_debug_words_are_those_of_the_registers_that_show_them(chip: Chip) -> None:
    card, found = dumped(chip)
    words = u32s(found.dump.raw("SGE_INDIRECT"))
    for half, start in (("HIGH", 4), ("LOW", 36 + 4)):
        for i in range(16):
            name = f"SGE_DEBUG_DATA_{half}_INDEX_{i}"
            if name in chip.r:
                assert words[start + i] == card.core.spaces.get(chip.r[name])


@CHIPS
def test_records_describe_how_their_words_were_read(chip: Chip) -> None:
    _, found = dumped(chip)
    words = u32s(found.dump.raw("SGE_INDIRECT"))
    assert words[:4] == (0x10CC, 0x10D0, 0, 16)
    assert words[36:40] == (0x10CC, 0x10D4, 0, 16)


def test_a_t5_has_no_queue_bases() -> None:
    _, found = dumped(T5)
    assert not any(found.dump.raw("SGE_INDIRECT")[288:])
    titles = [part.title for part in found.dump.decode("SGE_INDIRECT")]
    assert titles == ["SGE debug words, high", "SGE debug words, low"]


def test_a_t6_shows_where_each_functions_queues_begin() -> None:
    card, found = dumped(T6)
    words = u32s(found.dump.raw("SGE_INDIRECT")[288:])
    assert words[:5] == (0x1250, 0x1240, 0x1244, 0x1248, 0x124C)
    assert words[-1] == 256
    table = list(found.dump.decode("SGE_INDIRECT"))[-1].json()
    bases = {row["function"]: row for row in table["rows"]}
    used = {
        f"PF{i}" if function.vf is None else f"VF{function.vf}": function
        for i, function in enumerate(card.scenario.queues.functions)
        if function.egress_count
    }
    assert list(bases) == list(used)
    for name, function in used.items():
        assert bases[name]["egress 0 base"] == function.egress
        assert bases[name]["ingress 0 base"] == function.ingress
        assert bases[name]["egress 1 base"] is None


@pytest.mark.parametrize(("chip", "accesses"), [(T5, 64), (T6, 1384)], ids=repr)
def test_sge_indirect_makes_the_kernels_accesses(chip: Chip, accesses: int) -> None:
    _, found = dumped(chip)
    assert found.entity("SGE_INDIRECT").counts.total == accesses


def test_a_dump_of_a_running_adapter_has_the_debug_words_only() -> None:
    _, found = dumped(T6)
    raw = found.dump.raw("SGE_INDIRECT")
    whole, running = (entities()["SGE_INDIRECT"].decode(blob, T6) for blob in (raw, raw[:288]))
    titles = [part.title for part in running]
    assert titles[2] == "queue bases: not read while an interface is up"
    assert [part.json() for part in running][:2] == [part.json() for part in whole][:2]


def test_that_sizes_of_queue_ranges_are_assumed_is_said() -> None:
    _, found = dumped(T6)
    assert "sizes are assumed" in list(found.dump.decode("SGE_INDIRECT"))[-1].title


def test_an_impossible_number_of_functions_loses_nothing_else() -> None:
    raw = bytearray(collected(T6).dump.raw("SGE_INDIRECT"))
    raw[-4:] = (5000).to_bytes(4, "little")
    whole = entities()["SGE_INDIRECT"].decode(collected(T6).dump.raw("SGE_INDIRECT"), T6)
    high, low, said, bases = entities()["SGE_INDIRECT"].decode(bytes(raw), T6)
    assert said.title == "queue bases: 5000 virtual functions are impossible"
    assert [high.json(), low.json(), bases.json()] == [part.json() for part in whole]
