"""Compares the registers with Linux's: t4_regs.h, ranges of a register dump, cudbg's tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from chip_facts import CHIPS, absent, elsewhere, linux_fields
from kernel_headers import DRIVER, Header, Macro, header, numbers, rows, text

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd.chip import T5, T6, Chip, Register
from vmcoredd.chip.register import Field

pytestmark = pytest.mark.interop

PF_BASE, PORT_BASE = 0x1E000, 0x30000
BASES = {r"(SGE|PCIE|CIM|PL)_PF_": PF_BASE, r"MAC_PORT_": PORT_BASE}
"""Registers that t4_regs.h gives as offsets within a function's or a port's region."""
BARE = re.compile(r"(MPS_(PORT_STAT|STAT_RX_BG)|MAC_PORT)_\w+")
"""Registers whose macro has no `_A`; the first and last are offsets within a port's region."""


@pytest.fixture(scope="module")
def driver() -> Path:
    return kernel_source() / DRIVER


@pytest.fixture(scope="module")
def t4_regs(driver) -> Header:
    return header(driver / "t4_regs.h")


def place(name: str, address: int) -> int:
    """Returns the address in BAR0 of a macro that may be relative to a region."""
    bases = (base for pattern, base in BASES.items() if re.match(pattern, name))
    return address if address >= 0x1000 else address + next(bases, 0)


def test_the_regions_begin_at_the_offsets_of_t4_regs(t4_regs) -> None:
    assert t4_regs.numbers["PF0_BASE"] == PF_BASE
    assert t4_regs.numbers["T5_PORT0_BASE"] == PORT_BASE


def described(chip: Chip, name: str, address: int) -> bool:
    return name in chip.r and int(chip.r[name]) == place(name, address)


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_every_register_of_t4_regs_is_described_or_declared_absent(t4_regs, chip) -> None:
    declared = absent(chip)
    wrong = [
        f"{name} {address:#x}: here {chip.r[name] if name in chip.r else chip.r.at(address)}"
        for name, address in t4_regs.registers.items()
        if name not in declared and not described(chip, name, address)
    ]
    assert wrong == []


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_registers_declared_absent_are_absent(t4_regs, chip) -> None:
    present = [
        name
        for name in absent(chip)
        if name not in t4_regs.registers or described(chip, name, t4_regs.registers[name])
    ]
    assert present == []


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_statistics_without_the_suffix_are_described_too(t4_regs, chip) -> None:
    both_names = {"MPS_PORT_STAT_LB_PORT_DROP_FRAMES": "MPS_PORT_STAT_LB_PORT_DROP_FRAMES_L"}
    wrong = [
        name
        for name, address in t4_regs.numbers.items()
        if BARE.fullmatch(name)
        and int(chip.r[both_names.get(name, name)]) not in (address, address + PORT_BASE)
    ]
    assert wrong == []


def matches(register: Register, name: str, shift: int, width: int | None) -> bool:
    return any(
        field.name.lower() == name.lower() and field.shift == shift and width in (None, field.width)
        for field in register.fields
    )


def test_every_field_of_t4_regs_is_described_or_declared(t4_regs) -> None:
    declared = linux_fields()
    ours = {chip: list(chip.r) for chip in CHIPS}
    wrong = []
    for macro in t4_regs.fields.values():
        generation, _, plain = macro.name.partition("_")
        scoped = {"T5": (T5,), "T6": (T6,)}.get(generation)
        found = any(
            matches(register, plain if scoped else macro.name, macro.shift, macro.width)
            for chip in scoped or CHIPS
            for register in ours[chip]
        )
        if not found and macro.name not in declared:
            wrong.append(f"{macro.name} [{macro.shift}+{macro.width}]")
    assert wrong == []


def is_at(field: Field, macro: Macro) -> bool:
    return field.shift == macro.shift and macro.width in (None, field.width)


def by_field(chip: Chip, registers: Iterable[str]) -> dict[tuple[str, str], list[Field]]:
    """Returns the fields of these registers by register and name, in capitals."""
    found: dict[tuple[str, str], list[Field]] = {}
    for name in registers:
        for field in chip.r[name].fields if name in chip.r else ():
            found.setdefault((name, field.name.upper()), []).append(field)
    return found


def macros_of(t4_regs: Header, chip: Chip) -> Iterator[tuple[Macro, str, str]]:
    """Yields the macros for a chip, with our name of the field and the register if it is told.

    One with T6 in its name is a T6's alone, and then the plain one is not.
    """
    declared, others = linux_fields(), {repr(each) for each in CHIPS} - {repr(chip)}
    for macro in t4_regs.fields.values():
        generation, _, rest = macro.name.partition("_")
        if generation not in others and f"{chip}_{macro.name}" not in t4_regs.fields:
            row = declared.get(macro.name, {})
            plain = rest if generation == repr(chip) else macro.name
            yield macro, (row.get("field") or plain).upper(), row.get("register", "")


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_a_field_that_linux_and_a_chip_have_is_at_the_same_bits_or_declared(t4_regs, chip) -> None:
    """A macro belongs to the registers in which either chip has the field at Linux's bits."""
    fields = {each: by_field(each, t4_regs.registers) for each in CHIPS}
    named: dict[str, set[str]] = {}
    for register, name in chain(*fields.values()):
        named.setdefault(name, set()).add(register)
    moved, compared = set(), 0
    for macro, name, only in macros_of(t4_regs, chip):
        for register in named.get(name, set()) & ({only} if only else named.get(name, set())):
            here = fields[chip].get((register, name), [])
            anywhere = chain(*(fields[each].get((register, name), []) for each in CHIPS))
            if here and any(is_at(field, macro) for field in anywhere):
                compared += 1
                if not any(is_at(field, macro) for field in here):
                    moved.add((register, macro.name))
    assert compared > 500
    assert moved == elsewhere(chip)


