"""Other programs read this project's vmcores, and its reader reads theirs."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile

from vmcoredd import debs, vmcore
from vmcoredd.vmcore.flattened import Flattened
from vmcoredd.vmcore.view import read_some

pytestmark = pytest.mark.interop

CXGB4 = 0x2000ED8  # the size that the cxgb4 driver requests
SEED = """\
  LINUX                0x02000fec\tUnknown note type: (0x00000700)
  LINUX                0x02000fec\tUnknown note type: (0x00000700)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  CORE                 0x00000150\tNT_PRSTATUS (prstatus structure)
  VMCOREINFO           0x00000785\tUnknown note type: (0x00000000)
"""
PAYLOAD = bytes(range(256)) * 20


def readelf(option, path):
    """The lines of `readelf`, cut: it prints every byte of a note in hexadecimal."""
    if shutil.which("readelf") is None:
        pytest.fail("readelf is missing: install binutils")
    with subprocess.Popen(["readelf", option, path], stdout=subprocess.PIPE) as program:
        cut = subprocess.run(
            ["cut", "-c1-80"], stdin=program.stdout, capture_output=True, text=True, check=True
        )
    assert program.returncode == 0
    return cut.stdout


def filled(payload):
    payload[: len(PAYLOAD)] = PAYLOAD


@pytest.fixture(scope="module")
def two_dumps(tmp_path_factory):
    """A vmcore with the default base and two dumps of 32 MiB."""
    path = tmp_path_factory.mktemp("two") / "vmcore"
    dumps = vmcore.DeviceDumps()
    for name in ("cxgb4_0000:00:02.0", "cxgb4_0000:00:03.0"):
        dumps.add_device_dump(name, CXGB4, filled)
    vmcore.write(path, dumps)
    return path


@pytest.fixture(scope="module")
def makedumpfile():
    """Runs Debian's makedumpfile with the given arguments."""
    root = debs.binaries(["makedumpfile"], suites=("bookworm",), name="makedumpfile")
    program = debs.command(root, "usr/bin/makedumpfile")

    def run(*arguments):
        done = subprocess.run(
            [*program, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]

    return run


def test_readelf_shows_the_same_as_in_the_patch_series(two_dumps):
    said = readelf("--notes", two_dumps)
    assert "Displaying notes found at file offset 0x00001000 with length 0x040032c0:" in said
    rows = [f"{line.rstrip()}\n" for line in said.splitlines() if re.match(r"  [A-Z]", line)]
    assert "".join(rows[1:]) == SEED


def test_readelf_finds_headers_in_order(two_dumps):
    said = readelf("--headers", two_dumps)
    assert re.search(r"Type: +CORE", said)
    assert re.search(r"Start of program headers: +64 ", said)
    assert re.search(r"Number of section headers: +0", said)
    assert re.search(r"NOTE +0x0+1000 0x0+ 0x0+\n +0x0+40032c0 0x0+40032c0", said)


@pytest.mark.parametrize("layout", ["ELF64", "ELF32", "ELF64_BE", "ELF32_BE"])
def test_pyelftools_reads_the_notes_of_every_class_and_byte_order(tmp_path, layout):
    core = vmcore.ElfCore(getattr(vmcore.elf, layout), [], [])
    dumps = vmcore.DeviceDumps(core)
    dumps.add_device_dump("card", 6000, filled)
    vmcore.write(tmp_path / "out", dumps)
    with (tmp_path / "out").open("rb") as file:
        elf = ELFFile(file)
        notes = [note for segment in elf.iter_segments("PT_NOTE") for note in segment.iter_notes()]
    assert [(note["n_name"], note["n_type"], note["n_descsz"]) for note in notes] == [
        ("LINUX", 0x700, 8192 - 20)
    ]
    assert notes[0]["n_descdata"][:44] == b"card".ljust(44, b"\0")
    assert notes[0]["n_descdata"][44:].startswith(PAYLOAD)


def test_pyelftools_reads_all_notes_of_the_default_context(tmp_path):
    vmcore.write(tmp_path / "out", vmcore.DeviceDumps())
    with (tmp_path / "out").open("rb") as file:
        elf = ELFFile(file)
        notes = [note for segment in elf.iter_segments("PT_NOTE") for note in segment.iter_notes()]
        loads = [segment["p_filesz"] for segment in elf.iter_segments("PT_LOAD")]
    assert [note["n_name"] for note in notes] == ["CORE"] * 8 + ["VMCOREINFO"]
    assert len(loads) == 2


@pytest.mark.parametrize("options", [("-d", "0"), ("-c", "-d", "1"), ("-c", "-d", "31")])
def test_we_read_dumps_from_makedumpfiles_kdump_format(two_dumps, tmp_path, makedumpfile, options):
    makedumpfile(*options, two_dumps, tmp_path / "kdump")
    same_notes(two_dumps, tmp_path / "kdump", "kdump")


@pytest.mark.parametrize("level", ["1", "31"])
def test_we_read_dumps_from_makedumpfiles_elf_format(two_dumps, tmp_path, makedumpfile, level):
    makedumpfile("-E", "-d", level, two_dumps, tmp_path / "elf")
    same_notes(two_dumps, tmp_path / "elf", "elf")


def test_makedumpfiles_elf_format_can_be_a_base_and_makedumpfile_reads_the_result(
    two_dumps, tmp_path, makedumpfile
):
    makedumpfile("-E", "-d", "1", two_dumps, tmp_path / "base")
    with vmcore.ElfCore.open(tmp_path / "base") as base:
        dumps = vmcore.DeviceDumps(base)
        dumps.add_device_dump("third", 6000, filled)
        vmcore.write(tmp_path / "three", dumps)
    makedumpfile("-c", "-d", "31", tmp_path / "three", tmp_path / "again")
    names = [note.name for note in vmcore.Reader(tmp_path / "again").device_dumps]
    assert names == ["third", "cxgb4_0000:00:02.0", "cxgb4_0000:00:03.0"]


@pytest.mark.parametrize("options", [("-d", "0"), ("-c", "-d", "31"), ("-E", "-d", "1")])
def test_makedumpfiles_flattened_format_is_read_where_it_is(two_dumps, tmp_path, options):
    root = debs.binaries(["makedumpfile"], suites=("bookworm",), name="makedumpfile")
    program = debs.command(root, "usr/bin/makedumpfile")
    flat, rearranged = tmp_path / "flat", tmp_path / "rearranged"
    with flat.open("wb") as output:
        command = [*program, "-F", *options, two_dumps]
        subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=True)
    with flat.open("rb") as file:
        command = [*program, "-R", rearranged]
        subprocess.run(command, stdin=file, capture_output=True, check=True)
    same_notes(two_dumps, flat, "elf" if "-E" in options else "kdump")
    same_notes(rearranged, flat, "elf" if "-E" in options else "kdump")
    with flat.open("rb") as file:
        view = Flattened(file.fileno(), flat.stat().st_size)
        assert read_some(view, 0, view.size + 1) == rearranged.read_bytes()


def same_notes(ours, theirs, form):
    """Asserts that both files have the same notes with the same payloads."""
    with vmcore.Reader(ours) as one, vmcore.Reader(theirs) as two:
        assert two.format == form
        assert [(n.owner, n.type, n.size, n.name) for n in one.notes] == [
            (n.owner, n.type, n.size, n.name) for n in two.notes
        ]
        assert two.damage == ()
        for note in one.notes:
            assert one.payload(note.index) == two.payload(note.index)
