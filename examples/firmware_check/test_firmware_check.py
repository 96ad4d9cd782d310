"""Tests of the script, each against a card that is served on a socket."""

import subprocess
import sys
from pathlib import Path

import firmware_check
import pytest

SCRIPT = Path(firmware_check.__file__)


def run(socket: Path) -> tuple[int, str]:
    """Runs the script; returns its exit code and what it printed."""
    command = [sys.executable, SCRIPT, socket]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", [pytest.param(c, marks=pytest.mark.vmcoredd(card=c)) for c in ("t520-cr", "t62100-cr")]
)
def test_the_firmware_of_a_healthy_card_runs(name: str, served_card: Path) -> None:
    assert run(served_card) == (0, "the firmware runs\n")


@pytest.mark.vmcoredd(faults=["firmware-crash"])
def test_a_crash_is_told(served_card: Path) -> None:
    assert run(served_card) == (1, "the firmware has stopped: crash\n")


@pytest.mark.vmcoredd(faults=["firmware-overheat"])
def test_the_reason_of_a_stop_is_told(served_card: Path) -> None:
    assert run(served_card) == (1, "the firmware has stopped: overheat\n")


@pytest.mark.vmcoredd(faults=["firmware-uninitialised"])
def test_firmware_that_no_driver_has_initialised_does_not_run(served_card: Path) -> None:
    assert run(served_card) == (1, "the firmware waits for a driver to initialise it\n")


def test_a_card_that_is_not_served_is_told(tmp_path: Path) -> None:
    code, said = run(tmp_path / "card.sock")
    assert (code, "card.sock" in said) == (2, True)


def test_the_scripts_numbers_are_the_cards(card) -> None:
    register = card.chip.r.PCIE_FW
    assert int(register) == firmware_check.PCIE_FW
    assert register.of(ERR=1, INIT=1, HALT=1) == 0xE000_0000


def test_the_script_only_reads(card, served_card: Path) -> None:
    before = card.accesses
    run(served_card)
    after = card.accesses
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"read4": 1}
