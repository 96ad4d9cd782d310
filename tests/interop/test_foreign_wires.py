"""Wires whose other end we did not write: QEMU's network back ends, the kernel's tap, tcpdump."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from arp import answered, request
from cliruns import ROOT
from ramhost import RamHost
from rxdriver import RxDriver
from stations import PATIENCE, Station, StreamPeer, frame

from vmcoredd import debs
from vmcoredd.emu import Card, Scene, wires
from vmcoredd.qemu.program import Qemu, find_qemu

pytestmark = pytest.mark.interop
US, GATEWAY = "10.0.2.15", "10.0.2.2"  # of QEMU's user network


@pytest.fixture(scope="module")
def qemu(progress: Callable[[str, float | None], None]) -> Qemu:
    return find_qemu(progress)


@contextmanager
def user_network(qemu: Qemu, netdev: str) -> Iterator[subprocess.Popen[bytes]]:
    """A QEMU without a machine that connects `netdev`, called w, with its user network."""
    words = [*qemu.command, "-nodefaults", "-no-user-config", "-display", "none", "-M", "none"]
    for text in (
        netdev,
        "user,id=u",
        "hubport,id=a,hubid=0,netdev=w",
        "hubport,id=b,hubid=0,netdev=u",
    ):
        words += ["-netdev", text]
    with subprocess.Popen(words) as process:
        try:
            yield process
        finally:
            process.kill()


class Receiver(Station):
    """A card whose port 0 receives everything."""

    def __init__(self, name: str, *texts: str, entries: int = 31) -> None:
        super().__init__(Card.load(name, scene=Scene.FRESH))
        wires.plug(texts, {"": self.card})
        self.driver = RxDriver(RamHost(self.card.core), entries=entries)
        self.driver.post(8)
        self.start()

    def start(self) -> None:
        """Brings the port up."""
        self.up(0)
        self.receive_all(0, self.driver)

    def answered(self) -> bool:
        """Whether the gateway's reply is among what has arrived."""
        frames = [each.frame[2:] for each in self.driver.poll()]
        return any(answered(data) == GATEWAY for data in frames)


def ask_the_gateway(card: Receiver) -> None:
    """The user network answers, and both directions are counted."""
    card.send(0, request(US, GATEWAY))
    assert card.run(card.answered)
    sent, received = card.counters(0, "TX"), card.counters(0, "RX")
    assert sent["64B"] == sent["BCAST"] == sent["FRAMES"]
    assert received["UCAST"] == sent["FRAMES"]


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
def test_qemu_connects_to_a_stream(qemu: Qemu, tmp_path: Path, name: str) -> None:
    path = tmp_path / "w"
    card = Receiver(name, f"0=stream:{path}")
    assert not card.link(0)
    netdev = f"stream,id=w,server=off,addr.type=unix,addr.path={path}"
    with user_network(qemu, netdev) as process:
        assert card.run(lambda: card.link(0))
        ask_the_gateway(card)
        process.kill()
        assert card.run(lambda: not card.link(0))


def test_a_stream_connects_to_qemu(qemu: Qemu, tmp_path: Path) -> None:
    path = tmp_path / "w"
    card = Receiver("t62100-cr", f"0=stream:{path}")
    netdev = f"stream,id=w,server=on,addr.type=unix,addr.path={path}"
    with user_network(qemu, netdev):
        assert card.run(lambda: card.link(0))
        ask_the_gateway(card)
        card.down(0)
        assert not card.link(0)
        card.start()
        assert card.run(lambda: card.link(0))
        ask_the_gateway(card)


def test_datagrams_reach_qemu(qemu: Qemu, tmp_path: Path) -> None:
    card = Receiver("t62100-cr", f"0=dgram:{tmp_path}/a,{tmp_path}/b")
    ends = f"local.path={tmp_path}/b,remote.type=unix,remote.path={tmp_path}/a"
    with user_network(qemu, f"dgram,id=w,local.type=unix,{ends}"):
        assert card.run((tmp_path / "b").exists)
        ask_the_gateway(card)


def is_paused(card: Receiver) -> bool:
    """Whether the card's port 0 has paused its peer."""
    return bool(card.c.ports[0].wire.pauses)


