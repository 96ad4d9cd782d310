"""Wires: what a port sends arrives at the other end, and the link follows the peer."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ramhost import RamHost
from readable import readable
from rxdriver import RxDriver
from stations import PATIENCE, Station, StreamPeer, frame

from vmcoredd.emu import Card, Scene, Snapshot, wires
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.engine import WireKind
from vmcoredd.emu.wires import Medium, WireError

NAMES = ("t520-cr", "t62100-cr")
FCS = 4


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[Card, Snapshot]]:
    """Two fresh cards."""
    cards = {name: Card.load(name, scene=Scene.FRESH) for name in NAMES}
    return {name: (card, card.snapshot()) for name, card in cards.items()}


@pytest.fixture
def cards(made: dict[str, tuple[Card, Snapshot]]) -> Iterator[dict[str, Card]]:
    """The cards `a`, a T5, and `b`, a T6, as they were, without wires."""
    for card, snapshot in made.values():
        card.restore(snapshot)
    yield {name: card for name, (card, _) in zip("ab", made.values(), strict=True)}
    for card, _ in made.values():
        wires.plug(["0=idle", "1=idle"], {"": card})


@pytest.fixture(params=["a", "b"])
def card(request: pytest.FixtureRequest, cards: dict[str, Card]) -> Card:
    return cards[request.param]


def plug(card: Card, *texts: str) -> Station:
    """Gives the ports of a card wires; they are down."""
    wires.plug(texts, {"": card})
    return Station(card)


# What is typed


@pytest.mark.parametrize(
    ("text", "medium", "says"),
    [
        ("0=1", Medium.PORT, "port 0: port 1"),
        ("a.0=b.1", Medium.PORT, "port a.0: port b.1"),
        ("0=open", Medium.OPEN, "port 0: no cable"),
        ("1=stream:/w", Medium.STREAM, "port 1: stream socket /w"),
        ("1=dgram:/w", Medium.DGRAM, "datagrams from /w to where the last one came from"),
        ("1=dgram:/w,/v", Medium.DGRAM, "datagrams from /w to /v"),
        ("1=tap:tap0", Medium.TAP, "port 1: tap interface tap0"),
    ],
)
def test_a_wire_is_described(text: str, medium: Medium, says: str) -> None:
    wire = wires.parse(text)
    assert wire.medium is medium
    assert says in str(wire)


@pytest.mark.parametrize(
    "text", ["", "0", "0=", "x=1", "0=x", "0=dgram:,/x", "0=stream:/" + "x" * 107, "0=1=2", "-1=0"]
)  # fmt: skip
def test_what_is_no_wire_is_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(WireError, match=r"type 0=1, 0=stream:|1 to 107 bytes"):
        wires.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0=0", "port 0 leads to itself"),
        ("a.0=a.0", "port a.0 leads to itself"),
        ("0=stream:", "needs a socket's path, as in 0=stream:/run/w.sock"),
        ("0=dgram:", "needs a socket's path, as in 0=dgram:/run/w.sock"),
        ("a.0=tap:", "needs an interface's name, as in a.0=tap:tap0"),
        ("0=stream:localhost:1234", "no TCP: name the path of a Unix socket"),
        ("0=dgram:/w,:1234", "no TCP"),
        ("0=dgram:/w,", "nothing follows the comma"),
        ("0=dgram:/w,/v/../w", "the same socket"),
        ("0=tap:" + "x" * 16, "1 to 15 bytes"),
        ("0=tap:a/b", "no slash"),
        ("0=tap:a\0b", "no NUL"),
        ("0=stream:/a\0b", "no NUL"),
        ("0=dgram:/a,/b\0", "no NUL"),
    ],
)
def test_a_wire_that_is_almost_right_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(WireError, match=why):
        wires.parse(text)


def test_qemus_words_for_the_other_end_hold_any_path() -> None:
    """A comma would begin QEMU's next option; a shell's quotes are for who prints the words."""
    assert wires.parse("0=stream:/a,b c").qemu == [
        "-netdev",
        "stream,id=n0,server=off,addr.type=unix,addr.path=/a,,b c,reconnect-ms=500",
    ]
    assert wires.parse("1=dgram:/a b,/c,d").qemu == [
        "-netdev",
        "dgram,id=n1,local.type=unix,local.path=/c,,d,remote.type=unix,remote.path=/a b",
    ]
    assert [wires.parse(text).qemu for text in ("0=dgram:/a", "0=tap:t", "0=1", "0=open")] == [
        []
    ] * 4


def test_a_socket_may_be_called_as_a_tcp_port_is() -> None:
    assert wires.parse("0=stream:./w:1").local == os.path.abspath("w:1")


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["0=2"], "no port 2; t520-cr has 0 to 1"),
        (["0=1", "1=open"], "port 1 has two wires"),
        (["a.0=1"], "no card is called a; type 0"),
        (["0=tap:no-such-tap"], "ip tuntap add dev no-such-tap mode tap"),
        (["0=stream:/no/such/folder/w"], "choose another folder"),
        (["0=stream:/etc/passwd"], "is not a socket"),
    ],
)
def test_a_wire_that_cannot_be_is_refused(
    cards: dict[str, Card], texts: list[str], why: str
) -> None:
    with pytest.raises(WireError, match=why):
        wires.plug(texts, {"": cards["a"]})


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("dgram:{}", "dgram:{}", "socket"),
        ("dgram:{},/v", "dgram:{},/u", "socket"),
        ("stream:{}", "dgram:{}", "socket"),
        ("tap:lo", "tap:lo", "interface"),
    ],
)
def test_two_wires_with_one_end_are_refused_with_what_to_do(
    cards: dict[str, Card], tmp_path: Path, first: str, second: str, what: str
) -> None:
    texts = [f"{port}={text}".format(tmp_path / "w") for port, text in ((0, first), (1, second))]
    why = rf"ports 0 and 1 both have the {what} .*give each its own, or join the ports: 0=1"
    with pytest.raises(WireError, match=why):
        wires.plug(texts, {"": cards["a"]})
    assert not list(tmp_path.iterdir())


def test_two_streams_at_one_socket_meet_there(cards: dict[str, Card], tmp_path: Path) -> None:
    station = plug(cards["a"], f"0=stream:{tmp_path / 'w'}", f"1=stream:{tmp_path / 'w'}")
    station.up(0, 1)
    assert station.run(until=lambda: station.link(0) and station.link(1))


def test_one_of_several_cards_is_named(cards: dict[str, Card]) -> None:
    with pytest.raises(WireError, match=r"port 0 of which card\? Type a\.0"):
        wires.plug(["0=1"], cards)
    with pytest.raises(WireError, match="no card is called c; there is a, b"):
        wires.plug(["a.0=c.0"], cards)


def test_a_socket_in_use_is_not_taken(cards: dict[str, Card], tmp_path: Path) -> None:
    path = tmp_path / "w"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as user:
        user.bind(str(path))
        with pytest.raises(WireError, match="somebody has this socket open; choose another path"):
            plug(cards["a"], f"0=dgram:{path}")
    plug(cards["a"], f"0=dgram:{path}")  # now it is stale


def test_every_port_leads_somewhere(cards: dict[str, Card]) -> None:
    made = wires.plug(["a.0=b.1", "b.0=open"], cards)
    assert [str(wire) for wire in wires.all_ports(made, cards)] == [
        "port a.0: port b.1",
        "port a.1: a peer that takes everything and sends nothing",
        "port b.0: no cable",
        "port b.1: port a.0",
    ]


# Ports of ours


def test_without_a_wire_a_port_is_up_and_its_frames_are_taken(card: Card) -> None:
    station = Station(card).up(0)
    assert station.link(0)
    station.send(0, frame(100))
    assert station.counters(0, "TX") == {"BYTES": 104, "FRAMES": 1, "BCAST": 1, "65B_127B": 1}
    assert station.counters(0, "RX") == {}


def test_without_a_cable_a_port_is_down(card: Card) -> None:
    station = plug(card, "1=open").up(0, 1)
    assert [station.link(port) for port in (0, 1)] == [True, False]


def test_what_one_port_sends_the_other_receives(card: Card) -> None:
    station = plug(card, "0=1").up(0, 1)
    multicast, unicast = b"\x01\0\x5e\0\0\x01", b"\x02\0\0\0\0\x07"
    lengths = (60, 61, 123, 124, 508, 1019, 1020, 1514, 1515)
    station.send(0, *(frame(n) for n in lengths))
    station.send(0, frame(14, destination=multicast), frame(9618, destination=unicast))
    sent = station.counters(0, "TX")
    assert sent == station.counters(1, "RX")
    assert sent == {
        "BYTES": sum(lengths) + 60 + 9618 + 11 * FCS,
        "FRAMES": 11,
        "BCAST": 9,
        "MCAST": 1,
        "UCAST": 1,
        "64B": 2,
        "65B_127B": 2,
        "128B_255B": 1,
        "512B_1023B": 2,
        "1024B_1518B": 2,
        "1519B_MAX": 2,
    }
    assert station.counters(1, "TX") == {}


def test_a_counter_carries_into_its_high_word(card: Card) -> None:
    station = Station(card).up(0)
    low = card.chip.r.MPS_PORT_STAT_TX_PORT_BYTES_L
    card.core.spaces.set(low, 0xFFFFFFFF)
    station.send(0, frame(60))
    assert station.counters(0, "TX")["BYTES"] == 0xFFFFFFFF + 64


def test_a_frame_for_the_port_itself_is_counted_apart(card: Card) -> None:
    station = Station(card).up(0)
    station.offer(0, frame(31), loopback=True)
    assert station.counters(0, "LB") == {"BYTES": 35, "FRAMES": 1, "BCAST": 1, "64B": 1}
    assert station.counters(0, "TX") == {}


def test_a_frame_that_nobody_has_queues_for_is_a_drop_of_its_buffer_group(card: Card) -> None:
    station = plug(card, "0=1").up(0, 1)
    station.send(0, frame(60), frame(60))
    assert card.read(card.chip.r.MPS_STAT_RX_BG_2_MAC_DROP_FRAME_L) == 2


def test_two_cards_exchange_frames_and_see_each_others_links(cards: dict[str, Card]) -> None:
    wires.plug(["a.0=b.1"], cards)
    a, b = Station(cards["a"]).up(0), Station(cards["b"])
    assert a.run(lambda: True)
    assert not a.link(0)
    b.up(1)
    assert a.run(lambda: a.link(0))
    assert b.run(lambda: b.link(1))
    a.send(0, *(frame(1514, n) for n in range(20)))
    assert b.run(lambda: b.counters(1, "RX").get("FRAMES") == 20)
    b.send(1, frame(60))
    assert a.run(lambda: a.counters(0, "RX").get("FRAMES") == 1)
    b.down(1)
    assert a.run(lambda: not a.link(0))


# Sockets


def test_a_stream_listens_while_its_port_is_on(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "w"
    station = plug(card, f"0=stream:{path}")
    assert not path.exists()
    station.up(0)
    assert not station.link(0)
    peer = StreamPeer.to(path)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert station.run(lambda: station.link(0))
    station.down(0)
    assert peer.gone
    assert not path.exists()
    station.up(0)
    again = StreamPeer.to(path)
    assert station.run(lambda: station.link(0))
    again.close()
    assert station.run(lambda: not station.link(0))


def test_a_stream_connects_to_who_listens(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "w"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        station = plug(card, f"0=stream:{path}").up(0)
        assert station.link(0)
        connection, _ = listener.accept()
        connection.close()
        assert station.run(lambda: not station.link(0))
        assert station.run(lambda: station.link(0))  # it comes again


def test_a_stream_finds_who_has_taken_its_place(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "w"
    station = plug(card, f"0=stream:{path}").up(0)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert station.run(lambda: station.link(0))


def test_streams_of_two_cards_meet(cards: dict[str, Card], tmp_path: Path) -> None:
    a = plug(cards["a"], f"0=stream:{tmp_path}/w").up(0)
    b = plug(cards["b"], f"0=stream:{tmp_path}/w").up(0)
    assert a.run(lambda: a.link(0))
    assert b.run(lambda: b.link(0))
    a.down(0)
    assert b.run(lambda: not b.link(0))
    a.up(0)
    assert a.run(lambda: (b.engine.run(), a.link(0))[1])
    assert b.link(0)


def test_a_second_peer_is_sent_away(card: Card, tmp_path: Path) -> None:
    station = plug(card, f"0=stream:{tmp_path}/w").up(0)
    first = StreamPeer.to(tmp_path / "w")
    assert station.run(lambda: station.link(0))
    second = StreamPeer.to(tmp_path / "w")
    assert station.run(lambda: second.gone)
    first.send(frame(60))
    assert station.run(lambda: station.counters(0, "RX"))


def test_a_peer_and_the_card_count_the_same(card: Card, tmp_path: Path) -> None:
    station = plug(card, f"0=stream:{tmp_path}/w").up(0)
    peer = StreamPeer.to(tmp_path / "w")
    assert station.run(lambda: station.link(0))
    frames = [frame(n, n) for n in range(60, 1514, 7)]
    station.send(0, *frames)
    assert peer.receive() == frames
    peer.send(*frames)
    expected = {"FRAMES": len(frames), "BYTES": sum(map(len, frames)) + FCS * len(frames)}
    assert station.run(lambda: station.counters(0, "RX").get("FRAMES") == len(frames))
    for direction in ("RX", "TX"):
        counted = station.counters(0, direction)
        assert {name: counted[name] for name in expected} == expected


def test_a_short_frame_from_outside_is_padded_and_an_impossible_one_counted(
    card: Card, tmp_path: Path
) -> None:
    station = plug(card, f"0=stream:{tmp_path}/w").up(0)
    peer = StreamPeer.to(tmp_path / "w")
    peer.send(frame(42), frame(13), frame(9619), frame(60))
    assert station.run(lambda: station.counters(0, "RX").get("FRAMES") == 2)
    assert station.counters(0, "RX")["64B"] == 2
    r = card.chip.r
    assert card.read(r.MPS_PORT_STAT_RX_PORT_LESS_64B_L[0]) == 1
    assert card.read(r.MPS_PORT_STAT_RX_PORT_MTU_ERROR_L[0]) == 1


@pytest.mark.parametrize("length", [0, 69633, 0xFFFFFFFF])
def test_a_peer_with_a_hostile_length_is_dropped(
    cards: dict[str, Card], tmp_path: Path, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    station = plug(cards["b"], f"0=stream:{tmp_path}/w").up(0)
    peer = StreamPeer.to(tmp_path / "w")
    peer.send(frame(60))
    peer.socket.sendall(struct.pack(">I", length) + bytes(100))
    assert station.run(lambda: peer.gone)
    assert "port 0: its wire fails: Protocol error" in caplog.text
    assert station.counters(0, "RX")["FRAMES"] == 1
    StreamPeer.to(tmp_path / "w").send(frame(60))
    assert station.run(lambda: station.counters(0, "RX")["FRAMES"] == 2)


def test_a_peer_that_does_not_read_stalls_and_loses_nothing(card: Card, tmp_path: Path) -> None:
    station = plug(card, f"0=stream:{tmp_path}/w").up(0)
    peer = StreamPeer.to(tmp_path / "w")
    assert station.run(lambda: station.link(0))
    frames = [frame(1514, n) for n in range(2000)]
    left, got = list(frames), list[bytes]()

    def send() -> bool:
        while left and station.offer(0, left[0]):
            del left[0]
        return not left

    assert not send()
    station.engine.run()
    assert not send()
    stalled = len(left)
    station.engine.run()
    assert not send()
    assert len(left) == stalled > 1000

    def receive() -> bool:
        got.extend(peer.receive())
        return send() and len(got) == len(frames)

    assert station.run(receive)
    assert got == frames


def test_frames_that_the_card_has_no_room_for_wait_on_their_wire(
    card: Card, tmp_path: Path
) -> None:
    station = plug(card, f"0=stream:{tmp_path}/w").up(0)
    host = RamHost(card.core)
    driver = RxDriver(host, units=40, entries=15)
    driver.post(39)
    station.receive_all(0, driver)
    peer = StreamPeer.to(tmp_path / "w")
    frames = [frame(1000, n) for n in range(100)]
    peer.send(*frames)
    got: list[bytes] = []
    assert station.run(lambda: station.c.counts.frames_held > 0)
    assert station.counters(0, "RX")["FRAMES"] == 14

    def poll() -> bool:
        responses = driver.poll()
        got.extend(each.frame[2:] for each in responses)
        driver.gts(len(responses))
        return len(got) == len(frames)

    assert station.run(poll)
    assert got == frames
    assert station.c.counts.frames_dropped == 0


def test_a_frame_that_is_too_long_is_counted_inside_the_card_too(card: Card) -> None:
    station = plug(card, "0=1").up(0, 1)
    station.send(0, frame(9618), frame(9619))
    assert station.counters(1, "RX")["FRAMES"] == 1
    where = card.chip.r["MPS_PORT_STAT_RX_PORT_MTU_ERROR_L"][1]
    assert card.read(where, 8) == 1


@pytest.mark.parametrize("kind", ["stream", "card"])
def test_a_peer_that_goes_while_its_frames_wait_is_noticed(
    card: Card, tmp_path: Path, kind: str
) -> None:
    if kind == "stream":
        station = plug(card, f"0=stream:{tmp_path}/w").up(0)
        peer = StreamPeer.to(tmp_path / "w").socket
        data = struct.pack(">I", 60) + frame(60)
    else:
        station = Station(card).up(0)
        ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        card.engine.plug(0, WireKind.CARD, fd=ours.detach())
        peer.send(b"\1")
        data = frame(60)
    driver = RxDriver(RamHost(card.core))
    station.receive_all(0, driver)
    peer.sendall(data)
    peer.sendall(data)
    assert station.run(lambda: station.c.counts.frames_held > 0)
    assert station.link(0)
    card.engine.hold_outside(held=True)
    peer.close()
    station.engine.run()
    station.engine.run()
    assert not readable([station.c.work_fd], 0)
    card.engine.hold_outside(held=False)
    assert station.run(lambda: not station.link(0))


def test_frames_from_outside_wait_while_they_are_held(card: Card, tmp_path: Path) -> None:
    station = plug(card, f"0=stream:{tmp_path}/w").up(0)
    peer = StreamPeer.to(tmp_path / "w")
    assert station.run(lambda: station.link(0))
    station.engine.hold_outside(held=True)
    station.engine.run()
    peer.send(frame(60), frame(60))
    station.engine.run()
    station.engine.run()
    assert station.counters(0, "RX") == {}
    assert not station.c.pending
    station.engine.hold_outside(held=False)
    assert station.run(lambda: station.counters(0, "RX").get("FRAMES") == 2)


def test_a_port_that_is_off_forgets_what_arrives(cards: dict[str, Card], tmp_path: Path) -> None:
    station = plug(cards["a"], f"0=dgram:{tmp_path}/a,{tmp_path}/b")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.sendto(frame(60), str(tmp_path / "a"))
        station.engine.run()
        station.up(0)
        peer.sendto(frame(61), str(tmp_path / "a"))
        assert station.run(lambda: station.counters(0, "RX"))
    assert station.counters(0, "RX")["BYTES"] == 65


def test_datagrams_go_to_the_other_socket(card: Card, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    station = plug(card, f"0=dgram:{near},{far}").up(0)
    assert station.link(0)
    station.send(0, frame(60))  # nobody is there
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(far))
        peer.settimeout(PATIENCE)
        station.send(0, frame(1514, 7))
        assert peer.recv(2000) == frame(1514, 7)
        peer.sendto(frame(99), str(near))
        assert station.run(lambda: station.counters(0, "RX"))
    assert station.counters(0, "RX")["BYTES"] == 99 + FCS


def test_a_datagram_tells_where_frames_go(card: Card, tmp_path: Path) -> None:
    station = plug(card, f"0=dgram:{tmp_path}/near").up(0)
    station.send(0, frame(60, 1))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(tmp_path / "far"))
        peer.settimeout(PATIENCE)
        peer.sendto(frame(60), str(tmp_path / "near"))
        assert station.run(lambda: station.counters(0, "RX"))
        station.send(0, frame(60, 2))
        assert peer.recv(2000) == frame(60, 2)


def test_datagrams_that_are_not_read_stall_and_are_not_lost(card: Card, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    station = plug(card, f"0=dgram:{near},{far}").up(0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(far))
        peer.settimeout(PATIENCE)
        sent = 0
        while station.offer(0, frame(60, sent)):
            sent += 1
        got = [peer.recv(2000) for _ in range(sent)]
        assert station.offer(0, frame(60, sent))
        got.append(peer.recv(2000))
    assert got == [frame(60, n) for n in range(sent + 1)]


def fill(station: Station, send: Callable[[bytes], bool]) -> int:
    """Sends frames until the peer's socket is full; returns how many it took."""
    for number in range(1 << 14):
        if not send(frame(1514, number)):
            return number
    raise AssertionError("the socket is never full")


