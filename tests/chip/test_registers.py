"""Registers: names, fields and offsets, and the rules that the tables follow."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from chip_facts import CHIPS
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.chip import BAR0, T5, T6, UnknownRegister, csvtables
from vmcoredd.chip.register import ACCESS, SOURCES, parse_fields

CTRL = T6.r.CIM_PF_MAILBOX_CTRL


def test_a_register_is_its_offset() -> None:
    assert T6.r.PL_WHOAMI == 0x19400


def test_a_field_can_be_at_different_bits_on_the_two_chips() -> None:
    assert T5.r.PL_WHOAMI.of(SourcePF=4) == 0x400
    assert T6.r.PL_WHOAMI.of(SourcePF=4) == 0x800


def test_a_field_is_found_in_any_case() -> None:
    assert CTRL.of(MBOWNER=2, mbmsgvalid=1) == 0xA
    assert CTRL.get(0xA, "MBOwner") == 2
    assert CTRL.mask("MBOWNER", "MBMSGVALID") == 0xB


def test_a_field_is_found_by_linuxs_name_where_chelsios_differs() -> None:
    assert T6.r.CIM_QUEUE_CONFIG_CTRL.get(8 << 24, "CIMQSIZE") == 8
    assert T5.r.SF_OP.mask("SF_BUSY") == 1 << 31


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="MBOwner: 0x4 does not fit 2 bits"):
        CTRL.of(MBOwner=4)
    with pytest.raises(ValueError, match="does not fit"):
        CTRL.of(MBOwner=-1)


def test_a_misspelt_field_is_refused_with_suggestions() -> None:
    with pytest.raises(UnknownRegister, match="has no MBOWNR; did you mean MBOwner"):
        CTRL.get(0, "MBOWNR")


def test_an_array_refuses_an_element_beyond_its_end() -> None:
    window = T6.r.PCIE_MEM_ACCESS_BASE_WIN
    assert window[7] == 0x3068 + 7 * 8
    with pytest.raises(IndexError, match="it has 8 elements"):
        window[8]
    with pytest.raises(IndexError):
        window[-1]


@given(st.integers(0, 0xFFFFFFFF))
def test_decoding_loses_no_bit_that_has_a_field(word) -> None:
    register = T6.r.LE_DB_CONFIG
    known = register.mask(*(field.name for field in register.fields))
    assert register.of(**register.decode(word)) == word & known


def test_fields_are_parsed_from_the_last_colons() -> None:
    (field,) = parse_fields("a:b:4:2")
    assert (field.name, field.shift, field.width) == ("a:b", 4, 2)


# The tables


REGISTERS = Path(csvtables.__file__).parent / "registers"


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_every_word_of_a_register_dump_has_a_name(chip) -> None:
    nameless = [
        f"{start + 4 * i:#x}"
        for start, words in chip.ranges("reg_dump")
        for i in range(words)
        if chip.r.at(start + 4 * i) is None
    ]
    assert nameless == []


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_no_two_registers_share_a_word(chip) -> None:
    words = Counter(
        (register.space, register[i]) for register in chip.r for i in range(register.count)
    )
    assert [f"{space} {at:#x}" for (space, at), count in words.items() if count > 1] == []


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_a_second_name_is_declared_and_has_the_offset_of_the_first(chip) -> None:
    for alias in chip.r.aliases:
        first = chip.r[alias.alias]
        assert int(alias) in {first[i] for i in range(first.count)}, alias
        assert alias.fields == first.fields, alias
        assert alias not in [each.name for each in chip.r], alias


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_a_name_in_two_spaces_would_be_two_registers(chip) -> None:
    spaces: dict[str, set[str]] = {}
    for register in chip.r:
        spaces.setdefault(register.name, set()).add(register.space)
    assert [name for name, where in spaces.items() if len(where) > 1] == []


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_linux_names_a_register_once(chip) -> None:
    rows = [
        row for row in csvtables.rows("registers", "linux") if chip.name in row["chips"].split()
    ]
    instances = {register.name for register in chip.r if len(chip.r.instances(register.name)) > 1}
    names = Counter(row["register"] for row in rows)
    assert {name for name, count in names.items() if count > 1} <= instances


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_fields_of_a_register_do_not_overlap_and_fit_a_word(chip) -> None:
    wrong = []
    for register in chip.r:
        taken = 0
        for field in register.fields:
            if field.width < 1 or field.shift + field.width > 32 or taken & field.mask:
                wrong.append(f"{register.name}.{field.name}")
            taken |= field.mask
    assert wrong == []


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_access_and_sources_are_words_of_the_vocabulary(chip) -> None:
    for register in (*chip.r, *chip.r.aliases):
        assert register.access in ACCESS, register
        assert register.source in SOURCES, register
        assert not register.reset_source or register.reset_source in SOURCES, register


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_a_reset_value_has_a_source_and_fits_a_word(chip) -> None:
    for register in chip.r:
        assert 0 <= register.reset < 1 << 32, register
        assert bool(register.reset) <= bool(register.reset_source), register


def test_a_single_grep_finds_all_assumptions() -> None:
    lines = (REGISTERS / "linux.csv").read_text().splitlines()
    assumed = {line.split(",")[0] for line in lines if re.search(r",assumed,", line)}
    ours = {
        register.name
        for chip in CHIPS
        for register in chip.r
        if "assumed" in (register.source, register.reset_source)
    }
    assert assumed == ours
    assert "SGE_EGRESS_QUEUES_PER_PAGE_PF" in assumed


def test_no_table_has_a_quote_or_a_blank_line() -> None:
    for path in sorted(REGISTERS.parent.rglob("*.csv")):
        text = path.read_text()
        assert '"' not in text, path
        assert "\n\n" not in text, path
        assert text.endswith("\n"), path


def test_a_misspelt_register_is_refused_with_suggestions() -> None:
    with pytest.raises(UnknownRegister, match=r"t6 has no PL_WHOMAI; did you mean PL_WHOAMI"):
        T6.r["PL_WHOMAI"]
    with pytest.raises(AttributeError, match="PL_WHOAMI"):
        T6.r.PL_WHOMAI  # noqa: B018


def test_a_register_of_the_other_chip_is_refused() -> None:
    assert "SGE_QBASE_INDEX" in T6.r
    assert "SGE_QBASE_INDEX" not in T5.r


def test_linux_and_chelsio_names_find_the_same_register() -> None:
    assert T6.r.T6_LE_DB_HASH_TID_BASE.chelsio_name == "LE_DB_HASH_TID_BASE"
    assert T6.r.PM_RX_STAT_LSB.alias == "PM_RX_DBG_CTRL"
    assert T6.r.at(0x8FD0).register.name == "PM_RX_DBG_CTRL"


def test_t6_has_its_own_replication_maps_and_the_ones_linux_mistakes_for_them() -> None:
    assert int(T6.r.MPS_VF_RPLCT_MAP0) == 0x11114
    assert int(T6.r.T5_MPS_VF_RPLCT_MAP0) == int(T5.r.MPS_VF_RPLCT_MAP0) == 0x1111C
    assert T6.r.T5_MPS_VF_RPLCT_MAP0.alias == "MPS_VF_RPLCT_MAP2"


def test_the_first_register_imports_no_slow_module() -> None:
    code = "import sys; from vmcoredd.chip import T6; T6.r.PL_WHOAMI; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert {"csv", "ctypes", "dataclasses", "difflib", "inspect", "pathlib"}.isdisjoint(
        found.stdout.split()
    )


def test_a_name_with_several_instances_gives_the_first_and_all() -> None:
    mailboxes = T6.r.instances("CIM_PF_MAILBOX_DATA")
    assert [int(each) for each in mailboxes] == [0x1E240 + pf * 0x400 for pf in range(8)]
    assert T6.r.CIM_PF_MAILBOX_DATA is mailboxes[0]


def test_the_words_of_a_name_are_counted_by_offset() -> None:
    assert [int(one.register) for one in T6.r.words("EDC_H_INT_CAUSE")] == [0x50078, 0x50878]
    (second,) = T6.r.words("EDC_H_INT_CAUSE[1]")
    assert (int(second.register), second.element) == (0x50878, 0)
    assert str(*T6.r.words("PCIE_FW_PF[7]")) == "PCIE_FW_PF[7]"
    assert len(T6.r.words("CIM_PF_MAILBOX_DATA")) == 8 * 16


@pytest.mark.parametrize(
    "text",
    ["EDC_H_INT_CAUSE[2]", "EDC_H_INT_CAUSE[]", "EDC_H_INT_CAUSE[-1]", "EDC_H_INT_CAUSE[000001]"],
)
def test_a_word_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(UnknownRegister, match=r"t6 has no .*; did you mean EDC_H_INT_CAUSE\[1\]?"):
        T6.r.words(text)


def test_a_word_within_an_array_is_found_with_its_element() -> None:
    assert str(T6.r.at(0x30D8)) == "PCIE_FW_PF[7]"
    assert str(T6.r.at(0x19400)) == "PL_WHOAMI"
    assert T6.r.at(0x19401) is None


def test_an_indirect_register_is_found_in_its_space() -> None:
    assert str(T5.r.at(0x3A, "tp_pio")) == "TP_RSS_VFL_CONFIG"
    assert T5.r.at(0x3A) is None
    assert T5.r.UP_UP_DBG_LA_CFG.space == "cim"
    assert T6.r.PL_WHOAMI.space == BAR0
