"""The default crash context, for use without a base vmcore."""

from __future__ import annotations

import struct
from ctypes import LittleEndianStructure, c_int16, c_int32, c_int64, c_uint32, c_uint64

from vmcoredd.vmcore.core import ElfCore, Load
from vmcoredd.vmcore.elf import ELF64, PF_R, PF_W, PF_X, round_up
from vmcoredd.vmcore.extents import MemoryFile
from vmcoredd.vmcore.vmcoreinfo import DIRECT_MAP, KERNEL_MAP, RELEASE, SYMBOLS, TEXT, vmcoreinfo

PROCESSORS = 8
NT_PRSTATUS = 1
VMEMMAP = 0xFFFFEA0000000000  # __VMEMMAP_BASE_L4
LOW_MEMORY = (0x1000, 0x9F000)  # free below 640 KiB on a PC
LARGE_PAGE = 2 << 20
KERNEL = TEXT - KERNEL_MAP  # physical: the kernel in its large page, then one of page structures
PAGES = KERNEL + LARGE_PAGE

_REGISTERS = [
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base"),
    *("ds", "es", "fs", "gs"),
]
_TABLE = 0x63  # _KERNPG_TABLE: present, writable, accessed, dirty
_LEAF = 0xE3  # the same with PSE: a large page instead of a table
_SECTION_PRESENT, _SECTION_HAS_MAP = 1, 2


class Prstatus(LittleEndianStructure):
    """`struct elf_prstatus` of x86_64, 336 (0x150) bytes; include/linux/elfcore.h."""

    _fields_ = [
        ("si_signo", c_int32),
        ("si_code", c_int32),
        ("si_errno", c_int32),
        ("pr_cursig", c_int16),
        ("pr_sigpend", c_uint64),
        ("pr_sighold", c_uint64),
        ("pr_pid", c_int32),
        ("pr_ppid", c_int32),
        ("pr_pgrp", c_int32),
        ("pr_sid", c_int32),
        ("pr_times", c_int64 * 8),  # utime, stime, cutime, cstime: seconds and microseconds
        *((register, c_uint64) for register in _REGISTERS),
        ("pr_fpvalid", c_uint32),
    ]


def default_core() -> ElfCore:
    """Returns a fictitious crashed machine: x86_64, eight processors, Linux 4.17 without KASLR.

    Its notes are those that the patch series "kernel: add support to collect hardware logs in crash
    recovery kernel" (v8, 2018) shows: eight CORE NT_PRSTATUS of 0x150 bytes and a VMCOREINFO of
    0x785, 0x12c0 bytes in all. Memory is 632 KiB of zeros below 640 KiB and the kernel's 4 MiB at
    16 MiB. Those are zero except for a reader's first needs: the utsname, page tables, the node
    map and one section of the memory map. GNU readelf and pyelftools read it, and makedumpfile
    filters it. crash cannot open it, since there is no vmlinux for it, and it has no tasks.
    """
    notes = _merged_notes()
    kernel = _kernel()
    low = LOW_MEMORY[1] - LOW_MEMORY[0]
    return ElfCore(
        ELF64,
        [(notes, 0, notes.size)],
        [
            _load(KERNEL, TEXT, kernel.size, kernel),
            _load(LOW_MEMORY[0], DIRECT_MAP + LOW_MEMORY[0], low, None),
        ],
    )


def _load(paddr: int, vaddr: int, size: int, source: MemoryFile | None) -> Load:
    return Load(paddr, vaddr, size, size, source, flags=PF_R | PF_W | PF_X)


def _merged_notes() -> MemoryFile:
    statuses = [_note(b"CORE", NT_PRSTATUS, bytes(_prstatus(cpu))) for cpu in range(PROCESSORS)]
    data = b"".join([*statuses, _note(b"VMCOREINFO", 0, vmcoreinfo())])
    notes = MemoryFile("notes", len(data))
    notes.view[:] = data
    return notes


def _note(owner: bytes, number: int, desc: bytes) -> bytes:
    """Returns an ELF note: the owner with its NUL, both parts padded to four bytes."""
    name = owner + b"\0"
    header = struct.pack("<III", len(name), len(desc), number)
    return header + b"".join(part.ljust(round_up(len(part), 4), b"\0") for part in (name, desc))


def _prstatus(cpu: int) -> Prstatus:
    """Returns an idle processor: halted in kernel text, interrupts on, not in a system call."""
    status = Prstatus(pr_pid=0, rip=TEXT + 0x10000, eflags=0x246, cs=0x10, ss=0x18)
    status.rsp = DIRECT_MAP + (cpu + 1) * 0x4000
    status.orig_rax = -1
    return status


def _kernel() -> MemoryFile:
    """Returns the kernel's memory from TEXT on: zeros, except for the structures in it."""
    memory = MemoryFile("kernel", 2 * LARGE_PAGE)

    def poke(address: int, data: bytes) -> None:
        memory.view[address - TEXT : address - TEXT + len(data)] = data

    names = (b"Linux", b"vmcoredd", RELEASE.encode(), b"#1 SMP", b"x86_64", b"(none)")
    poke(SYMBOLS["init_uts_ns"] + 4, b"".join(name.ljust(65, b"\0") for name in names))
    poke(SYMBOLS["node_online_map"], struct.pack("<Q", 1))
    for address, word in (*_page_tables(), *_memory_map()):
        poke(address, struct.pack("<Q", word))
    return memory


def _page_tables() -> list[tuple[int, int]]:
    """Returns (address, entry) to map the direct map's first GiB, kernel and page structures."""
    top = SYMBOLS["init_top_pgt"]
    direct, level3, level2, map3, map2 = (top + page * 0x1000 for page in range(1, 6))
    return [
        (top + 273 * 8, direct - KERNEL_MAP | _TABLE),
        (top + 468 * 8, map3 - KERNEL_MAP | _TABLE),
        (top + 511 * 8, level3 - KERNEL_MAP | _TABLE),
        (direct, 0 | _LEAF),
        (map3, map2 - KERNEL_MAP | _TABLE),
        (map2, PAGES | _LEAF),
        (level3 + 510 * 8, level2 - KERNEL_MAP | _TABLE),
        (level2 + KERNEL // LARGE_PAGE * 8, KERNEL | _LEAF),
    ]


def _memory_map() -> list[tuple[int, int]]:
    """Returns (address, word) of the first root of sections, and of this memory's section."""
    roots = SYMBOLS["mem_section"] - DIRECT_MAP + KERNEL_MAP
    sections = roots + 0x4000
    return [
        (roots, sections - KERNEL_MAP + DIRECT_MAP),
        (sections, VMEMMAP | _SECTION_PRESENT | _SECTION_HAS_MAP),
    ]
