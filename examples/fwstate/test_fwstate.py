"""Tests of the kernel module, in a guest that has a card: built, loaded, and the card broken."""

import re
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.vmcoredd(card="t520-cr"),
    pytest.mark.vmcoredd_needs("headers"),  # the fixture guest needs the rest
]
BIND = "echo {address} >/sys/bus/pci/drivers/fwstate/{how}"


@pytest.fixture(scope="module")
def loaded(guest):
    """The guest, with the module loaded."""
    guest.run(f"insmod {guest.build_module(Path(__file__).parent)}")
    return guest


def state(guest) -> str:
    """Returns what the driver shows."""
    return guest.run(f"cat /sys/bus/pci/devices/{guest.address}/firmware").output.strip()


def bind(guest, how: str) -> int:
    """Binds or unbinds the driver; returns the exit code."""
    return guest.run(BIND.format(address=guest.address, how=how), check=False).code


def test_the_firmware_of_a_healthy_card_is_alive(loaded) -> None:
    assert state(loaded) == "alive"


def test_a_card_whose_firmware_stops_is_shown_and_refused(loaded) -> None:
    loaded.card.fail("firmware-crash")
    assert state(loaded) == "stopped"
    assert bind(loaded, "unbind") == 0
    assert bind(loaded, "bind") != 0
    assert re.search(r"fwstate.* failed with error -5", loaded.run("dmesg").output)
