"""Output files appear complete or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from vmcoredd.vmcore import output
from vmcoredd.vmcore.errors import OutputExists, OutputUnsuitable
from vmcoredd.vmcore.output import Output, check_output


@pytest.fixture(params=["nameless", "named"])
def way(request, monkeypatch):
    """Both ways to write: without a name, and on file systems that do not support that."""
    if request.param == "named":
        real = os.open

        def refuse(path, flags, mode=0o777, *, dir_fd=None):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no nameless files here")
            return real(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", refuse)
    return request.param


def put(path, data, **options):
    with Output(path, **options) as fd:
        os.write(fd, data)


def put_half(path, error, **options):
    with Output(path, **options) as fd:
        os.write(fd, b"half")
        raise error


def test_the_file_appears_when_it_is_complete(tmp_path, way):
    with Output(tmp_path / "out") as fd:
        os.write(fd, b"half")
        assert not (tmp_path / "out").exists()
        os.write(fd, b" and half")
    assert (tmp_path / "out").read_bytes() == b"half and half"
    assert os.listdir(tmp_path) == ["out"]


def test_an_unfinished_file_has_at_most_a_hidden_name(tmp_path, way):
    with Output(tmp_path / "out"):
        assert all(name.startswith(".out.") for name in os.listdir(tmp_path))
        assert len(os.listdir(tmp_path)) == (way == "named")


def test_only_its_owner_can_read_an_output(tmp_path, way):
    put(tmp_path / "out", b"")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600


def test_a_failure_leaves_nothing(tmp_path, way):
    with pytest.raises(ZeroDivisionError):
        put_half(tmp_path / "out", ZeroDivisionError())
    assert os.listdir(tmp_path) == []


def test_a_failure_leaves_an_existing_file_unchanged(tmp_path, way):
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        put_half(tmp_path / "out", KeyboardInterrupt(), force=True)
    assert (tmp_path / "out").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_an_existing_file_is_refused_before_anything_is_written(tmp_path, way):
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(OutputExists) as refusal:
        put(tmp_path / "out", b"new")
    assert refusal.value.errno == errno.EEXIST
    assert (tmp_path / "out").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_force_replaces_an_existing_file(tmp_path, way):
    (tmp_path / "out").write_bytes(b"old")
    put(tmp_path / "out", b"new", force=True)
    assert (tmp_path / "out").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_force_needs_no_existing_file(tmp_path, way):
    put(tmp_path / "out", b"new", force=True)
    assert os.listdir(tmp_path) == ["out"]


def test_a_file_created_in_the_meantime_is_not_overwritten(tmp_path, way):
    output = Output(tmp_path / "out")
    os.write(output.__enter__(), b"ours")
    (tmp_path / "out").write_bytes(b"theirs")
    with pytest.raises(OutputExists):
        output.__exit__(None, None, None)
    assert (tmp_path / "out").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["out"]


def test_a_file_system_without_links_gets_the_file_by_its_name(tmp_path, way, monkeypatch):
    if way == "nameless":
        return  # a file without a name can only be linked
    monkeypatch.setattr(os, "link", lambda *a, **k: (_ for _ in ()).throw(OSError(errno.EPERM, "")))
    put(tmp_path / "out", b"data")
    assert (tmp_path / "out").read_bytes() == b"data"
    assert os.listdir(tmp_path) == ["out"]


def test_the_target_of_a_symbolic_link_is_replaced(tmp_path, way):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    put(tmp_path / "link", b"new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_name_of_255_bytes_can_be_written(tmp_path, way):
    put(tmp_path / ("n" * 255), b"data", force=True)
    assert os.listdir(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("force", [False, True])
def test_only_regular_files_are_ever_replaced(tmp_path, force):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/null"):
        with pytest.raises(OutputUnsuitable, match=": not a regular file"):
            check_output(path, force=force)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_missing_directory_raises_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_output(tmp_path / "none" / "out")


def test_a_read_only_directory_is_refused_at_once(tmp_path, monkeypatch):
    """Uses `access`, since the tests may run as root, who may write anywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError):
        check_output(tmp_path / "out")


def test_no_descriptor_is_left_open(tmp_path, way):
    before = len(os.listdir("/proc/self/fd"))
    put(tmp_path / "out", b"data")
    with pytest.raises(OutputExists):
        put(tmp_path / "out", b"data")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_killed_writer_leaves_nothing(tmp_path):
    if not _nameless_files(tmp_path):
        pytest.skip("this file system has no O_TMPFILE: a killed writer leaves a hidden .part file")
    program = (
        "import os, sys, time; from vmcoredd.vmcore.output import Output\n"
        "with Output(sys.argv[1]) as fd:\n"
        "    os.write(fd, b'half'); print('ready', flush=True); time.sleep(60)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "out"], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert os.listdir(tmp_path) == []


def _nameless_files(directory):
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR, output.MODE))
    except OSError:
        return False
    return True
