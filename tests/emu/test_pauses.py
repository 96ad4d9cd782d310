"""Pause frames: what a port without room counts or sends, and what its peer makes of them."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ramhost import RamHost
from readable import readable
from rxdriver import RxDriver
from stations import Station, StreamPeer, frame
from txdriver import TxDriver, inline

from vmcoredd.chip.firmware import PortAction, PortCaps, PortInfo32, PortL1Config32
from vmcoredd.emu import Card, Scene, wires

PAUSES = bytes.fromhex("0180c2000001")
"""Where pause frames go (802.3, annex 31B)."""
ROOM = 14
"""Frames that the receiver has room for."""
QUANTUM = 512
"""Bit times (802.3, annex 31B)."""
LONGEST = 0xFFFF
FOREVER = 3600 * 10**9
FRAMES = 100
BOTH = int(PortCaps.FC_RX | PortCaps.FC_TX)


@pytest.fixture(params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> Card:
    return Card.load(request.param, scene=Scene.FRESH)


def plugged(card: Card, *texts: str) -> Station:
    wires.plug(texts, {"": card})
    return Station(card)


def control(
    opcode: int,
    quanta: int = LONGEST,
    *,
    to: bytes = PAUSES,
    source: bytes = b"\2\0\0\0\0\1",
    length: int = 60,
) -> bytes:
    """Returns a frame from one MAC to another."""
    head = to + source + struct.pack(">HHH", 0x8808, opcode, quanta)
    return head.ljust(60, b"\0")[:length]


def pause_by(card: Card, quanta: int) -> bytes:
    """Returns the pause frame of a card's port 0."""
    return control(1, quanta, source=card.scenario.identity.mac(0))


def lasting(card: Card, quanta: int) -> int:
    """Nanoseconds: a bit takes one at 1 Gb/s."""
    return quanta * QUANTUM // card.profile.ports.speed


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
    """Other requests to the MAC are for nobody else, either. A pause without a time ends."""
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


# On a wire that leaves the card


class Starved:
    """A card whose port 0, at a stream, has room for one frame; the time is the test's."""

    def __init__(self, card: Card, path: Path, flow: int = BOTH) -> None:
        self.card, self.now = card, time.monotonic_ns()
        self.station = plugged(card, f"0=stream:{path}").up(0)
        self.host = RamHost(card.core)
        self.driver = RxDriver(self.host, entries=2)
        self.driver.refill()
        set_flow_control(self.station, 0, flow)
        self.station.receive_all(0, self.driver)
        self.peer = StreamPeer.to(path)
        self.run()
        self.peer.receive()

    def run(self, nanoseconds: int = 1) -> list[bytes]:
        """Lets time pass and the engine run; returns what the peer got."""
        self.now += nanoseconds
        self.station.engine.run(self.now)
        return self.peer.receive()

    def take(self) -> list[bytes]:
        """The driver takes a frame, which makes room for the next."""
        (got,) = self.driver.poll()
        self.driver.gts(1)
        return [got.frame[2:]]


@pytest.fixture
def starved(card: Card, tmp_path: Path) -> Starved:
    return Starved(card, tmp_path / "w")


def test_a_port_without_room_pauses_the_peer_on_its_wire_until_it_has_room(
    starved: Starved, card: Card
) -> None:
    starved.peer.send(*[frame(60, n) for n in range(3)])
    assert starved.run() == [pause_by(card, LONGEST)]
    got = starved.take()
    assert starved.run() == []  # another frame waits
    got += starved.take()
    assert starved.run() == [pause_by(card, 0)]
    got += starved.take()
    assert starved.run() == []
    assert got == [frame(60, n) for n in range(3)]
    assert pauses(starved.station)[0] == (2, 0)
    assert starved.station.counters(0, "TX") == {}


def test_a_pause_goes_on_as_long_as_a_frame_waits(starved: Starved, card: Card) -> None:
    half = lasting(card, LONGEST) // 2
    starved.peer.send(frame(60), frame(60))
    assert starved.run() == [pause_by(card, LONGEST)]
    assert starved.run(half - 1) == []
    assert starved.run(1) == [pause_by(card, LONGEST)]
    assert readable([starved.station.c.work_fd], 2.0)  # long before patience ends
    assert starved.run(half) == [pause_by(card, LONGEST)]


