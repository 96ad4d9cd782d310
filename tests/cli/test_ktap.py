"""A script in a guest as a test in KTAP, and git bisect's exit codes. Attempts are functions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cliruns import WITHOUT, Run

from vmcoredd import debs
from vmcoredd.cli import start
from vmcoredd.cli.exit_codes import Exit, message
from vmcoredd.cli.ktap import Attempt, run_as_test
from vmcoredd.emu.errors import ProfileError
from vmcoredd.qemu.errors import GuestDied, GuestError, GuestTimeout, QemuUnusable

Booted, Output = Callable[[], None], Callable[[str], None]


def script(code: int, *output: str) -> Attempt:
    """A script whose guest is up, which prints in these pieces."""

    def attempt(on_output: Output, on_booted: Booted) -> int:
        on_booted()
        for text in output:
            on_output(text)
        return code

    return attempt


def error(what: Exception, *, up: bool) -> Attempt:
    def attempt(on_output: Output, on_booted: Booted) -> int:
        if up:
            on_booted()
        raise what

    return attempt


def test_a_script_that_succeeds_is_a_test_that_passed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_as_test("ping.sh", script(0, "one\ntw", "o\n", "\n", "three")) == Exit.OK
    said = "KTAP version 1\n1..1\n# one\n# two\n#\n# three\nok 1 ping.sh\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("code", [1, 2, 127, 139, 255])
def test_any_other_exit_code_is_a_test_that_failed(
    capsys: pytest.CaptureFixture[str], code: int
) -> None:
    assert run_as_test("ping.sh", script(code)) == Exit.FAILED
    assert capsys.readouterr().out.splitlines()[-1] == f"not ok 1 ping.sh # exit={code}"


@pytest.mark.parametrize("code", [4, 125])
def test_a_script_can_say_that_it_cannot_try_the_kernel(
    capsys: pytest.CaptureFixture[str], code: int
) -> None:
    assert run_as_test("ping.sh", script(code)) == Exit.UNTRIED
    assert capsys.readouterr().out.splitlines()[-1] == f"ok 1 ping.sh # SKIP exit code {code}"


@pytest.mark.parametrize("first", ["KTAP version 1", "TAP version 13"])
def test_a_script_that_prints_ktap_is_a_test_with_tests_of_its_own(
    capsys: pytest.CaptureFixture[str], first: str
) -> None:
    run_as_test("suite", script(1, f"{first}\n1..1\nnot ok 1 link\n"))
    inner = f"  {first}\n  # Subtest: suite\n  1..1\n  not ok 1 link\n"
    assert capsys.readouterr().out == f"KTAP version 1\n1..1\n{inner}not ok 1 suite # exit=1\n"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (GuestError("no kernel"), Exit.UNTRIED),
        (debs.Unavailable("QEMU", "no network", "Try again"), Exit.NO_VERDICT),
        (QemuUnusable("QEMU is too old"), Exit.NO_VERDICT),
        (ProfileError("t9999", "no such card"), Exit.NO_VERDICT),
        (PermissionError(13, "Permission denied", "console"), Exit.NO_VERDICT),
    ],
)
def test_where_no_guest_came_up_the_reason_is_told_and_only_a_kernels_own_skips_it(
    capsys: pytest.CaptureFixture[str], what: Exception, code: Exit
) -> None:
    assert run_as_test("ping.sh", error(what, up=False)) == code
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == f"ok 1 ping.sh # SKIP {message(what)}"
    assert said.err == f"vmcoredd: {message(what)}\n"


def test_a_full_disk_is_no_verdict_on_the_kernel_that_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    full = OSError(28, "No space left on device", "console")
    assert run_as_test("ping.sh", error(full, up=True)) == Exit.NO_VERDICT
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "ok 1 ping.sh # SKIP console: No space left on device"


def test_a_guest_that_dies_is_a_test_that_failed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    died = GuestDied("the guest's kernel panicked: x", tmp_path / "log")
    assert run_as_test("ping.sh", error(died, up=True)) == Exit.FAILED
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "not ok 1 ping.sh # ERROR the guest's kernel panicked: x"


def test_a_script_that_takes_too_long_is_a_test_that_failed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    late = GuestTimeout("`/share/script`", 9, tmp_path / "log")
    assert run_as_test("a#b", error(late, up=True)) == Exit.FAILED
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "not ok 1 a_b # TIMEOUT waited 9 s for `/share/script`"


def test_a_bug_of_ours_is_no_verdict() -> None:
    with pytest.raises(ZeroDivisionError):
        run_as_test("ping.sh", error(ZeroDivisionError(), up=True))


NO_VERDICTS = {
    "an option that there is not": ("--no-such-option",),
    "a script that does not exist": ("--card", "t62100-cr", "--script", "absent"),
    "a card that there is not": ("--card", "t9999", "--script", "test.sh"),
    "no adapter": ("--script", "test.sh"),
    "a wire to nowhere": ("--card", "t62100-cr", "--wire", "0=9", "--script", "test.sh"),
}


@pytest.mark.parametrize("words", NO_VERDICTS.values(), ids=NO_VERDICTS)
def test_git_bisect_stops_where_the_line_is_wrong(words: tuple[str, ...], tmp_path: Path) -> None:
    """It would skip a commit that exits with 125, and every other commit just so."""
    (tmp_path / "test.sh").touch()
    done = bisected(tmp_path, "-m", "vmcoredd", "guest", "run", "--ktap", *words)
    assert done.returncode != 0
    assert "exit code 128" in done.stderr, done.stderr
    assert "vmcoredd: " in done.stderr


@pytest.mark.parametrize("absent", ["rich", "vmcoredd.cli.main"])
def test_git_bisect_stops_where_the_command_itself_is_broken(absent: str, tmp_path: Path) -> None:
    done = bisected(tmp_path, "-c", WITHOUT, absent, "guest", "run", "--ktap")
    assert "exit code 128" in done.stderr, done.stderr


def bisected(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with these words under `git bisect run`, with a commit between good and bad."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def git(*more: str) -> subprocess.CompletedProcess[str]:
        identity = ("-c", "user.name=me", "-c", "user.email=me@here")
        command = ["git", *identity, *more]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    git("init", "-q")
    for number in range(3):
        git("commit", "-q", "--allow-empty", "-m", str(number))
    git("bisect", "start", "HEAD", "HEAD~2")
    return git("bisect", "run", sys.executable, *words)


def test_without_ktap_wrong_usage_has_the_exit_code_of_all_commands(vmcoredd: Run) -> None:
    assert vmcoredd("guest", "run", "--no-such-option").code == Exit.USAGE


def test_the_entry_point_has_the_codes_that_the_help_lists() -> None:
    assert (start.UNAVAILABLE, start.NO_VERDICT) == (Exit.UNAVAILABLE, Exit.NO_VERDICT)


def test_a_tree_that_is_not_built_is_skipped_by_git_bisect(vmcoredd: Run, tmp_path: Path) -> None:
    (tmp_path / "linux").mkdir()
    (tmp_path / "linux/Kbuild").touch()
    (tmp_path / "test.sh").write_text("exit 0\n")
    result = vmcoredd(
        *("guest", "run", "--kernel", tmp_path / "linux", "--card", "t62100-cr", "--ktap"),
        *("--script", tmp_path / "test.sh", "--console", tmp_path / "console"),
    )
    assert result.code == Exit.UNTRIED
    first, plan, last = result.out.splitlines()
    assert (first, plan) == ("KTAP version 1", "1..1")
    assert last.startswith(f"ok 1 test.sh # SKIP {tmp_path}/linux is not built")
    assert "Run: make bzImage modules" in result.err
