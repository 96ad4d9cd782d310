"""A guest loses the servers of its cards: one that replies too late for QEMU, and one that dies.

Both are in one guest, which is of no use for anything else afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vmcoredd import emu
from vmcoredd.cli.exit_codes import Exit, failure_of
from vmcoredd.emu.control import Client, beside
from vmcoredd.qemu.errors import PeerDied
from vmcoredd.qemu.guest import Adapter, Guest
from vmcoredd.qemu.prepare import Options, Prepared, serve_cards

pytestmark = [pytest.mark.guest, pytest.mark.interop]
BOOT, DRIVER, COMMAND = 240.0, 300.0, 120.0
CARDS = ("t62100-cr", "t520-cr")
INTERFACES = ("eth0", "eth2")
"""Port 0 of each."""
TOO_LONG = "server-stalls=8000@read:PL_WHOAMI"
ALL_ONES = "0xFFFFFFFF"
READ = """
bar=$(head -n 1 /sys/class/net/{name}/device/resource | cut -d' ' -f1)
devmem $((bar + {register:#x})) 32
"""
READ_UNTIL_NOT_ANSWERED = (
    READ
    + f"""
until [ $(devmem $((bar + {{register:#x}})) 32) = {ALL_ONES} ]; do :; done
"""
)


@dataclass(frozen=True)
class Losing:
    """A guest whose driver runs, its cards, and QEMU's log."""

    guest: Guest
    cards: list[emu.Card]
    adapters: list[Adapter]
    log: Path

    def hand(self, place: int) -> Client:
        """The control socket of a card."""
        return Client(beside(self.adapters[place].socket), deadline=30)

    def says(self, script: str) -> str:
        """What a script prints, even if `Guest.run` would tell that a connection is lost."""
        share = self.guest.share
        (share / "script").write_text(script)
        self.guest.start("sh /share/script >/share/said.part 2>&1; mv /share/said.part /share/said")
        end = time.monotonic() + COMMAND
        while not (share / "said").exists():
            assert time.monotonic() < end, (share / "said.part").read_text()
            time.sleep(0.05)
        said = (share / "said").read_text()
        (share / "said").unlink()
        return said

    def run_until_told(self) -> None:
        """Runs commands, which say that a connection is lost once QEMU knows it."""
        for _ in range(100):
            self.guest.run("sleep 0.2", COMMAND)

    def reading(self, script: str, place: int) -> str:
        """Fills a script that reads PL_WHOAMI of a card."""
        register = int(self.cards[place].chip.r.PL_WHOAMI)
        return script.format(name=INTERFACES[place], register=register)

    def whoami(self, place: int) -> str:
        """What the guest reads from PL_WHOAMI of a card."""
        return self.says(self.reading(READ, place)).strip()


@pytest.fixture(scope="module")
def losing(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Losing]:
    folder = tmp_path_factory.mktemp("lost")
    (folder / "guest").mkdir()
    cards = [emu.Card.load(name, scene="fresh") for name in CARDS]
    options = Options(crashkernel="")
    with (
        serve_cards(cards, folder) as adapters,
        prepared.guest(options, folder / "guest", folder / "console", adapters) as guest,
    ):
        guest.wait_for_kernel("first", BOOT)
        guest.run("load-driver --plain", DRIVER)
        yield Losing(guest, cards, adapters, folder / "guest" / "qemu.log")


def test_a_server_that_replies_too_late_has_lost_its_guest_which_reads_all_ones(
    losing: Losing,
) -> None:
    """The read that waits for five seconds ends with all ones already."""
    with losing.hand(0) as hand:
        hand.ask("fault", on=[TOO_LONG])
        losing.guest.run(losing.reading(READ_UNTIL_NOT_ANSWERED, 0), COMMAND)
        assert "timed out waiting for reply" in losing.log.read_text()
        with pytest.raises(PeerDied, match="replied too late: QEMU waits five seconds") as lost:
            losing.run_until_told()
        assert hand.ask("fault")["faults"] == []
    failure = failure_of(lost.value)
    assert failure
    assert failure.code == Exit.FAILED
    assert losing.whoami(0) == ALL_ONES
    assert losing.whoami(1) != ALL_ONES


def test_the_driver_of_a_server_that_died_hears_that_the_firmware_has_crashed(
    losing: Losing,
) -> None:
    """Of all ones in PCIE_FW, one bit is ERR."""
    with losing.hand(1) as hand:
        hand.ask("fault", on=["server-dies"])
    assert losing.whoami(1) == ALL_ONES
    said = losing.says("dmesg -c >/dev/null; ip link set eth2 up; dmesg")
    assert "No such device or address" in said
    assert "Can't allocate queues, err=6" in said
    assert str(losing.adapters[1].socket) in losing.log.read_text()