def test_declared_fields_are_where_linux_has_them(t4_regs) -> None:
    wrong = []
    for name, row in linux_fields().items():
        macro = t4_regs.fields[name]
        if row["register"] and name != "BOOTADDR":
            registers = [chip.r[row["register"]] for chip in CHIPS if row["register"] in chip.r]
            if not any(
                matches(register, row["field"], macro.shift, macro.width) for register in registers
            ):
                wrong.append(name)
    assert wrong == []


UNKNOWN_BITS = {
    ("CIM_HOST_INT_CAUSE", "MBUPPARERR"),
    ("PL_PL_INT_CAUSE", "PERRVFID"),
    ("PM_RX_INT_CAUSE", "PMRX_FRAMING_ERROR"),
    ("PM_TX_INT_CAUSE", "PMTX_FRAMING_ERROR"),
}
"""Bits that Linux's interrupt handlers check, and that Chelsio's database of T5 and T6 does not
have in these registers; the last two are masks of several bits."""
OTHER_BITS = {T6: {("SGE_INT_CAUSE3", "DBFIFO_LP_INT"), ("SGE_INT_CAUSE3", "DBFIFO_HP_INT")}}
"""Bits that mean something else on a T6."""


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_the_causes_that_the_interrupt_handlers_know_are_described(driver, t4_regs, chip) -> None:
    code = text(driver / "t4_hw.c")
    tables = dict(re.findall(r"struct intr_info (\w+)\[\] = \{(.*?)\n\t\};", code, re.DOTALL))
    calls = re.findall(r"t4_handle_intr_status\(\s*\w+,\s*(\w+)_A,([^;]*?)\)\s*[;+]", code)
    known = {
        (name, bit)
        for name, chosen in calls
        for table in for_chip(chip, re.findall(r"\w+_info\b", chosen))
        for bit in re.findall(r"\b(\w+)_[FV]\b", tables[table])
        if name in chip.r
    }
    missing = {(name, bit) for name, bit in known if not has_bit(chip.r[name], t4_regs, bit)}
    assert len(known) > 100
    assert missing == UNKNOWN_BITS | OTHER_BITS.get(chip, set())


def for_chip(chip: Chip, tables: list[str]) -> list[str]:
    """Returns the chip's own table if there is a choice."""
    own = [table for table in tables if (table[:3] == "t6_") == (chip is T6)]
    return own if len(tables) > 1 else tables


def has_bit(register: Register, t4_regs: Header, bit: str) -> bool:
    """Returns whether the register has a field of Linux's or Chelsio's name where Linux has it."""
    try:
        return register.field(bit.removeprefix("T6_")).shift == t4_regs.fields[bit].shift
    except LookupError:
        return False


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_the_dump_reads_the_ranges_of_the_driver(driver, chip) -> None:
    listed = numbers(driver / "t4_hw.c", f"{chip.name}_reg_ranges")
    ours = [
        edge for start, words in chip.ranges("reg_dump") for edge in (start, start + 4 * words - 4)
    ]
    assert ours == listed


GROUPS = {
    "tp_pio": "{chip}_tp_pio_array",
    "tp_tm_pio": "{chip}_tp_tm_pio_array",
    "tp_mib": "{chip}_tp_mib_index_array",
    "sge_debug": "t5_sge_dbg_index_array",
    "pcie_pdbg": "t5_pcie_pdbg_array",
    "pcie_cdbg": "t5_pcie_cdbg_array",
    "pm_rx": "t5_pm_rx_array",
    "pm_tx": "t5_pm_tx_array",
    "up_cim": "{chip}_up_cim_reg_array",
    "ma": "t6_ma_ireg_array",
    "hma": "t6_hma_ireg_array",
}


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
@pytest.mark.parametrize("group", GROUPS)
def test_indirect_ranges_are_those_of_cudbg_lib(driver, chip, group) -> None:
    if chip is T5 and group in ("ma", "hma"):
        assert chip.indirect(group) == ()
        return
    table = rows(driver / "cudbg_lib.c", GROUPS[group].format(chip=chip.name))
    if group == "ma":
        table += rows(driver / "cudbg_lib.c", "t6_ma_ireg_array2")
    ours = [
        (
            int(chip.r[each.address_register]),
            int(chip.r[each.data_register]),
            each.first,
            each.words,
        )
        for each in chip.indirect(group)
    ]
    assert ours == [row[:4] for row in table]


def test_steps_of_indirect_ranges_are_those_of_the_loops(driver, t4_regs) -> None:
    code = text(driver / "cudbg_lib.c")
    cases = re.findall(r"case (NUM_\w+):[^:]*?local_offset = (0x\w+)", code)
    loops = {t4_regs.numbers[name]: int(step, 16) for name, step in cases} | {0: 4}
    table = rows(driver / "cudbg_lib.c", "t6_up_cim_reg_array")
    assert {each.first: each.step for each in T6.indirect("up_cim")} == {
        row[2]: loops[row[4]] for row in table
    }
    ma_step = re.search(r"ma_fli->ireg_local_offset \+= (0x\w+)", code)
    second = {row[2] for row in rows(driver / "cudbg_lib.c", "t6_ma_ireg_array2")}
    assert ma_step
    assert {each.step for each in T6.indirect("ma") if each.first in second} == {
        int(ma_step[1], 16)
    }


def test_configuration_space_is_read_at_the_offsets_of_cudbg_lib(driver) -> None:
    listed = rows(driver / "cudbg_lib.c", "t5_pcie_config_array")
    ours = [(start, start + 4 * words - 4) for start, words in T6.ranges("pcie_config")]
    assert ours == listed
