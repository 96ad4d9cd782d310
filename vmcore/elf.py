"""The layouts of an ELF core file and of the device-dump note, for both classes and byte orders.

Sources: gABI chapters 4 and 5 (ELF header, program header, section header 0 for PN_XNUM, notes);
include/uapi/linux/elf.h and include/uapi/linux/vmcore.h of Linux 6.1 for NT_VMCOREDD and
`struct vmcoredd_header`.
"""

from __future__ import annotations

import ctypes
from ctypes import BigEndianStructure, LittleEndianStructure, c_char, c_uint16, c_uint32, c_uint64
from dataclasses import dataclass
from typing import Any, Literal

from vmcoredd.vmcore.errors import VmcoreFormatError

ByteOrder = Literal["little", "big"]
Structure = LittleEndianStructure | BigEndianStructure

PAGE_SIZE = 4096  # the crash kernel's; every layout below is x86_64's
MAGIC = b"\x7fELF"
ELFCLASS32, ELFCLASS64 = 1, 2
ELFDATA2LSB, ELFDATA2MSB = 1, 2
EV_CURRENT = 1
ET_CORE = 4
EM_X86_64 = 62
PT_NULL, PT_LOAD, PT_NOTE = 0, 1, 4
PN_XNUM = 0xFFFF  # e_phnum is too small for the count, which is sh_info of section 0
SHT_NULL, SHT_NOTE, SHT_NOBITS = 0, 7, 8
PF_X, PF_W, PF_R = 1, 2, 4

NT_VMCOREDD = 0x700
VMCOREDD_NOTE_NAME = b"LINUX"
VMCOREDD_MAX_NAME_BYTES = 44

Fields = list[tuple[str, Any]]


def _header(word: Any) -> Fields:
    return [
        ("e_ident", c_char * 16),
        ("e_type", c_uint16),
        ("e_machine", c_uint16),
        ("e_version", c_uint32),
        ("e_entry", word),
        ("e_phoff", word),
        ("e_shoff", word),
        ("e_flags", c_uint32),
        ("e_ehsize", c_uint16),
        ("e_phentsize", c_uint16),
        ("e_phnum", c_uint16),
        ("e_shentsize", c_uint16),
        ("e_shnum", c_uint16),
        ("e_shstrndx", c_uint16),
    ]


_PHDR64: Fields = [
    ("p_type", c_uint32),
    ("p_flags", c_uint32),
    ("p_offset", c_uint64),
    ("p_vaddr", c_uint64),
    ("p_paddr", c_uint64),
    ("p_filesz", c_uint64),
    ("p_memsz", c_uint64),
    ("p_align", c_uint64),
]
_PHDR32: Fields = [
    ("p_type", c_uint32),
    ("p_offset", c_uint32),
    ("p_vaddr", c_uint32),
    ("p_paddr", c_uint32),
    ("p_filesz", c_uint32),
    ("p_memsz", c_uint32),
    ("p_flags", c_uint32),
    ("p_align", c_uint32),
]


def _section(word: Any) -> Fields:
    return [
        ("sh_name", c_uint32),
        ("sh_type", c_uint32),
        ("sh_flags", word),
        ("sh_addr", word),
        ("sh_offset", word),
        ("sh_size", word),
        ("sh_link", c_uint32),
        ("sh_info", c_uint32),
        ("sh_addralign", word),
        ("sh_entsize", word),
    ]


_NHDR: Fields = [("n_namesz", c_uint32), ("n_descsz", c_uint32), ("n_type", c_uint32)]
_VMCOREDD: Fields = [
    *_NHDR,
    ("name", c_char * 8),
    ("dump_name", c_char * VMCOREDD_MAX_NAME_BYTES),
]


def in_both_orders(name: str, fields: Fields) -> dict[ByteOrder, type[Structure]]:
    """Returns the structure `name` with these fields, naturally aligned, in both byte orders."""
    return {
        "little": type(name, (LittleEndianStructure,), {"_fields_": fields}),
        "big": type(f"{name}BE", (BigEndianStructure,), {"_fields_": fields}),
    }


EHDR64 = in_both_orders("Ehdr64", _header(c_uint64))  # 64 bytes
EHDR32 = in_both_orders("Ehdr32", _header(c_uint32))  # 52
PHDR64 = in_both_orders("Phdr64", _PHDR64)  # 56
PHDR32 = in_both_orders("Phdr32", _PHDR32)  # 32
SHDR64 = in_both_orders("Shdr64", _section(c_uint64))  # 64
SHDR32 = in_both_orders("Shdr32", _section(c_uint32))  # 40
NHDR = in_both_orders("Nhdr", _NHDR)  # 12, of either class
VMCOREDD_HEADER = in_both_orders("VmcoreddHeader", _VMCOREDD)  # 64: a note's header and dump name


@dataclass(frozen=True)
class Layout:
    """The structures of one ELF class and byte order."""

    bits: Literal[32, 64]
    order: ByteOrder
    ehdr: type[Structure]
    phdr: type[Structure]
    shdr: type[Structure]
    nhdr: type[Structure]
    dump_header: type[Structure]

    @property
    def ident(self) -> bytes:
        """The e_ident: 16 bytes, of which the kernel sets the first seven."""
        elf_class = ELFCLASS64 if self.bits == 64 else ELFCLASS32
        data = ELFDATA2LSB if self.order == "little" else ELFDATA2MSB
        return MAGIC + bytes([elf_class, data, EV_CURRENT]) + bytes(9)


def _layout(bits: Literal[32, 64], order: ByteOrder) -> Layout:
    ehdr, phdr, shdr = (EHDR64, PHDR64, SHDR64) if bits == 64 else (EHDR32, PHDR32, SHDR32)
    return Layout(
        bits, order, ehdr[order], phdr[order], shdr[order], NHDR[order], VMCOREDD_HEADER[order]
    )


ELF64 = _layout(64, "little")
ELF32 = _layout(32, "little")
ELF64_BE = _layout(64, "big")
ELF32_BE = _layout(32, "big")

_LAYOUTS = {
    (ELFCLASS64, ELFDATA2LSB): ELF64,
    (ELFCLASS32, ELFDATA2LSB): ELF32,
    (ELFCLASS64, ELFDATA2MSB): ELF64_BE,
    (ELFCLASS32, ELFDATA2MSB): ELF32_BE,
}

DUMP_HEADER_SIZE = ctypes.sizeof(ELF64.dump_header)  # 64: a dump's payload begins here


def layout_of(ident: bytes) -> Layout:
    """Returns the layout for the first six bytes of e_ident, or raises `VmcoreFormatError`."""
    layout = _LAYOUTS.get((ident[4], ident[5]))
    if layout is None:
        have = f"class {ident[4]}, data {ident[5]}"
        raise VmcoreFormatError("ELF header", "class 1 or 2, data 1 or 2", have)
    return layout


def round_up(value: int, step: int) -> int:
    """Returns the smallest multiple of `step` not below `value`."""
    return -(-value // step) * step


def round_down(value: int, step: int) -> int:
    """Returns the largest multiple of `step` not above `value`."""
    return value // step * step
