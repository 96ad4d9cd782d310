"""Shell completion: the protocol that the shells' scripts use, and bash with its script."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cliruns import Run, command

from vmcoredd import emu
from vmcoredd.cudbg.entity import entities
from vmcoredd.qemu.kernels import NAMES


def completions(line: str, shell: str = "bash") -> list[str]:
    """Returns the command's proposals for the last word of `line`, as in its completion script."""
    words = line.split(" ")
    variables = {
        "_VMCOREDD_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
    }
    done = subprocess.run(
        command(), env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def test_commands_and_options_are_completed() -> None:
    assert completions("vmcoredd em") == ["emulate"]
    assert completions("vmcoredd guest k") == ["kdump"]
    assert "--fault" in completions("vmcoredd emulate --f")


@pytest.mark.parametrize("words", ["emulate", "dump", "guest kdump", "guest run"])
def test_cards_are_completed_by_name(words: str) -> None:
    assert completions(f"vmcoredd {words} --card ") == emu.profiles()
    assert completions(f"vmcoredd {words} --card t62100-c") == ["t62100-cr"]


def test_a_card_that_is_a_path_is_left_to_the_shell() -> None:
    assert completions("vmcoredd dump --card ./my") == []


def test_faults_are_completed_and_explained() -> None:
    assert "left.device-gone" in completions("vmcoredd guest run --fault left.device-g")
    named = {name + "=" * bool(fault.takes) for name, fault in emu.faults().items()}
    assert set(completions("vmcoredd emulate --fault ")) == named
    assert "firmware-retval=ENOMEM" in completions("vmcoredd dump --fault firmware-retval=EN")
    (explained,) = completions("vmcoredd emulate --fault device-g", "zsh")[-1:]
    assert "device-gone" in explained
    assert emu.faults()["device-gone"].meaning.split(":")[0] in explained


def test_entities_are_completed_by_name() -> None:
    assert set(completions("vmcoredd dump --entity ")) == set(entities())
    assert completions("vmcoredd dump --entity DEV_") == ["DEV_LOG"]
    assert completions("vmcoredd show vmcore --entity a") == ["all"]
    assert completions("vmcoredd show vmcore --entity CLK --entity VPD") == ["VPD_DATA"]


def test_kernels_and_compressions_are_completed() -> None:
    assert completions("vmcoredd guest shell --kernel ") == list(NAMES)
    assert completions("vmcoredd guest kdump --kernel ") == ["6.1", "6.12", "newest"]
    assert completions("vmcoredd dump --compress ") == ["zlib", "none"]


def test_lists_of_a_sweep_are_completed_after_their_last_comma() -> None:
    assert completions("vmcoredd sweep --card ") == ["all", *emu.profiles()]
    assert completions("vmcoredd sweep --card t520-cr,t62100-c") == ["t520-cr,t62100-cr"]
    assert completions("vmcoredd sweep --fault healthy,device-g") == ["healthy,device-gone"]
    assert completions("vmcoredd sweep --kernel n") == ["none", "newest"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_to_install_is_shown_for_the_command(shell: str, tmp_path: Path) -> None:
    """Started as a module, as here, the command is still called vmcoredd."""
    variables = {"_VMCOREDD_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        command(), env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    assert "_VMCOREDD_COMPLETE" in done.stdout
    assert "vmcoredd" in done.stdout
    assert "python" not in done.stdout


def test_bash_completes_with_the_script_that_the_command_shows(tmp_path: Path) -> None:
    """Bash detects itself, loads the script, and fills COMPREPLY as at a press of the Tab key."""
    program = tmp_path / "vmcoredd"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    program.chmod(0o755)
    typed = """
script=$(vmcoredd --show-completion) || exit
eval "$script"
COMP_WORDS=(vmcoredd emulate --card t62100-c) COMP_CWORD=3
function=$(complete -p vmcoredd | sed "s/.* -F \\([^ ]*\\) .*/\\1/")
$function vmcoredd
printf "%s\\n" "${COMPREPLY[@]}"
"""
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", typed],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("t62100-cr\n", "")


def test_the_help_names_the_two_options(vmcoredd: Run) -> None:
    shown = vmcoredd("--help").out
    assert "--install-completion" in shown
    assert "--show-completion" in shown
