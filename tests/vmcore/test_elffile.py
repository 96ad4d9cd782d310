"""ELF headers and program headers, at any offset and in any number."""

from __future__ import annotations

import struct

import pytest
from vmcore_files import Elf, Load, prstatus

from vmcoredd.vmcore.elffile import ElfHeaders, read_some
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.extents import MemoryFile


def headers(data):
    file = MemoryFile("elf", len(data))
    file.view[:] = data
    found = ElfHeaders(file.fileno())
    found.file = file  # keeps it open
    return found


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("phoff", [None, 192])
@pytest.mark.parametrize("xnum", [False, True])
def test_program_headers_are_found(bits, order, phoff, xnum):
    loads = [Load(paddr=0x1000, data=b"x" * 100, vaddr=0x5000)]
    made = Elf([prstatus(order)], loads, bits, order, phoff=phoff, xnum=xnum)
    found = headers(bytes(made))
    assert found.count == 2
    note, load = found
    assert (note.p_type, note.p_filesz) == (4, 356)
    assert (load.p_type, load.p_paddr, load.p_vaddr, load.p_memsz) == (1, 0x1000, 0x5000, 100)


def test_more_than_one_slice_of_program_headers_is_read():
    found = headers(bytes(Elf(loads=[Load(n << 12, b"") for n in range(3000)])))
    assert [phdr.p_paddr >> 12 for phdr in found] == list(range(3000))


def test_more_program_headers_than_e_phnum_holds_are_read():
    found = headers(bytes(Elf(loads=[Load(n, b"") for n in range(70_000)], xnum=True, align=1)))
    assert sum(1 for _ in found) == 70_000


def test_a_count_in_a_missing_section_is_refused():
    made = bytearray(bytes(Elf([prstatus()])))
    struct.pack_into("<H", made, 56, 0xFFFF)
    with pytest.raises(
        VmcoreFormatError, match="section 0, which counts the program headers, have none"
    ):
        headers(bytes(made))
    struct.pack_into("<Q", made, 40, 1 << 63)
    with pytest.raises(VmcoreFormatError, match="ELF section header 0: need 64 bytes, have 0"):
        headers(bytes(made))


def test_a_truncated_table_yields_its_headers_and_then_the_error():
    made = bytes(Elf(loads=[Load(n << 12, b"") for n in range(5)]))[: 64 + 2 * 56 + 10]
    seen = []
    with pytest.raises(VmcoreFormatError, match="ELF program headers: need 280 bytes, have 122"):
        seen += [phdr.p_paddr for phdr in headers(made)]
    found = iter(headers(made))
    assert [next(found).p_paddr, next(found).p_paddr] == [0, 0x1000]


def test_an_excessive_count_ends_at_the_end_of_the_file():
    made = bytearray(bytes(Elf(loads=[Load(0, b"")], xnum=True)))
    struct.pack_into("<I", made, 64 + 56 + 44, 0xFFFFFFFF)
    found = iter(headers(bytes(made)))
    with pytest.raises(VmcoreFormatError, match="ELF program headers: need 240518168520 bytes"):
        list(found)


@pytest.mark.parametrize(
    ("offset", "shape", "value", "words"),
    [
        (0, "B", 0x7E, "magic"),
        (4, "B", 3, "class 1 or 2"),
        (16, "<H", 2, "type 4 .core file., have type 2"),
        (54, "<H", 32, "ELF program header entry: need 56 bytes, have 32 bytes"),
    ],
)
def test_a_file_that_is_not_a_core_file_is_refused(offset, shape, value, words):
    made = bytearray(bytes(Elf([prstatus()])))
    struct.pack_into(shape, made, offset, value)
    with pytest.raises(VmcoreFormatError, match=words):
        headers(bytes(made))


@pytest.mark.parametrize("size", [1, 15, 16, 63])
def test_a_truncated_header_is_refused(size):
    with pytest.raises(VmcoreFormatError, match=f"ELF header: need (16|64) bytes, have {size}"):
        headers(bytes(Elf([prstatus()]))[:size])


def test_an_impossible_offset_reads_as_the_end_of_the_file():
    file = MemoryFile("m", 10)
    for offset in (1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        assert read_some(file.fileno(), offset, 100) == b""