def test_a_queue_that_is_given_up_pauses_nobody(starved: Starved, card: Card) -> None:
    starved.peer.send(*[frame(60)] * 3)
    starved.run()
    assert starved.run(5 * 10**9) == [pause_by(card, 0)]
    starved.peer.send(*[frame(60)] * 3)
    assert starved.run(10**9) == []


@pytest.mark.parametrize("flow", [PortCaps.FC_RX, 0], ids=["receives", "none"])
def test_without_flow_control_a_port_pauses_nobody(card: Card, tmp_path: Path, flow: int) -> None:
    starved = Starved(card, tmp_path / "w", int(flow))
    starved.peer.send(frame(60, 0), frame(60, 1))
    assert starved.run() == []
    assert starved.take() == [frame(60, 0)]
    assert starved.run() == []
    assert starved.take() == [frame(60, 1)]


def test_flow_control_that_ends_lets_the_peer_go_on(starved: Starved, card: Card) -> None:
    starved.peer.send(frame(60), frame(60))
    starved.run()
    set_flow_control(starved.station, 0, 0)
    assert starved.run() == [pause_by(card, 0)]
    assert starved.run(FOREVER) == []


def test_no_pause_stands_behind_what_the_socket_has_no_room_for(
    starved: Starved, card: Card
) -> None:
    """The peer reads nothing, so it would hear of it late."""
    station, wire = starved.station, starved.station.c.ports[0].wire
    while wire.outbox_start == wire.outbox_end:
        station.send(0, frame(1514))
    starved.peer.send(frame(60), frame(60))
    station.engine.run(starved.now)
    assert pauses(station)[0] == (0, 0)
    half = lasting(card, LONGEST) // 2
    assert pause_by(card, LONGEST) not in starved.run() + starved.run(half)  # frames before it
    assert starved.run(half) == [pause_by(card, LONGEST)]


def test_a_dump_pauses_nobody(starved: Starved, card: Card) -> None:
    """The counters are as they were when it began, and nobody is woken in vain."""
    starved.peer.send(frame(60), frame(60))
    starved.run()
    starved.station.engine.hold_outside(held=True)
    starved.run()
    assert starved.run(FOREVER) == []
    assert pauses(starved.station)[0] == (1, 0)
    assert not readable([starved.station.c.work_fd], 0)
    starved.station.engine.hold_outside(held=False)
    assert starved.run() == [pause_by(card, LONGEST)]


def test_pauses_are_captured(starved: Starved, card: Card, tmp_path: Path) -> None:
    wires.capture([f"0={tmp_path}/c"], {"": card})
    starved.peer.send(frame(60), frame(60), control(1, 7))
    starved.run()
    starved.take()
    starved.run()
    captured = (tmp_path / "c").read_bytes()
    for sent in (pause_by(card, LONGEST), control(1, 7), pause_by(card, 0)):
        assert captured.count(sent) == 1


@pytest.mark.parametrize("quanta", [1, LONGEST])
def test_a_port_that_is_paused_sends_nothing_for_so_long(
    starved: Starved, card: Card, quanta: int
) -> None:
    starved.peer.send(control(1, quanta))
    starved.run()
    assert not starved.station.offer(0, frame(60))
    assert starved.run(lasting(card, quanta) - 1) == []
    assert not starved.station.offer(0, frame(60))
    starved.run(1)
    assert starved.station.offer(0, frame(60))
    assert starved.run() == [frame(60)]
    assert starved.station.counters(0, "TX")["FRAMES"] == 1


def test_a_paused_queue_goes_on_by_itself(starved: Starved, card: Card) -> None:
    queue = TxDriver(starved.host)
    starved.peer.send(control(1))
    starved.run()
    queue.post(inline(frame(60)))
    assert starved.run() == []
    assert not starved.station.c.pending  # it sleeps until the pause ends
    assert readable([starved.station.c.work_fd], 10.0)
    assert starved.run(lasting(card, LONGEST)) == [frame(60)]


