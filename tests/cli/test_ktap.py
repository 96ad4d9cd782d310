"""A script in a guest as a test in KTAP, and git bisect's exit codes. Attempts are functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cliruns import Run

from vmcoredd import debs
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.ktap import Attempt, run_as_test
from vmcoredd.qemu.errors import GuestDied, GuestError, GuestTimeout

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
    "what", [GuestError("no kernel"), debs.Unavailable("QEMU", "no network", "Try again")]
)
def test_a_kernel_that_cannot_be_tried_is_skipped_and_the_reason_is_told(
    capsys: pytest.CaptureFixture[str], what: Exception
) -> None:
    assert run_as_test("ping.sh", error(what, up=False)) == Exit.UNTRIED
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == f"ok 1 ping.sh # SKIP {what}"
    assert said.err == f"vmcoredd: {what}\n"


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
