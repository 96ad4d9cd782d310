"""Payloads are read into memory, whatever happens to the file."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from vmcore_files import PAGE, Elf, dump_note, limited

from vmcoredd import vmcore
from vmcoredd.vmcore import payload as module
from vmcoredd.vmcore.errors import PayloadTooLarge, VmcoreFormatError

PAYLOAD = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "vmcore"
    file.write_bytes(bytes(Elf([dump_note(b"card", PAYLOAD)])))
    return file


@pytest.mark.parametrize("size", [0, PAGE, PAGE + 64, PAGE + 1064])
def test_a_file_that_became_shorter_is_an_error(path, tmp_path, size):
    with vmcore.Reader(path) as reader:
        os.truncate(path, size)
        for partial in (False, True):
            with pytest.raises(VmcoreFormatError, match="became shorter while it was read"):
                reader.payload(0, partial=partial)
            with pytest.raises(VmcoreFormatError, match="shorter"):
                reader.extract(0, tmp_path / "out", partial=partial)
    assert not (tmp_path / "out").exists()


def test_a_file_that_becomes_shorter_afterwards_leaves_the_payload(path):
    with vmcore.Reader(path) as reader:
        view = reader.payload(0)
        os.truncate(path, 0)
        assert view == PAYLOAD


def test_a_file_that_shrinks_during_the_read_is_an_error_and_no_signal(path, monkeypatch):
    real = os.preadv

    def shrink(fd, buffers, at):
        os.truncate(path, PAGE + 64 + 4096)
        return real(fd, buffers, at)

    monkeypatch.setattr(module.os, "preadv", shrink)
    with (
        vmcore.Reader(path) as reader,
        pytest.raises(VmcoreFormatError, match="need 10240 bytes, have 4096 bytes"),
    ):
        reader.payload(0)


def test_the_first_bytes_are_read_alone(path):
    with vmcore.Reader(path) as reader:
        assert reader.payload(0, most=100) == PAYLOAD[:100]
        assert reader.payload(0, most=1 << 20) == PAYLOAD


def sparse(path, size):
    """A vmcore with one device dump of `size` bytes, all of them holes."""
    head = struct.pack("<III8s44s", 8, 44 + size, 0x700, b"LINUX", b"cxgb4_card")
    path.write_bytes(bytes(Elf([head], note_filesz=64 + size)))
    os.truncate(path, PAGE + 64 + size)


def test_holes_take_no_memory(tmp_path):
    sparse(tmp_path / "vmcore", 1 << 30)
    program = (
        "import sys\nfrom vmcoredd import vmcore\n"
        "view = vmcore.Reader(sys.argv[1]).payload(0)\n"
        "assert len(view) == 1 << 30 and view[-1] == 0\n"
        "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])\n"
    )
    run = [sys.executable, "-c", program, tmp_path / "vmcore"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 << 10


def test_a_payload_beyond_the_limit_is_refused_but_its_start_is_read(tmp_path):
    sparse(tmp_path / "vmcore", (1 << 30) + 4)
    with vmcore.Reader(tmp_path / "vmcore") as reader:
        with pytest.raises(PayloadTooLarge, match="1073741828 bytes, at most 1073741824 are read"):
            reader.payload(0)
        assert reader.payload(0, most=10) == bytes(10)


def test_memory_that_is_not_there_is_an_error_of_the_system(tmp_path):
    sparse(tmp_path / "vmcore", 1 << 29)
    with (
        vmcore.Reader(tmp_path / "vmcore") as reader,
        limited(resource.RLIMIT_AS, 64 << 20),
        pytest.raises(OSError, match="Cannot allocate memory"),
    ):
        reader.payload(0)


@pytest.mark.parametrize("arguments", [["show"], ["show", "--json", "--entity", "all"]])
def test_the_command_survives_a_file_that_becomes_shorter(tmp_path, arguments):
    """The vmcore shrinks between its headers and its payload: exit code 3, no SIGBUS."""
    sparse(tmp_path / "vmcore", 32 << 20)
    program = (
        "import os, sys\nfrom vmcoredd import vmcore\n"
        "real = vmcore.Reader.payload\n"
        "def shrinking(self, *args, **options):\n"
        "    os.truncate(self.path, 8192)\n"
        "    return real(self, *args, **options)\n"
        "vmcore.Reader.payload = shrinking\n"
        "from vmcoredd.cli.main import main\n"
        "sys.argv[0] = 'vmcoredd'\nsys.exit(main())\n"
    )
    run = [sys.executable, "-c", program, *arguments, tmp_path / "vmcore"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "became shorter while it was read" in done.stderr
    assert "Traceback" not in done.stderr
    assert Path(tmp_path / "vmcore").stat().st_size == 8192
