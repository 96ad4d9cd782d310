"""Packets that the card cuts into frames: TSO, USO, with tags."""

from __future__ import annotations

import random
import struct

import pytest
from frames import MAC, PEER, ipv4, ipv6, tcp, total, udp
from rxdriver import Rig
from txdriver import Outlet, TxDriver, lso, make, padded, tunnelled, tx_pkt, uso

from vmcoredd.chip import T5
from vmcoredd.chip.message_layouts import EthTxEo
from vmcoredd.chip.messages import TxSegments, WorkRequest

FIN, SYN, PSH, ACK, CWR = 0x01, 0x02, 0x08, 0x10, 0x80
TCP, UDP = 6, 17


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    return Outlet(rig)


@pytest.fixture
def driver(rig: Rig) -> TxDriver:
    return TxDriver(rig.host)


def payload(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def packet(segment: bytes, protocol: int, ip6: bool, options: int = 0) -> tuple[bytes, int]:
    """Returns a frame as a stack hands it over, without checksums, and its IP header's length."""
    if ip6:
        head, ip, kind = 40, ipv6(segment, protocol), 0x86DD
    else:
        head, kind = 20 + options, 0x0800
        ip = ipv4(segment, protocol, options=b"\1" * options)
    return MAC + PEER + struct.pack(">H", kind) + ip, head


class Segment:
    """A frame that has left, taken apart; a wrong checksum or length is an error."""

    def __init__(self, frame: bytes, tag: int | None = None) -> None:
        if tag is not None:
            assert frame[12:16] == struct.pack(">HH", 0x8100, tag)
            frame = frame[:12] + frame[16:]
        (kind,) = struct.unpack_from(">H", frame, 12)
        self.ip, self.six = frame[14:], kind == 0x86DD
        if self.six:
            (length,), self.protocol, at = struct.unpack_from(">H", self.ip, 4), self.ip[6], 40
            self._unpad(frame, 40 + length)
            addresses, self.id = self.ip[8:40], 0
        else:
            at = (self.ip[0] & 15) * 4
            length, self.id = struct.unpack_from(">HH", self.ip, 2)
            self._unpad(frame, length)
            assert total(self.ip[:at]) == 0xFFFF
            addresses, self.protocol = self.ip[12:20], self.ip[9]
        self.transport = self.ip[at:]
        pseudo = addresses + struct.pack(">II", len(self.transport), self.protocol)
        assert total(pseudo + self.transport) == 0xFFFF
        if self.protocol == TCP:
            _, _, self.sequence, _, offset, self.flags = struct.unpack_from(
                ">HHIIBB", self.transport
            )
            self.payload = self.transport[offset // 16 * 4 :]
        else:
            assert struct.unpack_from(">H", self.transport, 4)[0] == len(self.transport)
            self.payload = self.transport[8:]

    def _unpad(self, frame: bytes, length: int) -> None:
        """Only a frame of the least length has bytes behind its packet: the MAC's zeros."""
        assert len(self.ip) == length or (len(frame) <= 60 and not any(self.ip[length:]))
        self.ip = self.ip[:length]


@pytest.mark.parametrize("ip6", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("options", [0, 12], ids=["", "options"])
@pytest.mark.parametrize("tag", [None, 0x2003], ids=["untagged", "tagged"])
@pytest.mark.parametrize("length", [1, 1448, 1449, 65000])
def test_a_large_packet_leaves_as_tcp_segments(
    rig: Rig, outlet: Outlet, driver: TxDriver, ip6: int, options: int, tag: int | None,
    length: int,
) -> None:  # fmt: skip
    data, mss = payload(length), 1448
    segment = tcp(data, FIN | PSH | ACK | CWR)
    frame, ip = packet(segment, TCP, bool(ip6), 0 if ip6 else options)
    parts = [frame[:30], frame[30:100], frame[100:]]
    vlan = {} if tag is None else {"vlan_vld": 1, "vlan": tag}
    driver.post(lso(driver, parts, mss=mss, ip=ip, ip6=ip6, **vlan))
    rig.run()
    segments = [Segment(each, tag) for each in outlet.frames()]
    assert b"".join(each.payload for each in segments) == data
    count = len(segments)
    assert [len(each.payload) for each in segments[:-1]] == [mss] * (count - 1)
    assert [each.sequence - segments[0].sequence for each in segments] == [
        n * mss for n in range(count)
    ]
    assert [each.id for each in segments] == [0 if ip6 else 7 + n for n in range(count)]
    assert [bool(each.flags & CWR) for each in segments] == [True] + [False] * (count - 1)
    last = [bool(each.flags & (FIN | PSH)) for each in segments]
    assert last == [False] * (count - 1) + [True]
    assert all(each.flags & ACK for each in segments)
    assert rig.troubles == []


@pytest.mark.parametrize("ip6", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("length", [1, 1000, 1001, 30000])
def test_a_large_datagram_leaves_as_several(
    rig: Rig, outlet: Outlet, driver: TxDriver, ip6: int, length: int
) -> None:
    data = payload(length)
    frame, ip = packet(udp(data), UDP, bool(ip6))
    head = 14 + ip + 8
    driver.post(uso(driver, frame[:head], [frame[head:]], mss=1000, ip=ip, ip6=ip6))
    rig.run()
    segments = [Segment(each) for each in outlet.frames()]
    assert b"".join(each.payload for each in segments) == data
    assert {len(each.payload) for each in segments[:-1]} <= {1000}


def test_tcp_is_cut_the_same_with_its_headers_in_the_work_request(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    data = payload(5000)
    frame, ip = packet(tcp(data, PSH | ACK), TCP, False)
    head = 14 + ip + 20
    driver.post(
        uso(
            driver, frame[:head], [frame[head:]], mss=1000, ip=ip, transport=20,
            kind=TxSegments.TCPSEG,
        )
    )  # fmt: skip
    rig.run()
    segments = [Segment(each) for each in outlet.frames()]
    assert [each.payload for each in segments] == [data[n : n + 1000] for n in range(0, 5000, 1000)]


def test_the_headers_may_have_a_tag_of_their_own(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    data = payload(3000)
    frame, ip = packet(tcp(data), TCP, False)
    tagged = frame[:12] + struct.pack(">HH", 0x8100, 7) + frame[12:]
    driver.post(lso(driver, [tagged], mss=1448, ip=ip, ethernet=18))
    rig.run()
    assert b"".join(Segment(each, 7).payload for each in outlet.frames()) == data


def test_segments_that_a_peer_cannot_take_yet_are_sent_later_and_once(
    rig: Rig, driver: TxDriver
) -> None:
    outlet = Outlet(rig, room=1 << 14)
    data = [payload(60000 + n) for n in range(8)]
    for each in data:
        frame, ip = packet(tcp(each), TCP, False)
        driver.post(lso(driver, [frame], mss=1000, ip=ip))
    got: list[bytes] = []
    held = 0
    while driver.cidx != driver.pidx or not got:
        rig.run(1_000_000)
        held += rig.c.egress[driver.number].held
        got += [Segment(each).payload for each in outlet.frames()]
    assert b"".join(got) == b"".join(data)
    assert held


def test_a_packet_of_the_longest_length_is_sent_in_many_turns(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    frame, ip = packet(tcp(payload(3000), ACK), TCP, False)
    driver.post(lso(driver, [frame], mss=1, ip=ip))
    sent = []
    runs = 0
    while driver.cidx != driver.pidx:
        runs += 1
        assert rig.c.pending or runs == 1
        rig.run(1_000_000)
        sent += outlet.frames()
        assert len(sent) <= 64 * runs
    assert len(sent) == 3000


SENSELESS = {
    "mss of 0": {"mss": 0},
    "ip header of 16 bytes": {"ip": 16},
    "ip6 header of 20 bytes": {"ip6": 1},
    "tcp header of 16 bytes": {"tcp": 16},
    "headers longer than the packet": {"ip": 1024},
}


@pytest.mark.parametrize("name", SENSELESS)
def test_a_packet_that_cannot_be_cut_halts_its_queue(
    rig: Rig, outlet: Outlet, driver: TxDriver, name: str
) -> None:
    frame, ip = packet(tcp(payload(500)), TCP, False)
    options = {"mss": 100, "ip": ip} | SENSELESS[name]
    driver.post(lso(driver, [frame], **options))
    rig.run()
    assert driver.halted
    assert [each.kind.name for each in rig.troubles] == ["WORK_REQUEST"]
    assert outlet.frames() == []


@pytest.mark.parametrize("kind", list(TxSegments))
@pytest.mark.parametrize("data", [b"", b"a packet"], ids=["headers alone", "payload"])
def test_what_fits_a_segment_leaves_as_it_is(
    rig: Rig, outlet: Outlet, driver: TxDriver, kind: TxSegments, data: bytes
) -> None:
    """A queue of a traffic class (mqprio) sends all in ETH_TX_EO (sge.c, write_eo_wr()): what is
    neither TCP nor UDP comes as TCP, with any length of its header and an MSS of 0xffff."""
    head = MAC + PEER + b"\x86\xdd" + bytes(60)
    cpl = tx_pkt(len(head + data))
    body = cpl + padded(head) + (driver.sgl([data]) if data else b"")
    fixed = {
        "op": WorkRequest.ETH_TX_EO, "immdlen": len(cpl + head), "type": kind, "ethlen": 14,
        "iplen": 40, "udplen": 8 if kind == TxSegments.UDPSEG else 252,
        "mss": len(data) if kind == TxSegments.UDPSEG else 0xFFFF, "plen": len(data),
        "len16": len(padded(make(EthTxEo) + body)) // 16,
    }  # fmt: skip
    driver.post(padded(make(EthTxEo, **fixed) + body))
    rig.run()
    assert outlet.frames() == [head + data]
    assert rig.troubles == []


# Inside a tunnel


def inside(outer6: bool, inner: bytes) -> bytes:
    """Returns a frame of VXLAN with another frame in it."""
    vxlan = struct.pack(">II", 0x08000000, 5 << 8)
    datagram = udp(vxlan + inner, ports=(50000, 4789))
    frame, _ = packet(datagram, UDP, outer6)
    return frame


@pytest.mark.parametrize("outer6", [False, True], ids=["over ipv4", "over ipv6"])
@pytest.mark.parametrize("inner6", [False, True], ids=["ipv4", "ipv6"])
def test_a_t6_cuts_what_is_inside_a_tunnel_and_a_t5_does_not(
    rig: Rig, outlet: Outlet, driver: TxDriver, outer6: bool, inner6: bool
) -> None:
    data = payload(5000)
    inner, ip = packet(tcp(data, PSH | ACK), TCP, inner6)
    frame = inside(outer6, inner)
    start = len(frame) - len(inner)
    more = {"ipv6out": 1, "iphdrlenout": 10, "iphdrchkout": 0, "ipidincout": 0} if outer6 else {}
    driver.post(
        tunnelled(
            driver, [frame[:100], frame[100:]], mss=1000, tnlhdrlen=start, iphdrlen=ip // 4,
            ipv6=int(inner6), **more,
        )
    )  # fmt: skip
    rig.run()
    if rig.core.spaces.chip is T5:
        assert [each.kind.name for each in rig.troubles] == ["WORK_REQUEST"]
        return
    frames = outlet.frames()
    assert len(frames) == 5
    assert b"".join(Segment(each[start:]).payload for each in frames) == data
    for n, each in enumerate(frames):
        at = 14 + (40 if outer6 else 20)
        length, checksum = struct.unpack_from(">HH", each, at + 4)
        assert (length, checksum) == (len(each) - at, 0)
        if outer6:
            assert struct.unpack_from(">H", each, 18)[0] == len(each) - 54
        else:
            assert struct.unpack_from(">HH", each, 16) == (len(each) - 14, 7 + n)
            assert total(each[14:34]) == 0xFFFF


@pytest.mark.parametrize("tunnel", [{"iphdrlenout": 4}, {"tnlhdrlen": 41}, {"tnlhdrlen": 600}])
def test_a_tunnel_whose_headers_do_not_fit_halts_the_queue(
    rig: Rig, outlet: Outlet, driver: TxDriver, tunnel: dict[str, int]
) -> None:
    inner, _ = packet(tcp(payload(500)), TCP, False)
    driver.post(tunnelled(driver, [inside(False, inner)], mss=100, **tunnel))
    rig.run()
    assert driver.halted
    assert outlet.frames() == []


def test_a_packet_that_is_changed_while_it_is_being_sent_halts_its_queue(
    rig: Rig, driver: TxDriver
) -> None:
    outlet = Outlet(rig, room=1 << 13)
    frame, ip = packet(tcp(payload(60000)), TCP, False)
    driver.post(lso(driver, [frame], mss=1000, ip=ip))
    rig.run()
    assert rig.c.egress[driver.number].progress > 1000
    driver.pidx = 0
    driver.write(lso(driver, [frame[:1000]], mss=1000, ip=ip))
    outlet.frames()
    rig.run(1_000_000)
    assert driver.halted
    assert [each.kind.name for each in rig.troubles] == ["WORK_REQUEST"]
