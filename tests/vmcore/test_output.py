"""Output files appear complete or not at all."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest
from vmcore_files import closing_all

from vmcoredd.vmcore import output
from vmcoredd.vmcore.errors import OutputClosed, OutputExists, OutputUnsuitable
from vmcoredd.vmcore.output import Output, check_output, open_log


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
    with Output(path, **options) as out:
        os.write(out.fileno(), data)


def put_half(path, error, **options):
    with Output(path, **options) as out:
        os.write(out.fileno(), b"half")
        raise error


def test_the_file_appears_when_it_is_complete(tmp_path, way):
    with Output(tmp_path / "out") as out:
        os.write(out.fileno(), b"half")
        assert not (tmp_path / "out").exists()
        os.write(out.fileno(), b" and half")
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
    os.write(output.__enter__().fileno(), b"ours")
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
def test_what_is_neither_a_file_nor_a_pipe_is_refused(tmp_path, force):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(OutputUnsuitable, match="a socket, which cannot be opened"):
            check_output(tmp_path / "socket", force=force)
    with pytest.raises(OutputUnsuitable, match="neither a regular file nor a pipe"):
        check_output(tmp_path, force=force)


def copied(source, path, size):
    """Copies `size` bytes of the file `source` to the output `path`, after 3 bytes of zeros."""
    with open(source, "rb") as file, Output(path) as out:
        copier = out.copier(lambda _done: None)
        copier.copy(file.fileno(), 0, size, 3)
        copier.end(size + 5)


@pytest.fixture
def source(tmp_path):
    """A file with a hole of 2 MiB between its first and last bytes."""
    path = tmp_path / "source"
    with path.open("wb") as file:
        file.write(b"first")
        file.seek(2 << 20)
        file.write(b"last")
    return path


def test_a_pipe_gets_the_bytes_in_order_and_zeros_for_holes(tmp_path, source):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        size = source.stat().st_size
        thread = threading.Thread(target=copied, args=(source, tmp_path / "pipe", size))
        thread.start()
        assert reader.stdout.read() == b"\0\0\0" + source.read_bytes() + b"\0\0"
        thread.join()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_standard_output_is_written_in_order(source):
    program = (
        "import sys; from vmcoredd.vmcore.output import Output\n"
        "with open(sys.argv[1], 'rb') as file, Output(sys.argv[2]) as out:\n"
        "    out.copier(lambda done: None).copy(file.fileno(), 0, 5, 1)\n"
    )
    for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        command = [sys.executable, "-c", program, source, name]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"\0first"


def test_a_reader_that_leaves_early_is_an_error(tmp_path, source):
    os.mkfifo(tmp_path / "pipe")
    with (
        subprocess.Popen(["head", "-c1", tmp_path / "pipe"], stdout=subprocess.DEVNULL),
        pytest.raises(OutputClosed, match="its reader left after"),
    ):
        copied(source, tmp_path / "pipe", source.stat().st_size)


def test_a_device_is_written_and_not_replaced(source):
    copied(source, "/dev/null", 5)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_terminal_is_refused():
    control, terminal = os.openpty()
    try:
        with pytest.raises(OutputUnsuitable, match="a terminal, which cannot show binary data"):
            check_output(os.ttyname(terminal))
    finally:
        os.close(control)
        os.close(terminal)


def test_what_cannot_be_streamed_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "-", "/dev/null"):
        with pytest.raises(OutputUnsuitable, match="cannot be streamed; give a regular file"):
            check_output(path, stream=False)


def planted(folder, kind, user):
    """Puts a link or a pipe of another user into a folder like /tmp, and returns its path."""
    folder.mkdir()
    folder.chmod(0o1777)
    path = folder / "out"
    if kind == "link":
        path.symlink_to(folder.parent / "victim")
    else:
        os.mkfifo(path)
    os.chown(path, user, user, follow_symlinks=False)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_another_user_planted_in_a_shared_folder_is_refused(tmp_path, kind):
    (tmp_path / "victim").write_bytes(b"precious")
    path = planted(tmp_path / "shared", kind, user=65534)
    with pytest.raises(OutputUnsuitable, match=f"a {kind} of user 65534 in a folder that every"):
        put(path, b"new", force=True)
    with pytest.raises(OutputUnsuitable):
        open_log(path)
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_ones_own_link_in_a_shared_folder_is_followed(tmp_path):
    (tmp_path / "victim").write_bytes(b"old")
    put(planted(tmp_path / "shared", "link", user=os.geteuid()), b"new", force=True)
    assert (tmp_path / "victim").read_bytes() == b"new"


def test_a_log_begins_empty_and_is_private(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"everybody may read this")
    log.chmod(0o644)
    for text in (b"first", b"2nd"):
        with os.fdopen(open_log(log), "wb") as file:
            file.write(text)
        assert log.read_bytes() == text
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_log_in_a_shared_folder_is_refused(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "log").write_bytes(b"theirs")
    os.chown(folder / "log", 65534, 65534)
    with pytest.raises((OutputUnsuitable, PermissionError)):  # fs.protected_regular refuses it too
        open_log(folder / "log")
    assert (folder / "log").read_bytes() == b"theirs"


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        check_output(tmp_path / "a")


def test_a_missing_directory_raises_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_output(tmp_path / "none" / "out")


def test_a_read_only_directory_is_refused_at_once(tmp_path, monkeypatch):
    """Uses `access`, since the tests may run as root, who may write anywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError):
        check_output(tmp_path / "out")


def test_no_descriptor_is_left_open(tmp_path, way):
    with closing_all():
        put(tmp_path / "out", b"data")
        with pytest.raises(OutputExists):
            put(tmp_path / "out", b"data")


def test_a_killed_writer_leaves_nothing(tmp_path):
    if not _nameless_files(tmp_path):
        pytest.skip("this file system has no O_TMPFILE: a killed writer leaves a hidden .part file")
    program = (
        "import os, sys, time; from vmcoredd.vmcore.output import Output\n"
        "with Output(sys.argv[1]) as out:\n"
        "    os.write(out.fileno(), b'half'); print('ready', flush=True); time.sleep(60)\n"
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
