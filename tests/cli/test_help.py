"""Help, versions, and the behaviour that all commands share."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cliruns import Run, command

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
    ["guest", "kdump"],
    ["guest", "shell"],
    ["guest", "run"],
    ["guest", "live"],
    ["guest", "memory"],
    ["cache", "list"],
    ["cache", "clear"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_has_an_example(vmcoredd: Run, words: list[str]) -> None:
    result = vmcoredd(*words, "--help")
    assert result.code == Exit.OK
    assert f"vmcoredd {' '.join(words)} " in result.out.split("Example", 1)[1] + " "


def test_the_command_starts_without_importing_other_rooms() -> None:
    program = """
import sys
import vmcoredd.cli.main
print({name.split(".")[1] for name in sys.modules if name.startswith("vmcoredd.")})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ast.literal_eval(done.stdout) == {"bench", "cli"}  # bench: the names of its parts


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
    assert "Error" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "words", [["cards", "--faults"], ["cards", "--json"], ["cache", "list", "--json"]], ids=" ".join
)
def test_a_closed_pipe_is_not_a_failure(words: list[str]) -> None:
    assert unread(*words) == (Exit.OK, "")


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
