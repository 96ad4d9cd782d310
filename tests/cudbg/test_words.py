"""The words of a dump by name: REG_DUMP's and those of the indirect entities."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from carddump import CARDS, collected

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.register import UnknownRegister
from vmcoredd.cudbg.container import PIECE_BYTES, PIECE_HEADER_BYTES
from vmcoredd.cudbg.words import Word, find, words, words_of

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
INSTANCES = [
    (T6, "EDC_H_INT_CAUSE", {"EDC0": 0x50078, "EDC1": 0x50878}),
    (T5, "EDC_H_INT_CAUSE", {"EDC0": 0x50078, "EDC1": 0x50878}),
    (T5, "MC_P_INT_CAUSE", {"MC0": 0x41318, "MC1": 0x49318}),
    (T6, "MC_P_INT_CAUSE", {"MC0": 0x41318}),
    (T6, "MAC_PORT_CFG", {"port 0": 0x30800, "port 1": 0x34800}),
    (T5, "MPS_PORT_CTL", {f"port {i}": 0x30000 + 0x4000 * i for i in range(4)}),
    (T6, "PL_PF_INT_CAUSE", {f"PF{i}": 0x1E3C0 + 0x400 * i for i in range(8)}),
    (T6, "PL_WHOAMI", {"": 0x19400}),
]
"""Registers, and the offset of each instance (t4_regs.h)."""
SPACES = {"TP_INDIRECT", "PCIE_INDIRECT", "PM_INDIRECT", "UP_CIM_INDIRECT", "SGE_INDIRECT"}


@CHIPS
def test_no_two_words_of_reg_dump_have_the_same_name_and_instance(chip: Chip) -> None:
    shown = Counter((w.label, w.instance) for w in words_of(collected(chip).dump, "REG_DUMP"))
    assert [name for name, count in shown.items() if count > 1] == []
    assert ("", "") not in shown


@pytest.mark.parametrize(("chip", "name", "offsets"), INSTANCES)
def test_a_register_is_found_in_each_of_its_instances(
    chip: Chip, name: str, offsets: dict[str, int]
) -> None:
    assert {w.instance: w.offset for w in find(collected(chip).dump, name)} == offsets


@CHIPS
def test_a_word_is_found_as_the_walk_over_all_words_yields_it(chip: Chip) -> None:
    dump = collected(chip).dump
    walked: dict[str, list[Word]] = {}
    for word in words(dump):
        walked.setdefault(word.name, []).append(word)
    assert {word.entity for word in chain(*walked.values())} >= {"REG_DUMP", *SPACES}
    for name in ("PL_WHOAMI", "TP_RX_SCHED_MAP", "SGE_DEBUG_DATA_HIGH_INDEX_10", "MAC_PORT_CFG"):
        assert sorted(find(dump, name)) == sorted(walked[name])


def test_a_words_fields_block_and_value_after_reset_come_from_the_chips_tables() -> None:
    (word,) = find(collected(T6).dump, "PL_WHOAMI")
    assert (word.block, word.fields()["SourcePF"]) == ("PL", 4)
    assert find(collected(T6).dump, "PL_INT_CAUSE")[0].reset is None
    (page,) = find(collected(T6).dump, "SGE_HOST_PAGE_SIZE")
    assert (page.block, page.reset) == ("SGE", 0x22222222)


def test_a_register_of_the_other_chip_has_no_words_and_one_of_no_chip_is_an_error() -> None:
    dump = collected(T6).dump
    only = next(name for name in ("MC_UPCTL_SCFG", "PCIE_DMA_STAT_CNT") if name not in T6.r)
    assert find(dump, only) == []
    with pytest.raises(UnknownRegister, match="did you mean PL_WHOAMI"):
        find(dump, "PL_WHOAM")


def test_a_damaged_entity_has_the_words_that_are_left_and_the_others_have_theirs() -> None:
    data = bytearray(collected(T6).data)
    entity = cudbg.Dump(data).entity("REG_DUMP")
    packed = entity.start + PIECE_HEADER_BYTES
    data[packed : packed + 40] = bytes(40)
    dump = cudbg.Dump(data)
    (intact,) = find(collected(T6).dump, "PL_WHOAMI")
    assert find(dump, "PL_WHOAMI") == ([] if intact.offset < PIECE_BYTES else [intact])
    assert find(dump, "PCIE_FW") == []
    assert find(dump, "TP_RX_SCHED_MAP")
    assert {word.entity for word in words(dump)} >= SPACES
    with pytest.raises(cudbg.DumpFormatError, match="REG_DUMP"):
        list(words_of(dump, "REG_DUMP"))
    left = [word for word in words(dump) if word.entity == "REG_DUMP"]
    every = words_of(collected(T6).dump, "REG_DUMP")
    assert left == [word for word in every if word.offset >= PIECE_BYTES]


def test_the_words_of_a_missing_entity_are_an_error_and_of_a_log_none() -> None:
    dump = collected(T5).dump
    with pytest.raises(cudbg.NoSuchEntity, match="MA_INDIRECT"):
        list(words_of(dump, "MA_INDIRECT"))
    assert list(words_of(dump, "DEV_LOG")) == []