@pytest.mark.parametrize("medium", ["stream", "dgram"])
def test_a_peer_that_never_reads_holds_its_sender_only_for_a_while(
    card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture, medium: str
) -> None:
    """Later it reads what it had taken, and gets frames again: none twice, none cut."""
    far = tmp_path / "far"
    text = f"0=stream:{far}" if medium == "stream" else f"0=dgram:{tmp_path}/near,{far}"
    kind = socket.SOCK_STREAM if medium == "stream" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_UNIX, kind) as bound:
        bound.bind(str(far))
        if medium == "stream":
            bound.listen()
        station = plug(card, text).up(0)
        peer = bound.accept()[0] if medium == "stream" else bound
        assert station.run(lambda: station.link(0))
        lost = card.chip.r.MPS_PORT_STAT_TX_PORT_DROP_L
        taken = fill(station, lambda data: station.offer(0, data))
        now, patience = station.c.now, lib.ENGINE_PATIENCE * 10**9
        station.engine.run(now + patience - 1)
        assert not station.offer(0, frame(1514, taken))
        assert station.c.retry <= now + patience
        station.engine.run(now + patience)
        assert [station.offer(0, frame(1514, n)) for n in range(taken, taken + 3)] == [True] * 3
        assert card.read(lost) == 3
        assert caplog.text.count("port 0: its wire fails: No buffer space available") == 1
        got = take(medium, peer, taken, station)
        assert got == [frame(1514, n) for n in range(taken)]
        station.send(0, frame(1514, 9999))
        assert take(medium, peer, 1, station) == [frame(1514, 9999)]
        assert card.read(lost) == 3
        assert station.counters(0, "TX")["FRAMES"] == taken + 1
        assert fill(station, lambda data: station.offer(0, data))  # it is waited for again
        assert card.read(lost) == 3
        peer.close()


