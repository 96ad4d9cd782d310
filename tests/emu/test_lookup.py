"""Lookups: indices, requests, commands, stepping, and definitions that are refused."""

from __future__ import annotations

import pytest
from emucore import R, core, read, refused, word, write

from vmcoredd.emu.access_log import LogKind
from vmcoredd.emu.core import Core
from vmcoredd.emu.errors import ModelError
from vmcoredd.emu.lookup import MAX_PARTS, Index, When
from vmcoredd.emu.spaces import Space

COMMAND, DATA, OTHER = R.MPS_TRC_FILTER0_DONT_CARE, R.MPS_TRC_FILTER1_MATCH, R.MPS_TRC_CFG
"""Two arrays and a register that no model here uses."""


def machine(rows: int = 16, width: int = 1) -> tuple[Core, Space]:
    """Returns a core, and a table whose words count up from 1000."""
    made = core()
    table = made.spaces.table("rows", rows, width)
    table.fill(0, range(1000, 1000 + rows * width))
    return made, table


def test_data_shows_the_word_at_the_index() -> None:
    made, table = machine()
    made.lookups.index(COMMAND, DATA, table)
    write(made, COMMAND, 5)
    assert word(made, DATA) == word(made, DATA) == 1005
    assert word(made, COMMAND) == 5


def test_data_written_at_an_index_is_stored_in_the_table() -> None:
    made, table = machine()
    made.lookups.index(COMMAND, DATA, table)
    write(made, COMMAND, 5)
    write(made, DATA, 77)
    assert table.words[5] == 77
    assert word(made, DATA) == 77


def test_a_row_past_the_table_reads_as_zero_and_is_logged() -> None:
    made, table = machine()
    made.lookups.index(COMMAND, DATA, table)
    write(made, COMMAND, 16)
    assert word(made, DATA) == 0
    assert made.access_log.totals == {LogKind.UNDESCRIBED: 1}
    write(made, DATA, 1)
    assert made.access_log.totals == {LogKind.UNDESCRIBED: 2}


def test_a_strict_core_refuses_a_row_past_the_table() -> None:
    made, table = machine()
    made.access_log.strict = True
    made.lookups.index(COMMAND, DATA, table)
    assert refused(made, COMMAND, 0xFFFFFFFF)


def test_a_wide_row_appears_in_consecutive_words() -> None:
    made, table = machine(rows=4, width=3)
    made.lookups.add(COMMAND, table, Index(COMMAND, 3), DATA, width=3)
    write(made, COMMAND, 2)
    assert read(made, DATA, 12) == b"".join(n.to_bytes(4, "little") for n in (1006, 1007, 1008))


def test_a_row_number_can_combine_several_registers() -> None:
    made, table = machine()
    made.spaces.plain(OTHER, 0)
    parts = [Index(COMMAND, 3), Index(OTHER, 3, shift=8, scale=4)]
    made.lookups.add(COMMAND, table, parts, DATA)
    write(made, OTHER, 0x200)
    write(made, COMMAND, 0xFF)
    assert word(made, DATA) == 1011


def test_a_write_that_is_not_a_command_fetches_nothing() -> None:
    made, table = machine()
    made.lookups.add(COMMAND, table, Index(COMMAND, 15), DATA, when=When(0x100, 0x100))
    write(made, COMMAND, 3)
    assert word(made, DATA) == 0
    write(made, COMMAND, 0x103)
    assert word(made, DATA) == 1003


def test_a_store_command_copies_data_to_the_row() -> None:
    made, table = machine()
    row = Index(COMMAND, 15)
    made.lookups.add(COMMAND, table, row, DATA, when=When(0x100, 0))
    made.lookups.add(
        COMMAND, table, row, DATA, when=When(0x100, 0x100), store=True, store_mask=0xFF
    )
    made.spaces.plain(DATA)
    write(made, DATA, 0x1234)
    write(made, COMMAND, 0x107)
    assert table.words[7] == 0x34
    write(made, COMMAND, 7)
    assert word(made, DATA) == 0x34


def test_a_requested_row_reads_at_the_request_register() -> None:
    made, table = machine()
    made.lookups.request(COMMAND, table, tag=0xFF000000, mask=0xF, shift=24, keep=0xFFFF)
    write(made, COMMAND, 0xFF000009)
    assert word(made, COMMAND) == 1009


def test_any_other_write_to_a_request_register_stores() -> None:
    made, table = machine()
    made.lookups.request(COMMAND, table, tag=0xFF000000, mask=0xF, shift=24, keep=0xFFFF)
    write(made, COMMAND, 0x03_12_ABCD)
    assert table.words[3] == 0xABCD
    write(made, COMMAND, 0xFF000003)
    assert word(made, COMMAND) == 0xABCD


def test_reading_steps_and_wraps() -> None:
    made, table = machine(rows=4)
    made.lookups.add(COMMAND, table, Index(COMMAND, 3), DATA, step="read")
    write(made, COMMAND, 2)
    assert [word(made, DATA) for _ in range(5)] == [1002, 1003, 1000, 1001, 1002]
    assert word(made, COMMAND) == 3


