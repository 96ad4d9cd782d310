"""QEMU writes dumps of machines of 32 and 64 bits and both byte orders; our reader reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vmcoredd import debs, vmcore
from vmcoredd.qemu.program import SUITES

pytestmark = pytest.mark.interop

ARM = [("CORE", 1, 148), ("LINUX", 0x400, 260)]
PPC = [
    ("CORE", 1, 328),
    ("CORE", 2, 260),
    ("CORE", 0x100, 544),
    ("CORE", 0x102, 256),
    ("CORE", 0x101, 140),
]
X86 = [("CORE", 1, 144), ("QEMU", 0, 440)]
SECONDS = 120


@pytest.fixture(scope="module")
def emulator(progress):
    """Returns the command of a QEMU for a processor, which runs with the libraries of another."""

    def fetch(package: str, dependencies: bool) -> Path:
        name = package if package != "qemu-system-x86" else "qemu"
        return debs.binaries(
            [package], suites=SUITES, name=name, dependencies=dependencies, progress=progress
        )

    def command(processor: str) -> list[str]:
        base = fetch("qemu-system-x86", True)
        start = debs.command(base, "usr/bin/qemu-system-x86_64")[:-3]
        package = "qemu-system-x86" if processor == "i386" else f"qemu-system-{processor}"
        root = base if processor == "i386" else fetch(package, False)
        program = debs.inside(root, f"usr/bin/qemu-system-{processor}")
        data = [base / "usr/share" / name for name in ("qemu", "seabios")]
        return [
            *start,
            "--argv0",
            str(program),
            str(program),
            *(w for d in data for w in ("-L", str(d))),
        ]

    return command


@pytest.mark.parametrize(
    ("processor", "machine", "mib", "notes"),
    [
        ("arm", "virt", 128, ARM),
        ("arm", "virt", 1024, ARM),
        ("ppc", "g3beige", 128, PPC),
        ("ppc", "g3beige", 1024, PPC),
        ("i386", "pc", 64, X86),
    ],
)
def test_the_notes_of_a_compressed_dump_are_those_of_the_elf_dump(
    emulator, tmp_path, processor, machine, mib, notes
):
    """The packages for arm and ppc are 18 MiB together, without what QEMU for x86 has too."""
    files = {"kdump": ("-z -R", tmp_path / "kdump"), "elf": ("", tmp_path / "elf")}
    script = "".join(f"dump-guest-memory {how} {path}\n" for how, path in files.values())
    options = ["-M", machine, "-m", str(mib), "-S", "-nodefaults", "-display", "none"]
    done = subprocess.run(
        [*emulator(processor), *options, "-monitor", "stdio"],
        input=script + "quit\n",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    with (
        vmcore.Reader(files["kdump"][1]) as kdump,
        vmcore.Reader(files["elf"][1]) as elf,
    ):
        assert (kdump.format, elf.format) == ("kdump", "elf")
        for reader in (kdump, elf):
            assert [(n.owner, n.type, n.size) for n in reader.notes] == notes
            assert reader.damage == ()
        for note in kdump.notes:
            assert kdump.payload(note.index) == elf.payload(note.index)
    files["elf"][1].unlink()
    cut = files["kdump"][1]
    cut.chmod(0o600)
    with cut.open("r+b") as file:
        file.truncate(cut.stat().st_size - 1)
    with vmcore.Reader(cut) as reader:
        assert [error.what for error in reader.damage] == ["file with its pages"]
