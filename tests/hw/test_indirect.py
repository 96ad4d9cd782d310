"""What is behind registers: flash, indirect registers, and the memory window."""

from __future__ import annotations

import errno

import pytest
from ramspace import RamSpace

from vmcoredd.chip import T5, T6
from vmcoredd.chip.flash import POLLS
from vmcoredd.chip.memory import MEMWIN0, NO_WINDOW, MemoryId
from vmcoredd.hw.device import Device
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.flash import Flash
from vmcoredd.hw.indirect import cim_read, indexed_read, run_rows
from vmcoredd.hw.io import Cell, Check
from vmcoredd.hw.window import Window

# Flash


def test_a_flash_is_unlocked_even_if_it_hangs() -> None:
    r, io = T6.r, RamSpace()
    io.on_write[r.SF_OP] = lambda op: io.words.update({int(r.SF_OP): r.SF_OP.mask("Busy")})
    with pytest.raises(DeviceError) as caught:
        Flash(io, T6).identify()
    assert caught.value.code == -errno.EAGAIN
    assert io.log[-1] == ("w", int(r.SF_OP), 0)
    assert sum(kind == "r" for kind, _, _ in io.log) == 1 + POLLS


@pytest.mark.parametrize("address", [2, 0x1000, 0xFFE])
def test_a_flash_address_beyond_the_end_or_between_words_is_refused(address: int) -> None:
    with pytest.raises(DeviceError, match=f"flash address {address:#x}: -EINVAL"):
        Flash(RamSpace(), T6).read_word(address, 0x1000)


# Indirect registers


def test_indirect_registers_are_read_group_by_group() -> None:
    io = RamSpace()
    io.on_write[0x40] = lambda index: io.words.update({0x44: index + 100})
    out = memoryview(bytearray(12))
    indexed_read(io, 0x40, 0x44, [(1, 2), (9, 1)], out)
    assert out.cast("I").tolist() == [101, 102, 109]


def test_a_busy_cim_is_refused_after_one_read() -> None:
    ctrl = T5.r.CIM_HOST_ACC_CTRL
    io = RamSpace({int(ctrl): ctrl.mask("HostBusy")})
    with pytest.raises(DeviceError, match="-EBUSY"):
        cim_read(io, T5, [(0x100, 2)], memoryview(bytearray(8)))
    assert len(io.log) == 1


def test_rows_run_until_one_fails() -> None:
    io = RamSpace({4: 1, 8: 0, 12: 1})
    ops = [Check(Cell(), 1, 1, -errno.EIO, keep=True)]
    assert run_rows(io, ops, [4, 12, 8, 4], memoryview(bytearray(16))) == 2
    assert run_rows(io, ops, [4, 12], memoryview(bytearray(8))) == 2


# Memory window


def window(chip, base: int | None = None) -> tuple[RamSpace, Window]:
    r = chip.r
    shown = r.PCIE_MEM_ACCESS_BASE_WIN.reset if base is None else base
    io = RamSpace({int(r.PCIE_MEM_ACCESS_BASE_WIN): shown, int(r.MA_EDRAM0_BAR): 2})
    return io, Window(io, chip, Device(chip, 0))


@pytest.mark.parametrize("chip", [T5, T6], ids=repr)
def test_a_memory_is_shown_where_the_window_register_says(chip) -> None:
    _, memory_window = window(chip)
    view = memory_window.view(MemoryId.MC0)
    assert (view.start, view.base, view.aperture) == (4 << 20, MEMWIN0.base, MEMWIN0.aperture)


@pytest.mark.parametrize("base", [NO_WINDOW, 0x80000 | 1])
def test_a_window_outside_bar0_is_refused(base: int) -> None:
    with pytest.raises(DeviceError, match=r"memory window 0 is .*: -ENXIO"):
        window(T6, base)[1].view(MemoryId.EDC0)


def test_a_window_register_that_changes_between_chunks_is_refused() -> None:
    io, memory_window = window(T6)
    view = memory_window.view(MemoryId.EDC0)
    io.words[int(T6.r.MA_EDRAM0_BAR)] = 3
    with pytest.raises(DeviceError, match="-ENXIO"):
        memory_window.read_chunks(view, [(0, 64)], memoryview(bytearray(64)), 4, known=True)
