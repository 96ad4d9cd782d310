"""Two guests, each with a card of another process: wires of sockets join them.

One has a T6 and takes MSI-X, the other has a T5 and, with `pci=nomsi`, one line for all interrupts.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cliruns import emulated, ready
from recorded import statistics
from stock import pings

from vmcoredd.qemu.guest import Adapter, Guest
from vmcoredd.qemu.prepare import Options, Prepared
from vmcoredd.qemu.root import Root, find_root

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="boots two guests: VMCOREDD_THOROUGH=1, make test-long",
    ),
]
BOOT, DRIVER, COMMAND = 120.0, 300.0, 60.0
STREAM, DGRAM = "eth0", "eth1"
"""The interfaces, by the wire of their port."""
NUMBERS = {STREAM: 1, DGRAM: 2}
FLOOD = 4000
"""Requests, of which a socket sends as many as more than fill a queue."""
CARRIER = (
    "tries=100; until [ $(cat /sys/class/net/{name}/carrier) = {state} ]; "
    "do tries=$((tries - 1)); [ $tries -gt 0 ] || exit 1; sleep 0.1; done"
)
PAUSED = (
    "until [ $(ethtool -S {name} | sed -n 's/.*rx_pause_frames *: //p') -gt {count} ]; "
    "do sleep 0.05; done"
)


@dataclass(frozen=True)
class Side:
    """A guest, its number (the last one of its addresses), and the process of its card."""

    guest: Guest
    number: int
    emulator: subprocess.Popen[str]

    def run(self, command: str) -> str:
        """Runs a line of shell. Raises CommandFailed."""
        return self.guest.run(command, COMMAND).output

    def up(self, name: str) -> None:
        """Brings an interface up, with an address."""
        self.run(f"ip addr add 10.9.{NUMBERS[name]}.{self.number}/24 dev {name}")
        self.run(f"ip link set {name} up")

    def wait(self, name: str, state: int) -> None:
        """Waits until an interface has a carrier, or none."""
        self.run(CARRIER.format(name=name, state=state))

    def counters(self, name: str) -> dict[str, int]:
        """Returns what `ethtool -S` says."""
        return statistics(self.run(f"ethtool -S {name}"))

    def reach(self, name: str, other: Side) -> None:
        """Pings the other end of a wire, and has checked load on it."""
        address = f"10.9.{NUMBERS[name]}.{other.number}"
        self.run(pings(address, 5))
        said = self.run(f"traffic send {address} 7007 2 2 2")
        assert len(re.findall(r"(?m)^(?:tcp|udp) \d: sent [1-9]", said)) == 4


@contextlib.contextmanager
def guest(
    prepared: Prepared,
    root: Root,
    folder: Path,
    number: int,
    card: str,
    wires: list[str],
    arguments: str,
) -> Iterator[Side]:
    """A guest with the card, which another process serves, and both interfaces up."""
    folder.mkdir()
    socket, log = folder / "card.sock", folder / "emulate.log"
    words = ["--card", card, "--scene", "fresh", "--socket", socket]
    for wire in wires:
        words += ["--wire", wire]
    options = Options(crashkernel="", memory="1536M", kernel_arguments=arguments, root=root)
    with log.open("w") as errors, emulated(*words, stderr=errors) as emulator:
        ready(emulator)
        adapter = Adapter(socket, emulator.pid, log)
        with prepared.guest(options, folder, folder / "console", [adapter]) as running:
            running.wait_for_kernel("first", BOOT)
            running.run("load-driver --plain", DRIVER)
            side = Side(running, number, emulator)
            for name in NUMBERS:
                side.up(name)
            side.run("traffic serve 7007")
            yield side


@pytest.fixture(scope="module")
def sides(
    prepared: Prepared, tmp_path_factory: pytest.TempPathFactory, progress
) -> Iterator[list[Side]]:
    root = find_root(progress=progress)
    folder = tmp_path_factory.mktemp("sides")
    one, two = folder / "one", folder / "two"
    stream = f"0=stream:{folder}/stream"
    ends = (
        f"1=dgram:{folder}/one.dgram,{folder}/two.dgram",
        f"1=dgram:{folder}/two.dgram,{folder}/one.dgram",
    )
    with (
        guest(prepared, root, one, 1, "t62100-cr", [stream, ends[0]], "") as first,
        guest(prepared, root, two, 2, "t520-cr", [stream, ends[1]], "pci=nomsi") as second,
    ):
        for side in (first, second):
            for name in NUMBERS:
                side.wait(name, 1)
        yield [first, second]


@pytest.mark.parametrize("way", [(0, 1), (1, 0)], ids=["to the T5", "to the T6"])
@pytest.mark.parametrize("name", NUMBERS, ids=["stream", "dgram"])
def test_ping_and_tcp_reach_the_other_guest(
    sides: list[Side], name: str, way: tuple[int, int]
) -> None:
    near, far = (sides[place] for place in way)
    near.reach(name, far)


def test_without_msi_one_line_interrupts_for_all_frames(sides: list[Side]) -> None:
    with_msi, without = (side.run("grep eth /proc/interrupts") for side in sides)
    assert "PCI-MSIX" in with_msi or "PCI-MSI" in with_msi
    (line,) = without.splitlines()
    assert "IO-APIC" in line
    assert sum(map(int, re.findall(r" (\d+)(?= )", line))) > 100


@contextlib.contextmanager
def standing_still(side: Side) -> Iterator[None]:
    """Stops a guest, but not its card, which soon has no room for frames."""
    os.kill(side.guest.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(side.guest.pid, signal.SIGCONT)


@pytest.mark.parametrize("name", NUMBERS, ids=["stream", "dgram"])
def test_a_guest_that_stands_still_pauses_the_other(sides: list[Side], name: str) -> None:
    """Both count the same pauses, and no frame is lost."""
    far, near = sides  # the T6 stands still
    address = f"10.9.{NUMBERS[name]}.{far.number}"
    near.reach(name, far)
    sent, received = near.counters(name), far.counters(name)
    with standing_still(far):
        near.run(f"(ping -q -c {FLOOD} -l {FLOOD} -s 1000 -w 20 {address} >/dev/null 2>&1 &)")
        near.run(PAUSED.format(name=name, count=sent["rx_pause_frames"] + 10))
    near.reach(name, far)
    first, there, last = near.counters(name), far.counters(name), near.counters(name)
    paused = there["tx_pause_frames"] - received["tx_pause_frames"]
    assert last["rx_pause_frames"] - sent["rx_pause_frames"] == paused > 10
    least, most = (end["tx_frames_ok"] - sent["tx_frames_ok"] for end in (first, last))
    assert 1000 < least <= there["rx_frames_ok"] - received["rx_frames_ok"] <= most
    for now, before in ((last, sent), (there, received)):
        assert not any(now[each] - before[each] for each in now if "drop" in each)


def test_the_link_follows_the_other_guests_interface(sides: list[Side]) -> None:
    near, far = sides
    far.run(f"ip link set {STREAM} down")
    near.wait(STREAM, 0)
    assert near.run(f"cat /sys/class/net/{DGRAM}/carrier") == "1\n"
    far.run(f"ip link set {STREAM} up")
    near.wait(STREAM, 1)
    far.wait(STREAM, 1)
    near.reach(STREAM, far)


def test_the_link_goes_with_the_other_cards_process(sides: list[Side]) -> None:
    """The last test: the other guest has lost its card."""
    near, far = sides
    far.emulator.kill()
    near.wait(STREAM, 0)
    assert near.run(f"cat /sys/class/net/{DGRAM}/carrier") == "1\n"
