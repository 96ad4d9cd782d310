"""The bits that Linux's interrupt handlers take for fatal, read from t4_hw.c."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from kernel_headers import DRIVER, Header, header, text

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd.chip import T6, Chip

_ALL = 0xFFFFFFFF
_TABLE = re.compile(r"struct intr_info (\w+)\[\] = \{(.*?)\n\t\};", re.DOTALL)
_ROW = re.compile(r"\{\s*([^{}\",]+),\s*(?:\"[^{}]*\"|NULL)\s*,\s*-?\w+\s*,\s*(\d+)", re.DOTALL)
_CALL = re.compile(r"t4_handle_intr_status\(\s*\w+,\s*(\w+)_A,([^;]*?)\)\s*[;+]")
_ALIAS = re.compile(r"#define\s+(CIM_\w+_INTR)\s+\(([^)]*)\)")
_NOT_OURS = {"pcie_intr_info", "t4t5_sge_intr_info"}
"""Tables of a T4, or whose rows are not fatal."""
_BY_CODE = {
    "SGE_INT_CAUSE1": "0xffffffff",
    "SGE_INT_CAUSE2": "0xffffffff",
    "SGE_INT_CAUSE5": "~ERR_T_RXCRC_F",
    "MA_INT_CAUSE": "0xffffffff",
    "EDC_H_INT_CAUSE": "PERR_INT_CAUSE_F | ECC_UE_INT_CAUSE_F",
    "MC_P_INT_CAUSE": "PERR_INT_CAUSE_F | ECC_UE_INT_CAUSE_F",
    "MAC_PORT_INT_CAUSE": "TXFIFO_PRTY_ERR_F | RXFIFO_PRTY_ERR_F",
}
"""Those that are in no table: of sge_intr_handler(), ma_intr_handler(), mem_intr_handler() (which
reads another offset for an EDC) and xgmac_intr_handler()."""
TIMER0 = {"CIM_HOST_INT_CAUSE": "TIMER0INT_F"}
"""Fatal only beside a crash of the firmware's (cim_intr_handler())."""


@cache
def fatal_bits(chip: Chip) -> dict[str, int]:
    """Returns the bits by the name of the cause register."""
    driver = kernel_source() / DRIVER
    code, regs = text(driver / "t4_hw.c"), header(driver / "t4_regs.h")
    aliases = {name: value(mask, regs, {}) for name, mask in _ALIAS.findall(code)}
    rows = [*_BY_CODE.items(), *_rows(code, chip)]
    found: dict[str, int] = {}
    for name, mask in rows:
        if name in chip.r:
            found[name] = found.get(name, 0) | value(mask, regs, aliases)
    for name, mask in TIMER0.items():
        found[name] &= ~value(mask, regs, {})
    return found


def _rows(code: str, chip: Chip) -> Iterator[tuple[str, str]]:
    """Yields the register and the mask of each fatal row of the chip's tables."""
    tables = dict(_TABLE.findall(code))
    for name, arguments in _CALL.findall(code):
        named = [table for table in re.findall(r"\w+_info\b", arguments) if table not in _NOT_OURS]
        own = [table for table in named if table.startswith("t6_") == (chip is T6)]
        for table in own if len(named) > 1 else named:
            yield from ((name, mask) for mask, fatal in _ROW.findall(tables[table]) if fatal != "0")


def value(mask: str, regs: Header, aliases: dict[str, int]) -> int:
    """Returns a mask in C: `A_F | B_V(B_M)`, `0x3fffffff`, `~C_F`, or an alias of such."""
    bits = 0
    for term in mask.split("|"):
        one = _term(term.strip(" \t\n~"), regs, aliases)
        bits |= _ALL & ~one if "~" in term else one
    return bits


def _term(term: str, regs: Header, aliases: dict[str, int]) -> int:
    name, _, given = term.partition("(")
    if term[:1].isdigit():
        return int(term, 0)
    known = {**aliases, **regs.numbers}.get(name)
    if known is not None:
        return known
    field = regs.fields[name[:-2]]
    return ((1 << (field.width or 1) if given else 2) - 1) << field.shift