def test_a_pause_of_no_time_ends_it(starved: Starved) -> None:
    queue = TxDriver(starved.host)
    starved.peer.send(control(1))
    starved.run()
    queue.post(inline(frame(60)))
    assert starved.run() == []
    starved.peer.send(control(1, 0))
    assert starved.run() == [frame(60)]


def test_a_pause_is_for_all_ports_or_for_this_one(starved: Starved, card: Card) -> None:
    starved.peer.send(control(1, to=b"\2\0\0\0\0\2"), control(1, to=b"\xff" * 6))
    starved.run()
    assert pauses(starved.station)[0] == (0, 0)
    assert starved.station.offer(0, frame(60))
    starved.peer.send(control(1, to=card.scenario.identity.mac(0)))
    starved.run()
    assert pauses(starved.station)[0] == (0, 1)
    assert not starved.station.offer(0, frame(60))


@pytest.mark.parametrize("flow", [PortCaps.FC_TX, 0], ids=["sends", "none"])
def test_without_flow_control_a_pause_is_only_counted(
    card: Card, tmp_path: Path, flow: int
) -> None:
    starved = Starved(card, tmp_path / "w", int(flow))
    starved.peer.send(control(1))
    starved.run()
    assert starved.station.offer(0, frame(60))
    assert pauses(starved.station)[0] == (0, 1)


def test_a_new_connection_is_not_paused(starved: Starved, tmp_path: Path) -> None:
    second = 10**9
    starved.peer.send(control(1))
    starved.run()
    starved.peer.socket.shutdown(socket.SHUT_WR)
    starved.run()
    starved.run(second)  # it listens again
    starved.peer = StreamPeer.to(tmp_path / "w")
    starved.run(-second)  # the pause has not passed
    assert starved.station.link(0)
    assert starved.station.offer(0, frame(60))


def by_stream(cards: dict[str, Card], folder: Path) -> list[str]:
    return [f"{name}.0=stream:{folder}/w" for name in cards]


def by_datagrams(cards: dict[str, Card], folder: Path) -> list[str]:
    a, b = (f"{folder}/{name}" for name in cards)
    return [f"a.0=dgram:{a},{b}", f"b.0=dgram:{b},{a}"]


def by_cards(cards: dict[str, Card], folder: Path) -> list[str]:
    return ["a.0=b.0"]


@pytest.mark.parametrize("joined", [by_stream, by_datagrams, by_cards])
def test_two_cards_count_the_same_pauses_and_lose_nothing(
    joined: Callable[[dict[str, Card], Path], list[str]], tmp_path: Path
) -> None:
    cards = {name: Card.load("t62100-cr", scene=Scene.FRESH) for name in "ab"}
    wires.plug(joined(cards, tmp_path), cards)
    sender, receiver = (Station(each).up(0) for each in cards.values())
    queue = TxDriver(RamHost(sender.card.core), entries=1024)
    driver = RxDriver(RamHost(receiver.card.core), entries=9)
    driver.refill()
    receiver.receive_all(0, driver)
    got: list[bytes] = []

    def step() -> bool:
        receiver.engine.run()
        responses = driver.poll()
        got.extend(each.frame[2:] for each in responses)
        driver.gts(len(responses))
        return len(got) == FRAMES

    assert receiver.run(lambda: (sender.engine.run(), sender.link(0))[1])
    assert sender.run(lambda: receiver.link(0))
    queue.post(*[inline(frame(60, n)) for n in range(FRAMES)])
    assert sender.run(step)
    assert got == [frame(60, n) for n in range(FRAMES)]
    assert receiver.run(lambda: not receiver.c.ports[0].wire.pauses)
    sent, received = pauses(receiver)[0]
    assert sent > 1
    assert received == 0
    assert sender.run(lambda: pauses(sender)[0] == (0, sent))


def test_a_drivers_own_pause_frame_holds_the_other_port(card: Card) -> None:
    """It is a frame like any other for the port that sends it."""
    station = plugged(card, "0=1").up(0, 1)
    assert station.offer(0, control(1))
    assert not station.offer(1, frame(60))
    assert station.offer(0, control(1, 0))
    assert station.offer(1, frame(60))
