"""Memories are shown by the regions that MEMINFO of the same dump names."""

from __future__ import annotations

import pytest
from carddump import CARDS, CardDump, collect, collected, small

from vmcoredd.chip import T6, Chip
from vmcoredd.cudbg.decoded import Hexdump
from vmcoredd.cudbg.entities.meminfo import meminfo_of
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError

MEMORIES_AT, REGIONS_AT = 8 + 0x174, 8 + 0x178
"""Where MEMINFO counts them."""


def shown(made: CardDump, name: str) -> Hexdump:
    (memory,) = made.dump.decode(name)
    assert isinstance(memory, Hexdump)
    return memory


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_region_is_where_the_card_has_it(chip: Chip) -> None:
    made = collected(chip)
    regions = {region.name: region for region in shown(made, "MC0").regions}
    start = made.card.memories["mc0"].base
    for name in ("TCBs", "Pstructs", "PBL region"):
        expected = made.card.scenario.memory_map[name]
        assert regions[name].start == expected.base - start
        assert regions[name].end == expected.base - start + expected.size


@pytest.mark.parametrize("chip", CARDS, ids=repr)
@pytest.mark.parametrize("name", ["EDC0", "EDC1", "MC0"])
def test_the_whole_comes_first_and_no_region_leaves_it(chip: Chip, name: str) -> None:
    memory = shown(collected(chip), name)
    whole, *regions = memory.regions
    assert (whole.name, whole.start, whole.end) == (name, 0, len(memory.data))
    assert all(0 <= region.start < region.end <= whole.end for region in regions)
    assert [region.start for region in regions] == sorted(region.start for region in regions)


def test_the_processors_own_memory_is_named() -> None:
    names = [region.name for region in shown(collected(T6), "EDC1").regions]
    assert {"processor RAM", "processor external memory"} <= set(names)


def test_without_meminfo_a_memory_is_one_region() -> None:
    made = collect(small(T6), entities=("EDC0",))
    assert [region.name for region in shown(made, "EDC0").regions] == ["EDC0"]


@pytest.mark.parametrize("at", [MEMORIES_AT, REGIONS_AT])
def test_a_map_that_lies_is_refused_and_the_memory_shown_without_it(at: int) -> None:
    blob = bytearray(collected(T6).dump.raw("MEMINFO"))
    blob[at] = 200
    with pytest.raises(DumpFormatError, match="MEMINFO: "):
        meminfo_of(bytes(blob))
    (memory,) = entities()["EDC0"].decode_with(bytes(4096), bytes(blob), T6)
    assert [region.name for region in memory.regions] == ["EDC0"]
