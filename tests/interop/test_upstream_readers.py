"""Defects of programs that read vmcores: docs/upstream/readers.md tells them.

Each test has the right result of our own reader beside the wrong one of the program.
"""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import findings
import lief
import pytest
import readers
from elftools import __version__ as pyelftools_version
from elftools.elf.elffile import ELFFile
from findings import FORGED, NAME, PAYLOAD, stands
from vmcore_files import limited

from vmcoredd import vmcore

pytestmark = pytest.mark.interop

ABORTED = (-6, -11)
"""SIGABRT, of a check in glibc; SIGSEGV."""
NR_CPUS, LISTED = 8192, 64
"""crash's limits, on x86_64: notes of processors, device dumps."""


def ours(path: Path) -> list[tuple[str, int, int]]:
    """Owner, type and size of each note, as our reader sees them."""
    with vmcore.Reader(path) as reader:
        return [(note.owner, note.type, note.size) for note in reader.notes]


def run(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a program that may crash; it leaves no core file."""
    with limited(resource.RLIMIT_CORE, 0):
        return subprocess.run(
            [*command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )


def test_lief_cuts_a_long_note_and_takes_what_is_in_it_for_notes(tmp_path: Path) -> None:
    path = findings.write(tmp_path, "long-dump")
    size = findings.LIEF_LIMIT + len(FORGED) + len(PAYLOAD)
    (dump, *context) = ours(path)
    assert dump[:2] == ("LINUX", 0x700)
    assert dump[2] >= size
    assert [owner for owner, *_ in context] == ["CORE"]
    lief.logging.disable()
    found = lief.ELF.parse(path)
    assert isinstance(found, lief.ELF.Binary)
    notes = [
        (note.name.rstrip("\0"), note.original_type, len(note.description)) for note in found.notes
    ]
    with stands("lief-long-note", f"LIEF {lief.__version__}"):
        assert notes[:2] == [("LINUX", 0x700, findings.LIEF_LIMIT), ("GNU", 3, len("invented"))]


def test_pyelftools_has_no_name_for_a_device_dump(tmp_path: Path) -> None:
    path = findings.write(tmp_path, "one-dump")
    with vmcore.Reader(path) as reader:
        assert [note.type_name for note in reader.notes] == ["NT_VMCOREDD"]
    with path.open("rb") as file:
        (segment,) = ELFFile(file).iter_segments("PT_NOTE")
        (note,) = segment.iter_notes()
    with stands("pyelftools-vmcoredd", f"pyelftools {pyelftools_version}"):
        assert note["n_type"] == 0x700


def test_readelf_has_no_name_for_a_device_dump(tmp_path: Path) -> None:
    command, version = readers.newest("binutils", "readelf")
    said = run(command, "-nW", findings.write(tmp_path, "one-dump"))
    with stands("binutils-vmcoredd", version):
        assert "Unknown note type: (0x00000700)" in said.stdout


def test_eu_readelf_has_no_name_for_a_device_dump(tmp_path: Path) -> None:
    command, version = readers.newest("elfutils", "eu-readelf")
    said = run(command, "-n", findings.write(tmp_path, "one-dump"))
    with stands("elfutils-vmcoredd", version):
        assert "<unknown>: 1792" in said.stdout


def test_crash_copies_an_owner_of_any_length_to_its_stack(tmp_path: Path) -> None:
    path = findings.write(tmp_path, "long-owner")
    assert [owner[:4] for owner, *_ in ours(path)] == ["NNNN", "CORE"]
    command, version = readers.newest("crash", "crash")
    done = run(command, "--osrelease", path)
    with stands("crash-long-owner", version):
        assert done.returncode in ABORTED
        assert "stack smashing detected" in done.stderr


def test_crash_writes_behind_its_table_of_processors(tmp_path: Path) -> None:
    path = findings.write(tmp_path, "many-notes.kdump")
    assert len(ours(path)) == 26_000 > NR_CPUS
    command, version = readers.newest("crash", "crash")
    done = run(command, "-s", path, "/bin/true")
    with stands("crash-many-notes", version):
        assert done.returncode in ABORTED


def crash_dumps(path: Path) -> tuple[list[str], str]:
    """What crash says of a file's device dumps when it opens it, and its version."""
    command, version = readers.newest("crash", "crash")
    said = run(command, "-d1", "-s", path)
    assert "vmcoredd" not in said.stderr
    lines = [line.strip() for line in said.stdout.splitlines()]
    return [line for line in lines if line.startswith(("num_vmcoredd", "name:", "size:"))], version


def test_crash_drops_the_65th_device_dump_without_a_word(tmp_path: Path) -> None:
    path = findings.write(tmp_path, "many-dumps.kdump")
    assert len(ours(path)) == 70 > LISTED
    said, version = crash_dumps(path)
    with stands("crash-64-dumps", version):
        assert said[0] == f"num_vmcoredd_notes: {LISTED}"
        assert said[-2:] == [f'name: "card{LISTED - 1}"', "size: 32"]


def test_crash_takes_a_note_without_a_name_for_a_dump_of_4_gib(tmp_path: Path) -> None:
    path = findings.write(tmp_path, "short-dump.kdump")
    with vmcore.Reader(path) as reader:
        assert not reader.device_dumps
    said, version = crash_dumps(path)
    with stands("crash-short-dump", version):
        assert said[-1] == f"size: {2**32 - 44}"


def test_a_dump_in_a_small_file_is_read_by_all(tmp_path: Path) -> None:
    """The files themselves are in order: what the programs can read, they read."""
    path = findings.write(tmp_path, "one-dump")
    with path.open("rb") as file:
        (segment,) = ELFFile(file).iter_segments("PT_NOTE")
        (note,) = segment.iter_notes()
    assert note["n_name"] == "LINUX"
    assert note["n_descdata"].startswith(NAME.encode())
    assert note["n_descdata"][44:].startswith(PAYLOAD)
    assert len(lief.ELF.parse(path).notes) == 1