def test_qemu_does_not_care_for_pauses_and_loses_nothing(qemu: Qemu, tmp_path: Path) -> None:
    """Three replies, and room for one."""
    card = Receiver("t62100-cr", f"0=stream:{tmp_path}/w", entries=2)
    netdev = f"stream,id=w,server=off,addr.type=unix,addr.path={tmp_path}/w"
    with user_network(qemu, netdev):
        assert card.run(lambda: card.link(0))
        card.send(0, *[request(US, GATEWAY)] * 3)
        assert card.run(lambda: is_paused(card))
        for _ in range(3):
            assert card.run(card.answered)
            card.driver.gts(1)
        assert card.run(lambda: not is_paused(card))
    sent = card.card.read(card.card.chip.r.MPS_PORT_STAT_TX_PORT_PAUSE_L[0], 8)
    assert sent >= 2
    assert card.counters(0, "TX")["FRAMES"] == card.counters(0, "RX")["UCAST"] == 3


def test_what_is_said_of_qemu_is_qemus_grammar(qemu: Qemu, tmp_path: Path) -> None:
    odd = f"0=stream:{tmp_path}/w, x"
    card = Receiver("t62100-cr", odd)
    option, netdev = wires.parse(odd).qemu
    assert option == "-netdev"
    with user_network(qemu, netdev.replace("id=n0", "id=w")):
        assert card.run(lambda: card.link(0))
        ask_the_gateway(card)


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="this machine has no /dev/net/tun")
def test_the_kernel_answers_on_a_tap() -> None:
    """And it gets the pauses of a port that has no room for the next reply."""
    words = [sys.executable, "-m", "tests.support.tap_station"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    reply, *paused = (bytes.fromhex(line) for line in done.stdout.splitlines())
    assert answered(reply) == "192.0.2.2"
    pause = bytes.fromhex("0180c2000001") + paused[0][6:12] + bytes.fromhex("88080001")
    assert [data[:18] for data in paused] == [pause + b"\xff\xff", pause + b"\0\0"]


@pytest.fixture(scope="module")
def tcpdump(progress: Callable[[str, float | None], None]) -> list[str]:
    root = debs.binaries(["tcpdump"], suites=["trixie"], name="tcpdump", progress=progress)
    return debs.command(root, "usr/bin/tcpdump")


def read_with(tcpdump: list[str], path: Path, *options: str) -> list[str]:
    """What tcpdump prints of a capture, a line for each frame."""
    words = [*tcpdump, "-Z", "root", "-n", "-r", str(path), *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith("\t")]  # without data


def test_tcpdump_reads_a_capture(tcpdump: list[str], tmp_path: Path) -> None:
    card = Card.load("t62100-cr", scene=Scene.FRESH)
    wires.plug(["0=1"], {"": card})
    files = [tmp_path / f"port{port}.pcapng" for port in (0, 1)]
    wires.capture([f"{port}={path}" for port, path in enumerate(files)], {"": card})
    one = Station(card).up(0, 1)
    one.send(0, request(US, GATEWAY), *(frame(n, n) for n in (60, 61, 62, 63, 1514)))
    for path in files:
        lines = read_with(tcpdump, path)
        assert len(lines) == 6
        assert f"Request who-has {GATEWAY} tell {US}" in lines[0]
    assert [
        line for line in read_with(tcpdump, files[1], "-e", "greater 1514") if "length 1514" in line
    ]


def test_tcpdump_knows_the_pauses_of_a_port(tcpdump: list[str], tmp_path: Path) -> None:
    card = Receiver("t62100-cr", f"0=stream:{tmp_path}/w", entries=2)
    wires.capture([f"0={tmp_path}/c"], {"": card.card})
    peer = StreamPeer.to(tmp_path / "w")
    peer.send(frame(60), frame(60))
    assert card.run(lambda: is_paused(card))
    card.driver.gts(len(card.driver.poll()))
    assert card.run(lambda: not is_paused(card))
    lines = read_with(tcpdump, tmp_path / "c", "-e", "ether proto 0x8808")
    assert len(lines) >= 2
    mac = card.card.scenario.identity.mac(0).hex(":")
    for line in lines:
        assert f"{mac} > 01:80:c2:00:00:01, ethertype MPCP (0x8808), length 60" in line
        assert "Opcode Pause" in line
