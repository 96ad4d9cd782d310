"""What errors show of a log."""

from __future__ import annotations

from vmcoredd.qemu.errors import CommandFailed, tail


def test_a_tail_is_the_last_lines_without_empty_ones(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"line {i}\n\n" for i in range(100)))
    assert tail(log, 2) == "  line 98\n  line 99"


def test_a_tail_stands_bytes_that_are_no_text(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\xff\xfe ok\r\n")
    assert tail(log).endswith("ok")


def test_a_log_that_is_not_there_or_empty_is_said_to_be_so(tmp_path):
    log = tmp_path / "log"
    assert "does not exist" in tail(log)
    log.touch()
    assert "is empty" in tail(log)


def test_a_failed_command_shows_its_code_and_its_words(tmp_path):
    error = CommandFailed("kexec -p", 255, "no memory\n", tmp_path / "log")
    assert error.code == 255
    assert "`kexec -p` ended with 255 in the guest and said: no memory" in str(error)
