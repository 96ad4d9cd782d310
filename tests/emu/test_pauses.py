"""Pause frames: what a port without room counts, and its peer; and those that come from outside."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ramhost import RamHost
from rxdriver import RxDriver
from stations import Station, StreamPeer, frame
from txdriver import TxDriver, inline

from vmcoredd.chip.firmware import PortAction, PortCaps, PortInfo32, PortL1Config32
from vmcoredd.emu import Card, Scene, wires

PAUSES = bytes.fromhex("0180c2000001")
"""Where pause frames go (802.3, annex 31B)."""
ROOM = 14
"""Frames that the receiver has room for."""


@pytest.fixture(params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> Card:
    return Card.load(request.param, scene=Scene.FRESH)


def plugged(card: Card, *texts: str) -> Station:
    wires.plug(texts, {"": card})
    return Station(card)


def control(opcode: int, *, length: int = 60) -> bytes:
    """Returns a frame from one MAC to another, which asks for the longest pause."""
    head = PAUSES + b"\2\0\0\0\0\1" + struct.pack(">HHH", 0x8808, opcode, 0xFFFF)
    return head.ljust(60, b"\0")[:length]


def pauses(station: Station) -> list[tuple[int, int]]:
    """Returns the pause frames that each port has sent and received."""
    card = station.card
    return [
        (
            card.read(card.chip.r.MPS_PORT_STAT_TX_PORT_PAUSE_L[port], 8),
            card.read(card.chip.r.MPS_PORT_STAT_RX_PORT_PAUSE_L[port], 8),
        )
        for port in range(2)
    ]


def set_flow_control(station: Station, port: int, flow: int) -> None:
    """What `ethtool -A` does."""
    ask = PortInfo32(read=1, portid=port, action=PortAction.GET_PORT_INFO32)
    caps = station.mail.do(ask).acaps32 & ~int(PortCaps.FC_RX | PortCaps.FC_TX)
    action = PortAction.L1_CFG32
    station.mail.do(PortL1Config32(exec=1, portid=port, action=action, rcap32=caps | flow))


@pytest.mark.parametrize(
    ("sender", "receiver", "counted"),
    [
        (PortCaps.FC_RX, PortCaps.FC_TX, [(0, 1), (1, 0)]),
        (PortCaps.FC_TX, PortCaps.FC_TX, [(0, 0), (1, 0)]),
        (PortCaps.FC_RX, PortCaps.FC_RX, [(0, 0), (0, 0)]),
        (0, 0, [(0, 0), (0, 0)]),
    ],
    ids=["as agreed", "not obeyed", "not sent", "none"],
)
def test_a_port_without_room_pauses_its_peer_once_for_a_frame(
    card: Card, sender: int, receiver: int, counted: list[tuple[int, int]]
) -> None:
    """Without flow control the frame waits as well: nothing is lost."""
    station = plugged(card, "0=1").up(0, 1)
    set_flow_control(station, 0, sender)
    set_flow_control(station, 1, receiver)
    host = RamHost(card.core)
    queue, driver = TxDriver(host), RxDriver(host, entries=ROOM + 1, units=9)
    driver.refill()
    station.receive_all(1, driver)
    queue.post(*[inline(frame(60, n)) for n in range(ROOM)])
    station.engine.run()
    assert pauses(station) == [(0, 0), (0, 0)]
    queue.post(inline(frame(60, ROOM)))
    for _ in range(10):
        station.engine.run()
    assert pauses(station) == counted
    got = driver.poll()
    driver.gts(len(got))
    station.engine.run()
    got += driver.poll()
    assert [each.frame[2:] for each in got] == [frame(60, n) for n in range(ROOM + 1)]
    assert pauses(station) == counted
    assert station.counters(1, "RX")["FRAMES"] == station.counters(0, "TX")["FRAMES"] == ROOM + 1


def test_each_frame_that_waits_is_a_pause(card: Card) -> None:
    station = plugged(card, "0=1").up(0, 1)
    host = RamHost(card.core)
    queue, driver = TxDriver(host), RxDriver(host, entries=2)
    driver.refill()
    station.receive_all(1, driver)
    queue.post(*[inline(frame(60, n)) for n in range(3)])
    station.engine.run()
    driver.gts(len(driver.poll()))
    station.engine.run()
    station.engine.run()
    assert pauses(station) == [(0, 2), (2, 0)]


def test_flow_control_is_in_a_snapshot(card: Card) -> None:
    station = plugged(card, "0=1").up(0, 1)
    set_flow_control(station, 1, PortCaps.FC_RX)
    snapshot = card.snapshot()
    set_flow_control(station, 1, PortCaps.FC_TX)
    card.restore(snapshot)
    port = station.c.ports[1]
    assert (port.sends_pauses, port.obeys_pauses) == (0, 1)


def test_a_pause_from_outside_is_counted_and_stays_in_the_mac(card: Card, tmp_path: Path) -> None:
    """Other requests to the MAC are for nobody else, either; what is sent on does not wait."""
    station = plugged(card, f"0=stream:{tmp_path}/w").up(0)
    driver = RxDriver(RamHost(card.core))
    driver.refill()
    station.receive_all(0, driver)
    peer = StreamPeer.to(tmp_path / "w")
    peer.send(control(1), control(0x0101), control(1, length=15), control(1, length=16), frame(60))
    assert station.run(lambda: station.counters(0, "RX"))
    assert [got.frame[2:] for got in driver.poll()] == [frame(60)]
    assert station.counters(0, "RX")["FRAMES"] == 1
    assert pauses(station)[0] == (0, 2)
    station.send(0, frame(60, 1))
    assert station.run(lambda: peer.receive() == [frame(60, 1)])


def test_a_port_that_is_off_counts_no_pause(card: Card) -> None:
    station = plugged(card, "0=1").up(0, 1)
    assert station.offer(0, control(1))
    assert pauses(station)[1] == (0, 1)
    station.down(1)
    station.offer(0, control(1))
    assert pauses(station)[1] == (0, 1)
