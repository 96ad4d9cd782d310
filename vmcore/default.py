"""The crash context that stands in where no base vmcore is given."""

from __future__ import annotations

import struct
from ctypes import LittleEndianStructure, c_int16, c_int32, c_int64, c_uint32, c_uint64

from vmcore.core import ElfCore, Load
from vmcore.elf import ELF64, PF_R, PF_W, PF_X, round_up
from vmcore.memory import MemoryFile
from vmcore.vmcoreinfo import RELEASE, SYMBOLS, TEXT, vmcoreinfo

PROCESSORS = 8
NT_PRSTATUS = 1
DIRECT_MAP = 0xFFFF888000000000  # __PAGE_OFFSET_BASE_L4
KERNEL_MAP = 0xFFFFFFFF80000000  # __START_KERNEL_map
LOW_MEMORY = (0x1000, 0x9F000)  # what a PC's firmware leaves below 640 KiB
KERNEL_SIZE = 2 << 20

_REGISTERS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
    "fs_base gs_base ds es fs gs"
).split()
_PRESENT_WRITABLE = 0x63  # _KERNPG_TABLE: present, writable, accessed, dirty
_LARGE_PAGE = 0xE3  # the same with PSE: a leaf of 2 MiB


class Prstatus(LittleEndianStructure):
    """`struct elf_prstatus` of x86_64, 336 (0x150) bytes; include/linux/elfcore.h."""

    _fields_ = [  # noqa: RUF012 - what ctypes wants
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
    """A made-up crashed machine: x86_64, eight processors, Linux 4.17 without KASLR.

    Its notes are those that the patch series "kernel: add support to collect hardware logs in crash
    recovery kernel" (v8, 2018) shows: eight CORE NT_PRSTATUS of 0x150 bytes and a VMCOREINFO of
    0x785, 0x12c0 bytes in all. Memory is 632 KiB of zeros below 640 KiB and the kernel's 2 MiB at
    16 MiB, of which only what readers ask first is there: the utsname, the page tables of the
    kernel's mapping, the node map and one section of the memory map. GNU readelf and pyelftools read
    it, and makedumpfile copies it (-d 0, -d 1). crash cannot open it: there is no vmlinux of this
    kernel, and none of its tasks.
    """
    notes = _merged_notes()
    kernel = _kernel()
    low = LOW_MEMORY[1] - LOW_MEMORY[0]
    return ElfCore(
        ELF64,
        [(notes, 0, notes.size)],
        [
            _load(TEXT - KERNEL_MAP, TEXT, kernel.size, kernel),
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
    """One ELF note; owner with its NUL, both parts padded to four bytes."""
    name = owner + b"\0"
    header = struct.pack("<III", len(name), len(desc), number)
    return (
        header
        + name.ljust(round_up(len(name), 4), b"\0")
        + desc.ljust(-(-len(desc) // 4) * 4, b"\0")
    )


def _prstatus(cpu: int) -> Prstatus:
    """A processor that idled: halted in kernel text, interrupts on, no system call under way."""
    status = Prstatus(pr_pid=0, rip=TEXT + 0x10000, eflags=0x246, cs=0x10, ss=0x18)
    status.rsp = DIRECT_MAP + (cpu + 1) * 0x4000
    status.orig_rax = -1
    return status


def _kernel() -> MemoryFile:
    """The kernel's memory from TEXT on: untouched but for what `default_core` names."""
    memory = MemoryFile("kernel", KERNEL_SIZE)

    def poke(address: int, data: bytes) -> None:
        memory.view[address - TEXT : address - TEXT + len(data)] = data

    names = (b"Linux", b"vmcoredd", RELEASE.encode(), b"#1 SMP", b"x86_64", b"(none)")
    poke(SYMBOLS["init_uts_ns"] + 4, b"".join(name.ljust(65, b"\0") for name in names))
    poke(SYMBOLS["node_online_map"], struct.pack("<Q", 1))
    for address, word in (*_page_tables(), *_memory_map()):
        poke(address, struct.pack("<Q", word))
    return memory


def _page_tables() -> list[tuple[int, int]]:
    """(address, entry): top, level 3 and level 2 tables, which map the kernel's one large page."""
    top = SYMBOLS["init_top_pgt"]
    level3, level2 = top + 0x1000, top + 0x2000
    return [
        (top + 511 * 8, level3 - KERNEL_MAP | _PRESENT_WRITABLE),
        (level3 + 510 * 8, level2 - KERNEL_MAP | _PRESENT_WRITABLE),
        (level2 + (TEXT - KERNEL_MAP) // KERNEL_SIZE * 8, TEXT - KERNEL_MAP | _LARGE_PAGE),
    ]


def _memory_map() -> list[tuple[int, int]]:
    """(address, word): mem_section, its root table, and the first root, whose sections are absent."""
    roots = SYMBOLS["init_top_pgt"] + 0x4000
    first = roots + 0x4000
    direct = DIRECT_MAP - KERNEL_MAP
    return [(SYMBOLS["mem_section"], roots + direct), (roots, first + direct)]
