"""Statistics: registers, commands and a dump show what the ports have counted."""

from __future__ import annotations

import pytest
from emumail import Mailbox
from ramhost import RamHost
from rxdriver import RxDriver
from stations import Station, frame

from vmcoredd.chip.firmware import PortLbStats, PortStats, Retval, ViStats
from vmcoredd.chip.pci import PF
from vmcoredd.emu import Card, Scene, wires

FCS = 4
MULTICAST, UNICAST = b"\x01\0\x5e\0\0\x01", b"\x02\0\0\0\0\x07"


@pytest.fixture(params=["t520-cr", "t62100-cr"])
def busy(request: pytest.FixtureRequest) -> Station:
    """A card that has sent three frames from port 0 to port 1, and one to itself."""
    card = Card.load(request.param, scene=Scene.FRESH)
    wires.plug(["0=1"], {"": card})
    station = Station(card).up(0, 1)
    driver = RxDriver(RamHost(card.core))
    driver.post(4)
    station.receive_all(1, driver)
    station.send(0, frame(60), frame(100, destination=MULTICAST))
    station.offer(0, frame(200, destination=UNICAST))
    station.offer(0, frame(31), loopback=True)
    return station


def port(mail: Mailbox, number: int, *, tx: int, ix: int, nstats: int = 6) -> list[int]:
    command = PortStats(read=1, portid=number, tx=tx, ix=ix, nstats=nstats)
    return list(mail.do(command).stat)


def test_firmware_reads_a_ports_counters(busy: Station) -> None:
    total = 60 + 100 + 200 + 3 * FCS
    assert port(busy.mail, 0, tx=1, ix=0) == [total, 3, 1, 1, 1, 0]
    assert port(busy.mail, 0, tx=1, ix=6, nstats=3) == [1, 1, 1, 0, 0, 0]
    assert port(busy.mail, 1, tx=0, ix=0, nstats=5) == [total, 3, 1, 1, 1, 0]
    assert port(busy.mail, 1, tx=0, ix=10) == [1, 1, 1, 0, 0, 0]
    assert port(busy.mail, 0, tx=0, ix=0) == [0] * 6


def test_firmware_reads_the_counters_of_a_ports_loopback(busy: Station) -> None:
    assert list(busy.mail.do(PortLbStats(read=1, nstats=6)).stat) == [35, 1, 1, 0, 0, 0]
    assert list(busy.mail.do(PortLbStats(read=1, ix=13, nstats=1)).stat) == [0] * 6


def function(busy: Station, ix: int) -> list[int]:
    viid = busy.interfaces[0]
    return list(busy.mail.do(ViStats(read=1, viid=viid, ix=ix, nstats=6)).stat)


def test_firmware_reads_a_functions_counters(busy: Station) -> None:
    assert function(busy, 0) == [64, 1, 104, 1, 204, 1]
    assert function(busy, 6) == [0, 0, 372, 3, 64, 1]
    assert busy.card.read(busy.card.chip.r.MPS_PF_STAT_RX_PF_FRAMES_L[PF]) == 3


@pytest.mark.parametrize(
    "command",
    [
        PortStats(read=1, portid=2, tx=1, nstats=1),
        PortStats(read=1, tx=1, ix=18, nstats=6),
        PortStats(read=1, ix=63, nstats=1),
        PortStats(read=1, nstats=7),
        PortLbStats(read=1, lbport=9, nstats=1),
        PortLbStats(read=1, ix=9, nstats=6),
        ViStats(read=1, viid=0x123, nstats=1),
    ],
)
def test_counters_that_are_not_there_are_refused(
    mail: Mailbox, command: PortStats | PortLbStats | ViStats
) -> None:
    assert mail.call(command).retval == Retval.EINVAL


def test_counters_begin_where_the_scene_left_them() -> None:
    card = Card.load("t62100-cr", seed=3)
    station = Station(card)
    sent = card.scenario.traffic.ports[0].sent
    assert station.counters(0, "TX")["FRAMES"] == sent.frames
    station.send(0, frame(60))
    counted = station.counters(0, "TX")
    assert counted["FRAMES"] == sent.frames + 1
    assert sum(counted[name] for name in ("BCAST", "MCAST", "UCAST")) == sent.frames + 1
