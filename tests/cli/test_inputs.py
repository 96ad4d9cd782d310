"""What the commands read: a vmcore, a bare device dump, a pipe."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import fastlz_dumps
import pytest
from cliruns import Run
from unknown_dumps import with_entity

from vmcoredd import vmcore
from vmcoredd.cli.exit_codes import Exit


@pytest.fixture(scope="module")
def bare(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The payload of the first dump, under a name that says nothing."""
    path = tmp_path_factory.mktemp("bare") / "vmcore"
    with vmcore.Reader(made) as reader:
        reader.extract(0, path)
    return path


def piped(path: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Runs the command with the file on a pipe."""
    command = [sys.executable, "-P", "-m", "vmcoredd", *map(str, arguments)]
    data = path.read_bytes()
    return subprocess.run(command, input=data, capture_output=True, check=False, **options)


@pytest.mark.parametrize("entity", ["PATH_MTU", "DEV_LOG"])
def test_a_bare_dump_is_shown_as_in_its_vmcore(
    vmcoredd: Run, made: Path, bare: Path, entity: str
) -> None:
    inside, alone = (vmcoredd("show", path, "--entity", entity) for path in (made, bare))
    assert (alone.code, alone.out) == (Exit.OK, inside.out)


def test_a_bare_dump_has_no_note_and_says_so(vmcoredd: Run, bare: Path) -> None:
    (note,) = vmcoredd("notes", bare, "--json").json["notes"]
    assert (note["owner"], note["type"], note["type_name"]) == (None, None, None)
    assert (note["adapter"], note["good"]) == ("T6 rev 0", 50)
    assert "no note" in vmcoredd("notes", bare).out


def test_a_bare_dump_equals_its_vmcores_and_its_own_extract(
    vmcoredd: Run, made: Path, bare: Path, tmp_path: Path
) -> None:
    assert vmcoredd("diff", made, bare).code == Exit.OK
    assert vmcoredd("extract", bare, "-o", tmp_path / "again").code == Exit.OK
    assert (tmp_path / "again").read_bytes() == bare.read_bytes()


def test_a_bare_dump_has_one_note(vmcoredd: Run, bare: Path) -> None:
    result = vmcoredd("show", bare, "--index", "1")
    assert result.code == Exit.USAGE
    assert "no note 1: the file has 1" in result.err


def test_a_file_of_neither_kind_is_refused(vmcoredd: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, world")
    result = vmcoredd("show", tmp_path / "text")
    assert result.code == Exit.BAD_FILE
    assert "need an ELF core file, a kdump file or a device dump" in result.err


def test_a_pipe_is_read_to_its_end_and_then_as_a_file(made: Path, bare: Path) -> None:
    for path in (made, bare):
        done = piped(path, "show", "-", "--entity", "PATH_MTU")
        assert (done.returncode, done.stderr) == (Exit.OK, b"")
        assert done.stdout.startswith(b"PATH_MTU (entity 27)")


def test_a_pipe_is_spooled_to_a_file_without_a_name_and_not_held_in_memory(
    made: Path, tmp_path: Path
) -> None:
    code = "import resource, runpy; resource.setrlimit(resource.RLIMIT_DATA, (64 << 20,) * 2)"
    code += "; runpy.run_module('vmcoredd', run_name='__main__', alter_sys=True)"
    data = made.read_bytes()
    assert len(data) > 64 << 20
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "notes", "-"],
        input=data,
        capture_output=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (Exit.OK, b"")
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_for_the_spool_is_named(bare: Path, tmp_path: Path) -> None:
    def small() -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = piped(bare, "notes", "-", preexec_fn=small, env=environment)
    assert done.returncode == Exit.FAILED
    assert done.stderr.decode() == f"vmcoredd: {tmp_path}: File too large\n"


def test_a_file_on_standard_input_is_read_where_it_is(bare: Path) -> None:
    with bare.open("rb") as file:
        command = [sys.executable, "-P", "-m", "vmcoredd", "notes", "/dev/stdin"]
        done = subprocess.run(command, stdin=file, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (Exit.OK, b"")


def test_one_pipe_is_not_both_sides_of_a_diff(vmcoredd: Run) -> None:
    result = vmcoredd("diff", "-", "/dev/stdin")
    assert result.code == Exit.USAGE
    assert result.err.startswith("vmcoredd: B: A is standard input already")


def test_a_dump_of_freebsd_is_listed_shown_and_extracted(vmcoredd: Run, tmp_path: Path) -> None:
    path = tmp_path / "dumpstate.bin"
    mtus = struct.pack("<16H", *range(88, 1688, 100))
    path.write_bytes(fastlz_dumps.dump({27: mtus, 29: b"w" * 100, 53: bytes(72)}))
    (note,) = vmcoredd("notes", path, "--json").json["notes"]
    assert (note["adapter"], note["compression"], note["good"]) == ("T6", "FastLZ", 3)
    shown = vmcoredd("show", path, "--entity", "pathmtu")
    assert shown.code == Exit.OK
    assert "1588" in shown.out
    everything = vmcoredd("show", path, "--entity", "all", "--json")
    assert everything.code == Exit.INCOMPLETE
    records = {record["name"]: record for record in everything.json["entities"]}
    assert records["WTP"]["not_decoded"] == "this version does not decode it"
    assert "decoded" in records["TX_RATE"]


@pytest.mark.parametrize("given", ["71", "entity 71", "ENTITY 71", "flash", "FLASH"])
def test_an_entity_is_reached_by_its_number(
    vmcoredd: Run, bare: Path, tmp_path: Path, given: str
) -> None:
    """`ethtool -w` adds the adapter's flash memory to the entities of a crash dump."""
    path = tmp_path / "ethtool"
    path.write_bytes(with_entity(bare.read_bytes(), 71, b"flash" * 1000))
    shown = vmcoredd("show", path, "--entity", given)
    assert (shown.code, shown.out.splitlines()[0]) == (Exit.OK, "FLASH (entity 71)")
    assert vmcoredd("show", path, "--entity", given, "--raw").out == "flash" * 1000


def test_the_collectors_short_names_are_taken(
    vmcoredd: Run, bare: Path, small_card: Path, tmp_path: Path
) -> None:
    assert vmcoredd("show", bare, "--entity", "CimQcfg").out.startswith("CIM_QCFG (entity 5)")
    words = ("--entity", "devlog", "--entity", "27", "-o", tmp_path / "two")
    assert vmcoredd("dump", "--card", small_card, *words).code == Exit.OK
    listed = vmcoredd("show", tmp_path / "two", "--json").json["entities"]
    assert [record["name"] for record in listed] == ["DEV_LOG", "PATH_MTU"]
