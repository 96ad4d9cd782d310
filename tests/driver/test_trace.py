"""The lines that `traced` prints for accesses."""

from __future__ import annotations

import struct

import pytest
from ramcard import RamCard

from vmcoredd.chip import T6
from vmcoredd.chip.pci import WHOAMI
from vmcoredd.driver.trace import traced
from vmcoredd.hw.errors import AdapterGone
from vmcoredd.hw.io import Poll, Read, Write


def card() -> RamCard:
    """A T6 of plain memory."""
    made = RamCard()
    made.config[:4] = struct.pack("<HH", 0x1425, 0x640D)
    return made


def test_trace_names_registers_and_nonzero_fields() -> None:
    lines: list[str] = []
    io = traced(card().io(), lines.append)
    io.write(T6.r.CIM_HOST_ACC_CTRL, 0x10140)
    assert io.read(T6.r.CIM_HOST_ACC_CTRL) == 0x10140
    assert lines == [
        "W 0x07b50 CIM_HOST_ACC_CTRL = 0x00010140 HostWrite=1 HostAddr=0x140",
        "R 0x07b50 CIM_HOST_ACC_CTRL = 0x00010140 HostWrite=1 HostAddr=0x140",
    ]


def test_trace_names_elements_of_arrays() -> None:
    lines: list[str] = []
    traced(card().io(), lines.append).read(T6.r.PCIE_FW_PF[7])
    assert lines[0].startswith("R 0x030d8 PCIE_FW_PF[7] = 0x00000000")


def test_trace_shows_no_name_for_an_undescribed_offset() -> None:
    lines: list[str] = []
    traced(card().io(), lines.append).read(0x10, 8)
    assert lines == ["R 0x00010 = 0x0000000000000000"]


def test_trace_shows_each_access_of_a_program_in_the_kernels_order() -> None:
    lines: list[str] = []
    io = traced(card().io(), lines.append)
    port = T6.r.TP_PIO_ADDR
    io.run([Write(port, 5), Poll(port, 5, 5, 2), Read(T6.r.TP_PIO_DATA)], rows=2)
    assert [line.split(" = ")[0] for line in lines] == [
        "W 0x07e40 TP_PIO_ADDR",
        "R 0x07e40 TP_PIO_ADDR",
        "R 0x07e44 TP_PIO_DATA",
    ] * 2
    assert (io.counts.r32, io.counts.w32) == (4, 2)


def test_trace_shows_configuration_space() -> None:
    lines: list[str] = []
    io = traced(card().io(), lines.append)
    io.config.write(0x10, 0xABC)
    io.config.read(0)
    assert lines == ["W config 0x010 = 0x00000abc", "R config 0x000 = 0x640d1425"]


def test_trace_neither_shows_nor_counts_the_check_of_an_adapter_that_may_be_gone() -> None:
    lines: list[str] = []
    ram = card()
    ram.put(T6.r.CIM_HOST_ACC_CTRL, 0xFFFFFFFF)
    io = traced(ram.io(), lines.append)
    poll = Poll(T6.r.CIM_HOST_ACC_CTRL, 1, 0, attempts=3, error=0)
    io.run([poll])
    assert (len(lines), io.counts.total) == (3, 3)
    assert ram.log.count(("r", WHOAMI, 4)) == 1
    ram.put(WHOAMI, 0xFFFFFFFF)
    with pytest.raises(AdapterGone):
        io.run([poll])
    assert (len(lines), io.counts.total) == (4, 4)
