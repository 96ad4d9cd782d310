"""Help, versions, and the behaviour that all commands share."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cliruns import Run, command, one_line

import pyvfio_user
from vmcoredd.cli.exit_codes import FAILURES, MEANINGS, Exit, Failure

COMMANDS = [
    ["cards"],
    ["emulate"],
    ["dump"],
    ["notes"],
    ["show"],
    ["extract"],
    ["diff"],
    ["demo"],
    ["bench"],
    ["doctor"],
    ["sweep"],
    ["guest", "kdump"],
    ["guest", "shell"],
    ["guest", "run"],
    ["guest", "live"],
    ["guest", "memory"],
    ["control"],
    ["cache", "list"],
    ["cache", "clear"],
    *(["archive", name] for name in ("add", "query", "outliers", "report", "compact")),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_has_an_example(vmcoredd: Run, words: list[str]) -> None:
    result = vmcoredd(*words, "--help")
    assert result.code == Exit.OK
    assert f"vmcoredd {' '.join(words)} " in result.out.split("Example", 1)[1] + " "


@pytest.mark.parametrize("words", [[], *COMMANDS], ids=" ".join)
def test_the_help_names_values_as_users_do(vmcoredd: Run, words: list[str]) -> None:
    shown = vmcoredd(*words, "--help").out
    assert not re.search(r"<\w+(\[.*\])?>", shown)


def imported(*words: object) -> list[str]:
    """The modules that a command has imported when it ends."""
    program = """
import sys
from contextlib import suppress
from vmcoredd.cli.main import main
with suppress(SystemExit):
    main()
print(*sys.modules, file=sys.stderr)
"""
    words = (sys.executable, "-c", program, *words)
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1].split()


def test_the_version_is_shown_without_importing_other_rooms() -> None:
    names = [name.split(".") for name in imported("--version") if name.startswith("vmcoredd.")]
    assert {name for _, name, *_ in names} == {"cli"}
    assert not any(name[:2] == ["cli", "commands"] for name in names)


def test_a_command_imports_no_other_and_converts_without_pydantic(tmp_path: Path) -> None:
    words = ("dump", "--socket", tmp_path / "absent", "-o", tmp_path / "vmcore", "--json")
    names = imported(*words)
    start = "vmcoredd.cli.commands."
    assert [name for name in names if name.startswith(start)] == [f"{start}dump"]
    assert "pydantic" not in names


def test_the_help_names_every_command(vmcoredd: Run) -> None:
    shown = vmcoredd("--help").out
    assert all(words[0] in shown for words in COMMANDS)


def test_the_help_explains_every_exit_code(vmcoredd: Run) -> None:
    shown = " ".join(vmcoredd("--help").out.split())
    assert all(f"{code.value} {text}" in shown for code, text in MEANINGS.items())
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_every_error_with_an_exit_code_exists(failure: Failure) -> None:
    kind = getattr(importlib.import_module(failure.module), failure.name)
    assert issubclass(kind, Exception)


def test_the_version_is_shown_with_libvfio_users(vmcoredd: Run) -> None:
    shown = vmcoredd("--version").out
    assert shown.startswith("vmcoredd ")
    assert pyvfio_user.library_version() in shown


@pytest.mark.parametrize("words", [["dmup"], ["dump", "--sockte", "x"], ["show"], ["extract", "x"]])
def test_wrong_usage_is_code_2_with_an_error_message(vmcoredd: Run, words: list[str]) -> None:
    result = vmcoredd(*words)
    assert result.code == Exit.USAGE
    assert one_line(result)
    assert "--help` shows the usage" in result.err


@pytest.mark.parametrize(
    "words",
    [["cards", "--faults"], ["cards", "--json"], ["cache", "list", "--json"], ["--help"], []],
    ids=" ".join,
)
def test_a_closed_pipe_is_not_a_failure(words: list[str]) -> None:
    assert unread(*words) == (Exit.OK, "")


def test_closed_standard_streams_are_not_a_failure(small_card: Path, tmp_path: Path) -> None:
    def closed() -> None:
        os.closerange(0, 3)

    made = tmp_path / "vmcore"
    words = command("dump", "--card", small_card, "-o", made)
    assert subprocess.run(words, preexec_fn=closed, check=False).returncode == Exit.OK
    assert made.read_bytes()[:4] == b"\x7fELF"
    assert b"device dump " not in made.read_bytes()  # what is printed goes into no open file
    assert subprocess.run(command("notes", made), preexec_fn=closed, check=False).returncode == 0


def test_messages_that_nobody_reads_end_nothing(small_card: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = command("dump", "--card", small_card, "--entity", "REG_DUMP", "--trace")
    words += ["-o", tmp_path / "vmcore"]
    with open(writer, "wb") as messages:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=messages, check=False)
    assert done.returncode == Exit.OK
    assert b"entities good" in done.stdout
    assert (tmp_path / "vmcore").exists()


@pytest.mark.parametrize("words", [["cards"], ["cards", "--json"]], ids=" ".join)
def test_results_that_cannot_be_written_are_a_failure(words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(*words), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == Exit.FAILED
    assert done.stderr.startswith("vmcoredd: ")
    assert done.stderr.endswith("No space left on device\n")


def test_a_failure_with_a_closed_pipe_is_still_a_failure(tmp_path: Path) -> None:
    code, err = unread("notes", tmp_path / "absent")
    assert code == Exit.FAILED
    assert "No such file" in err


def unread(*arguments: object) -> tuple[int, str]:
    """Exit code and stderr of a command whose output has no reader from the start."""
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with open(writer, "wb") as out:
        done = subprocess.run(
            command(*arguments),
            env=buffered,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return done.returncode, done.stderr
