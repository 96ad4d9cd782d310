"""`%vmcoredd` in drgn, from PyPI, on a vmcore that we wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cliruns import PATIENCE, ROOT

NAME = "vmcoredd.cli.drgn"
ENVIRONMENT = {**os.environ, "DRGN_PLUGINS": f"vmcoredd={NAME}", "COLUMNS": "80"}
"""This tree's plugin, whatever is installed."""


def drgn(core: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    """Runs commands in a process of drgn that has opened a core file."""
    code = "from drgn.commands import run_command\n"
    code += "".join(f"print('->', run_command(prog, {command!r}))\n" for command in commands)
    words = [sys.executable, "-m", "drgn", "-q", "--no-default-symbols", "-c", str(core)]
    return subprocess.run(
        [*words, "-e", code], capture_output=True, text=True, timeout=PATIENCE, env=ENVIRONMENT
    )


def test_the_entry_point_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["drgn.plugins"] == {"vmcoredd": NAME}


def test_list_show_and_diagnose_work_on_the_programs_core_file(made: Path) -> None:
    done = drgn(
        made,
        "vmcoredd list",
        "vmcoredd show --entity CLK --index 1",
        "vmcoredd diagnose --index 0",
    )
    listed, shown, found, rest = done.stdout.split("-> 0\n")
    assert "cxgb4_0000:00:02.0" in listed
    assert shown.startswith("CLK (entity 46)\n")
    assert found.startswith("T62100-CR, T6 rev 0, ")
    assert rest == ""
    assert done.returncode == 0, done.stderr


def test_its_output_can_be_piped_and_redirected(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "list.txt"
    done = drgn(made, "vmcoredd list | grep -c LINUX", f"vmcoredd show > {output}")
    assert done.stdout == "2\n-> 0\n-> 0\n", done.stderr
    assert "REG_DUMP" in output.read_text()


def test_the_value_is_the_commands_exit_code(made: Path) -> None:
    done = drgn(made, "vmcoredd show --index 99")
    assert done.stdout == "-> 2\n"
    assert "no note 99" in done.stderr


@pytest.mark.parametrize("words", ["", "dump"])
def test_other_words_are_refused(made: Path, words: str) -> None:
    done = drgn(made, f"vmcoredd {words}")
    assert "give one of list, show, diagnose" in done.stderr


def test_a_program_without_a_core_file_is_refused() -> None:
    code = "import drgn, drgn.commands, vmcoredd.cli.drgn\n"
    code += "drgn.commands.run_command(drgn.Program(), 'vmcoredd list')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "this program was not made from a core file" in done.stderr


def test_the_plugin_loads_nothing_heavy() -> None:
    code = "import drgn.commands, sys; before = set(sys.modules); import vmcoredd.cli.drgn\n"
    code += "print(*(name for name in set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.partition(".")[0] == "vmcoredd"}
    assert ours == {"vmcoredd", "vmcoredd.cli", NAME}
    assert not {"typer", "rich", "cffi"} & set(done.stdout.split())
