"""The default crash context."""

from __future__ import annotations

import ctypes
import struct

from vmcoredd import vmcore
from vmcoredd.vmcore.default import PROCESSORS, Prstatus, default_core
from vmcoredd.vmcore.image import Image
from vmcoredd.vmcore.vmcoreinfo import RELEASE, SYMBOLS, TEXT, vmcoreinfo


def contents(core):
    dumps = vmcore.DeviceDumps(core)
    return vmcore.ProcVmcore(dumps).open().read()


def test_the_default_notes_are_those_of_the_patch_series():
    """Eight CORE notes of 0x150 bytes and a VMCOREINFO of 0x785: 0x12c0 bytes."""
    core = default_core()
    assert core.notes_size == 0x12C0
    assert 8 * (12 + 8 + 0x150) + 12 + 12 + 0x788 == 0x12C0


def test_prstatus_has_the_layout_of_x86_64():
    assert ctypes.sizeof(Prstatus) == 0x150
    assert (Prstatus.r15.offset, Prstatus.rip.offset) == (112, 112 + 16 * 8)
    assert Prstatus.pr_fpvalid.offset == 328


def test_every_processor_was_in_kernel_text():
    data = contents(default_core())
    for cpu in range(PROCESSORS):
        at = 0x1000 + cpu * 0x164 + 20
        assert struct.unpack_from("<Q", data, at + Prstatus.rip.offset)[0] > TEXT


def test_vmcoreinfo_is_0x785_bytes_of_lines_with_values():
    text = vmcoreinfo()
    assert len(text) == 0x785
    assert text.endswith(b"\n")
    assert all(line.count(b"=") == 1 for line in text.splitlines())


def test_the_release_is_in_memory_at_the_address_in_vmcoreinfo():
    data = contents(default_core())
    utsname = list(Image(default_core()).extents)[-2].start + SYMBOLS["init_uts_ns"] - TEXT + 4
    assert data[utsname + 2 * 65 :].split(b"\0")[0] == RELEASE.encode()


def test_the_default_core_uses_a_few_pages_of_memory():
    import os

    core = default_core()
    kernel = core.loads[0].source
    assert kernel is not None
    assert os.stat(kernel.fileno()).st_blocks * 512 <= 16 * 4096