def test_a_run_steps_once_when_it_reads_the_data_word() -> None:
    made, table = machine(rows=4)
    made.lookups.add(COMMAND, table, Index(COMMAND, 3), DATA, step="read")
    write(made, COMMAND, 0)
    read(made, DATA, 8)
    assert word(made, DATA) == 1001


def test_a_command_steps() -> None:
    made, table = machine(rows=4)
    made.spaces.plain(OTHER, 3)
    made.lookups.add(COMMAND, table, Index(OTHER, 3), DATA, step="command")
    seen = []
    for _ in range(3):
        write(made, COMMAND, 1)
        seen.append(word(made, DATA))
    assert seen == [1003, 1000, 1001]


def test_lookups_of_one_command_run_in_order() -> None:
    made, table = machine()
    pointers = made.spaces.table("pointers", rows=16)
    pointers.fill(0, range(15, -1, -1))
    made.lookups.add(COMMAND, pointers, Index(COMMAND, 15), OTHER)
    made.lookups.add(COMMAND, table, Index(OTHER, 15), DATA)
    write(made, COMMAND, 4)
    assert word(made, DATA) == 1011


def test_a_lookup_can_reach_a_lookup_in_another_space() -> None:
    made = core()
    inner = made.spaces.registers("cim", 0x200)
    table = made.spaces.table("la", rows=8)
    table.fill(0, range(50, 58))
    cfg, data = R.UP_UP_DBG_LA_CFG, R.UP_UP_DBG_LA_DATA
    made.lookups.add(cfg, table, Index.field(cfg, "UpDbgLaRdPtr"), data)
    made.lookups.reads_as(cfg, clear=cfg.mask("UpDbgLaRdEn"))
    ctrl, word_ = R.CIM_HOST_ACC_CTRL, R.CIM_HOST_ACC_DATA
    address = Index(ctrl, 0x3FFF, 2)
    made.lookups.add(ctrl, inner, address, word_, when=When.clear(ctrl, "HostWrite"))
    made.lookups.add(ctrl, inner, address, word_, when=When.set(ctrl, "HostWrite"), store=True)
    write(made, word_, cfg.of(UpDbgLaRdPtr=6, UpDbgLaRdEn=1))
    write(made, ctrl, int(cfg) | ctrl.mask("HostWrite"))
    write(made, ctrl, int(cfg))
    assert word(made, word_) == cfg.of(UpDbgLaRdPtr=6)
    write(made, ctrl, int(data))
    assert word(made, word_) == 56


def test_busy_bits_read_as_clear_after_a_command() -> None:
    made, table = machine()
    made.lookups.index(COMMAND, DATA, table, mask=15)
    made.lookups.reads_as(COMMAND, clear=0x80000000, set_=0x100)
    write(made, COMMAND, 0x80000003)
    assert word(made, COMMAND) == 0x103


def test_a_hung_command_keeps_showing_the_old_row() -> None:
    made, table = machine()
    made.lookups.index(COMMAND, DATA, table, mask=15)
    write(made, COMMAND, 3)
    made.lookups.hang(COMMAND, set_=0x80000000)
    assert word(made, COMMAND) == 0x80000003
    write(made, COMMAND, 4)
    assert word(made, COMMAND) == 0x80000004
    assert word(made, DATA) == 1003


def test_a_table_made_before_its_commands_space_is_refused() -> None:
    made = core()
    made.spaces.table("early", rows=4)
    made.spaces.registers("cim", 0x200)
    cfg = R.UP_UP_DBG_LA_CFG
    with pytest.raises(ModelError, match="early must be made after cim"):
        made.lookups.add(cfg, made.spaces.space("early"), Index(cfg, 3))


def test_a_row_number_of_no_or_too_many_parts_is_refused() -> None:
    made, table = machine()
    for count in (0, MAX_PARTS + 1):
        with pytest.raises(ModelError, match="1 to 3 parts"):
            made.lookups.add(COMMAND, table, [Index(COMMAND)] * count, DATA)


def test_data_past_the_end_of_a_space_is_refused() -> None:
    made = core()
    made.spaces.registers("cim", 0x144 // 4 + 1)
    cfg, data = R.UP_UP_DBG_LA_CFG, R.UP_UP_DBG_LA_DATA
    wide = made.spaces.table("wide", rows=1, width=2)
    with pytest.raises(ModelError, match="cim has no word at 0x148"):
        made.lookups.add(cfg, wide, Index(cfg, 0), data, width=2)


def test_two_spaces_with_one_name_are_refused() -> None:
    made, _ = machine()
    with pytest.raises(ModelError, match="two spaces called rows"):
        made.spaces.table("rows", 1)


def test_a_row_number_that_would_wrap_is_past_the_table() -> None:
    made, table = machine(rows=8, width=2)
    made.lookups.add(COMMAND, table, Index(COMMAND), DATA, width=2)
    write(made, COMMAND, 0x80000001)
    assert word(made, DATA) == 0
    assert made.access_log.totals == {LogKind.UNDESCRIBED: 2}