def take(medium: str, peer: socket.socket, count: int, station: Station) -> list[bytes]:
    """Returns frames that a peer reads while the card runs."""
    if medium == "dgram":
        peer.settimeout(PATIENCE)
        return [peer.recv(2000) for _ in range(count)]
    stream, got = StreamPeer(peer), []

    def enough() -> bool:
        got.extend(stream.receive())
        return len(got) >= count

    assert station.run(enough)
    return got


def test_nothing_is_lost_to_a_peer_that_waits_for_a_dump(card: Card, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    station = plug(card, f"0=dgram:{near},{far}").up(0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(far))
        sent = fill(station, lambda data: station.offer(0, data))
        station.engine.hold_outside(held=True)
        later = station.c.now + 100 * lib.ENGINE_PATIENCE * 10**9
        station.engine.run(later)
        assert not station.offer(0, frame(1514, sent))
        station.engine.hold_outside(held=False)
        station.engine.run(later + 1)
        assert not station.offer(0, frame(1514, sent))  # its patience begins anew


def test_a_port_of_another_card_holds_its_sender_by_its_queue_alone(
    cards: dict[str, Card],
) -> None:
    wires.plug(["a.0=b.0"], cards)
    stations = [Station(card).up(0) for card in cards.values()]
    one, other = stations
    assert one.run(lambda: (other.engine.run(), one.link(0))[1])
    sent = fill(one, lambda data: one.offer(0, data))
    one.engine.run(one.c.now + 100 * lib.ENGINE_PATIENCE * 10**9)
    assert not one.offer(0, frame(1514, sent))


def test_a_card_leaves_no_socket_behind(tmp_path: Path) -> None:
    card = Card.load("t62100-cr", scene=Scene.FRESH)
    station = plug(card, f"0=stream:{tmp_path}/s", f"1=dgram:{tmp_path}/d").up(0, 1)
    assert sorted(os.listdir(tmp_path)) == ["d", "s"]
    card.engine.close()
    assert station.c.ports[0].wire.fd == -1
    assert os.listdir(tmp_path) == ["d"]
