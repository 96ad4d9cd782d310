"""Layouts and constants."""

from __future__ import annotations

import ctypes

import pytest

from vmcoredd.vmcore import elf
from vmcoredd.vmcore.errors import VmcoreFormatError


@pytest.mark.parametrize(
    ("layout", "sizes"),
    [
        (elf.ELF64, (64, 56, 64, 12, 64)),
        (elf.ELF64_BE, (64, 56, 64, 12, 64)),
        (elf.ELF32, (52, 32, 40, 12, 64)),
        (elf.ELF32_BE, (52, 32, 40, 12, 64)),
    ],
)
def test_every_structure_has_the_size_of_the_abi(layout, sizes):
    structures = (layout.ehdr, layout.phdr, layout.shdr, layout.nhdr, layout.dump_header)
    assert tuple(map(ctypes.sizeof, structures)) == sizes


def test_a_device_dumps_payload_begins_at_byte_64_of_its_note():
    header = elf.ELF64.dump_header
    assert (header.name.offset, header.dump_name.offset, elf.DUMP_HEADER_SIZE) == (12, 20, 64)


def test_ident_maps_back_to_its_layout():
    for layout in (elf.ELF64, elf.ELF32, elf.ELF64_BE, elf.ELF32_BE):
        assert elf.layout_of(layout.ident) is layout


@pytest.mark.parametrize("ident", [b"\x7fELF\0\1", b"\x7fELF\3\1", b"\x7fELF\2\0", b"\x7fELF\2\3"])
def test_an_unknown_class_or_byte_order_is_refused(ident):
    with pytest.raises(VmcoreFormatError, match="need class 1 or 2, data 1 or 2, have class"):
        elf.layout_of(ident)


def test_rounding_keeps_multiples():
    assert [elf.round_up(n, 4) for n in (0, 1, 4, 5)] == [0, 4, 4, 8]
    assert [elf.round_down(n, 4) for n in (0, 3, 4, 7)] == [0, 0, 4, 4]
