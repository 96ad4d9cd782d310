"""Errors quote the end of a log."""

from __future__ import annotations

from vmcoredd.qemu.errors import CommandFailed, tail


def test_a_tail_is_the_last_lines_that_are_not_empty(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"line {i}\n\n" for i in range(100)))
    assert tail(log, 2) == "  line 98\n  line 99"


def test_a_tail_tolerates_bytes_that_are_not_text(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\xff\xfe ok\r\n")
    assert tail(log).endswith("ok")


def test_a_missing_or_empty_log_is_described_as_such(tmp_path):
    log = tmp_path / "log"
    assert "does not exist" in tail(log)
    log.touch()
    assert "is empty" in tail(log)


def test_a_failed_command_shows_its_code_and_output(tmp_path):
    error = CommandFailed("kexec -p", 255, "no memory\n", tmp_path / "log")
    assert error.code == 255
    assert "`kexec -p` exited with 255 in the guest and printed: no memory" in str(error)
