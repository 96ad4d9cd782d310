"""What a shell's options may name on the host, and what it leaves there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vmcoredd.qemu import session
from vmcoredd.qemu.errors import GuestError
from vmcoredd.qemu.program import Debugging


def test_a_monitor_may_be_where_nothing_is_or_a_socket_that_nobody_has(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    assert session.check_socket(path) == path
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    assert session.check_socket(path) == path


def test_a_file_is_not_replaced_by_a_monitor(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GuestError, match="file exists and is not a socket"):
        session.run_shell(
            [], console=tmp_path / "console", debugging=Debugging(monitor=tmp_path / "file")
        )
    assert (tmp_path / "file").read_text() == "mine"


def test_a_monitor_is_not_taken_from_another_program(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "qmp"))
        other.listen()
        with pytest.raises(GuestError, match="another program listens on this socket"):
            session.check_socket(tmp_path / "qmp")


def test_a_monitors_path_has_the_length_of_a_sockets(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="a socket's path has at most 107 bytes"):
        session.check_socket(tmp_path / ("x" * 107))


def test_a_shared_folder_keeps_only_what_the_guest_saved_and_what_was_there(tmp_path: Path) -> None:
    theirs = tmp_path / "old" / session.QEMUS
    theirs.mkdir(parents=True)
    with session._shared(tmp_path):
        (tmp_path / "new" / session.QEMUS).mkdir(parents=True)
        for name in ("bzImage", "initramfs", "new/saved", f"new/{session.QEMUS}/saved"):
            (tmp_path / name).touch()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"old", f"old/{session.QEMUS}", "new", "new/saved"}


def test_a_script_that_cannot_be_read_is_told_before_anything_is_prepared(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        session.run_script([], tmp_path / "absent", console=tmp_path / "console")
    assert list(tmp_path.iterdir()) == []
