"""Checksums and VLAN tags that the card puts into frames."""

from __future__ import annotations

import struct

import pytest
from frames import MAC, PEER, TCP, UDP, ethernet, ipv4, ipv6, tcp, total, udp
from rxdriver import VIID, Rig
from txdriver import Outlet, TxDriver, headers, inline, listed, make, padded, request, tx_pkt

from vmcoredd.chip.message_layouts import EthTxPkt, EthTxPkts, EthTxPktVm, Immediate, UlpTxPkt
from vmcoredd.chip.messages import (
    OtherRequest,
    ScatterGather,
    TxChecksum,
    UlpTx,
    WorkRequest,
)


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    return Outlet(rig)


@pytest.fixture
def driver(rig: Rig) -> TxDriver:
    return TxDriver(rig.host)


def send(rig: Rig, outlet: Outlet, driver: TxDriver, data: bytes, **fields: int) -> bytes:
    """Sends a frame; returns what comes out."""
    driver.post(listed(driver, [data[:33], data[33:]], **fields))
    rig.run()
    (got,) = outlet.frames()
    return got


def chip(rig: Rig) -> int:
    return rig.core.spaces.chip.version


# As a stack hands frames over: the checksum field holds the sum of the pseudo header or anything.
JUNK = b"\xa5\x5a"
PACKETS = {
    TxChecksum.TCPIP: (0x0800, ipv4, TCP, tcp, 16, 20),
    TxChecksum.UDPIP: (0x0800, ipv4, UDP, udp, 6, 20),
    TxChecksum.TCPIP6: (0x86DD, ipv6, TCP, tcp, 16, 40),
    TxChecksum.UDPIP6: (0x86DD, ipv6, UDP, udp, 6, 40),
}
"""Of each type: EtherType, IP and transport of a packet, its checksum's offset, its IP header."""


@pytest.mark.parametrize("kind", PACKETS)
@pytest.mark.parametrize("length", [50, 51, 1400])
@pytest.mark.parametrize("tag", [None, 9], ids=["", "tagged"])
@pytest.mark.parametrize("options", [0, 8], ids=["", "options"])
def test_a_transport_checksum_is_filled_in(
    rig: Rig, outlet: Outlet, driver: TxDriver, kind: TxChecksum, length: int, tag: int | None,
    options: int,
) -> None:  # fmt: skip
    ethertype, ip, protocol, transport, at, ip_header = PACKETS[kind]
    segment = transport(bytes(range(50)) * (length // 50) + bytes(length % 50))
    extra = {"options": b"\1" * options} if ip is ipv4 else {}
    ip_header += options if ip is ipv4 else 0
    right = ethernet(ip(segment, protocol, **extra), ethertype, tag=tag)
    place = (14 if tag is None else 18) + ip_header + at
    sent = right[:place] + JUNK + right[place + 2 :]
    lengths = headers(chip(rig), 14 if tag is None else 18, ip_header)
    got = send(rig, outlet, driver, sent, l4csum_dis=0, csum_type=kind, **lengths)
    assert got == right


def test_a_datagram_whose_sum_is_0_says_ffff(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    packet = ipv4(udp(b"\0\0"), UDP)
    value = struct.unpack_from(">H", packet, 26)[0]
    payload = struct.pack(">H", value)  # makes the sum 0xffff: its complement is 0
    right = ethernet(ipv4(udp(payload), UDP), 0x0800)
    assert right[40:42] == b"\xff\xff"
    lengths = headers(chip(rig), 14, 20)
    fields = {"l4csum_dis": 0, "csum_type": TxChecksum.UDPIP} | lengths
    got = send(rig, outlet, driver, right[:40] + JUNK + right[42:], **fields)
    assert got[: len(right)] == right


def test_padding_behind_the_packet_is_not_summed_up(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    right = ethernet(ipv4(udp(b"12345"), UDP), 0x0800) + b"padding that is no part of it"
    sent = right[:40] + JUNK + right[42:]
    fields = {"l4csum_dis": 0, "csum_type": TxChecksum.UDPIP} | headers(chip(rig), 14, 20)
    assert send(rig, outlet, driver, sent, **fields) == right


@pytest.mark.parametrize("kind", [TxChecksum.TCPIP, TxChecksum.IP])
def test_the_ip_header_is_summed_up_if_asked(
    rig: Rig, outlet: Outlet, driver: TxDriver, kind: TxChecksum
) -> None:
    right = ethernet(ipv4(tcp(b"x" * 40), TCP), 0x0800)
    sent = right[:24] + JUNK + right[26:]
    fields = {"ipcsum_dis": 0, "csum_type": kind} | headers(chip(rig), 14, 20)
    assert send(rig, outlet, driver, sent, **fields) == right
    assert send(rig, outlet, driver, sent, **(fields | {"ipcsum_dis": 1})) == sent


@pytest.mark.parametrize("bytes_behind", [0, 8, 19, 20])
def test_the_ip_header_of_a_short_packet_is_summed_up(
    rig: Rig, outlet: Outlet, driver: TxDriver, bytes_behind: int
) -> None:
    """What is behind it need not be TCP or UDP."""
    packet = ipv4(bytes(bytes_behind), 1)
    junk = packet[:10] + JUNK + packet[12:]
    fields = headers(chip(rig), 14, 20)
    got = send(
        rig, outlet, driver, ethernet(junk, 0x0800), ipcsum_dis=0, csum_type=TxChecksum.IP, **fields
    )
    assert total(got[14:34]) == 0xFFFF


def test_what_is_disabled_is_not_touched(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    sent = bytearray(ethernet(ipv4(tcp(b"x" * 40), TCP), 0x0800))
    sent[24:26] = sent[50:52] = JUNK
    lengths = headers(chip(rig), 14, 20)
    for kind in TxChecksum:
        assert send(rig, outlet, driver, bytes(sent), csum_type=kind, **lengths) == sent


@pytest.mark.parametrize("kind", [TxChecksum.TCP, TxChecksum.UDP])
def test_the_bytes_that_a_request_names_are_summed_up(
    rig: Rig, outlet: Outlet, driver: TxDriver, kind: TxChecksum
) -> None:
    sent = bytearray(ethernet(bytes(range(100))))
    sent[60:62] = pseudo = b"\x12\x34"
    sum_ = total(bytes(sent[20:-7]))
    got = send(
        rig, outlet, driver, bytes(sent), l4csum_dis=0, csum_type=kind, csum_start=20,
        csum_loc=60, csum_end=7,
    )  # fmt: skip
    assert pseudo == bytes(sent[60:62])
    sent[60:62] = struct.pack(">H", ~sum_ & 0xFFFF)
    assert got == sent


OUTSIDE = {
    "headers beyond the frame": {"csum_type": TxChecksum.TCPIP, "ip": 900},
    "no ip header": {"csum_type": TxChecksum.TCPIP, "ip": 0},
    "no ip6 header": {"csum_type": TxChecksum.UDPIP6, "ip": 20},
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_checksum_that_has_no_place_is_left_out(
    rig: Rig, outlet: Outlet, driver: TxDriver, name: str
) -> None:
    fields = dict(OUTSIDE[name])
    lengths = headers(chip(rig), 14, fields.pop("ip"))
    sent = ethernet(bytes(range(100)))
    assert send(rig, outlet, driver, sent, l4csum_dis=0, **fields, **lengths) == sent


@pytest.mark.parametrize(("start", "place", "end"), [(200, 60, 0), (20, 113, 0), (20, 60, 200)])
def test_a_range_outside_the_frame_is_left_out(
    rig: Rig, outlet: Outlet, driver: TxDriver, start: int, place: int, end: int
) -> None:
    sent = ethernet(bytes(range(100)))
    got = send(
        rig, outlet, driver, sent, l4csum_dis=0, csum_type=TxChecksum.TCP, csum_start=start,
        csum_loc=place, csum_end=end,
    )  # fmt: skip
    assert got == sent


def test_a_tag_is_put_in_behind_the_addresses(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    sent = ethernet(b"payload" * 20)
    got = send(rig, outlet, driver, sent, vlan_vld=1, vlan=0xE123)
    assert got == ethernet(b"payload" * 20, tag=0xE123)
    assert send(rig, outlet, driver, sent, vlan_vld=0, vlan=0xE123) == sent


def test_a_tag_comes_with_a_checksum(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    right = ethernet(ipv4(tcp(b"x" * 40), TCP), 0x0800, tag=5)
    sent = ethernet(ipv4(tcp(b"x" * 40), TCP, check=False), 0x0800)
    fields = {"l4csum_dis": 0, "csum_type": TxChecksum.TCPIP} | headers(chip(rig), 14, 20)
    assert send(rig, outlet, driver, sent, vlan_vld=1, vlan=5, **fields) == right


# Other work requests


def frame(n: int, length: int = 80) -> bytes:
    return MAC + PEER + b"\x88\xb5" + bytes([n]) * (length - 14)


def test_a_work_request_of_a_virtual_function_has_its_cpl_behind_the_ethernet_header(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    cpl = tx_pkt(80)
    body = bytes(16) + cpl + driver.sgl([frame(1)])
    whole = request(body, immediate=len(cpl), op=WorkRequest.ETH_TX_PKT_VM)
    assert len(make(EthTxPktVm)) == len(make(EthTxPkt)) + 16
    driver.post(whole)
    rig.run()
    assert outlet.frames() == [frame(1)]


def test_a_frame_with_a_time_stamp_leaves(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    cpl = tx_pkt(80, tstamp=1)
    driver.post(request(cpl + frame(1), immediate=96, op=WorkRequest.PTP_TX_PKT))
    rig.run()
    assert outlet.frames() == [frame(1)]


def several(op: int, kind: int, packets: list[bytes], count: int | None = None) -> bytes:
    header = {"op": op, "npkt": len(packets) if count is None else count, "type": kind}
    body = b"".join(packets)
    if op == OtherRequest.ETH_TX_PKTS_VM:
        body = bytes(16) + body
    units = (len(make(EthTxPkts)) + len(body)) // 16
    return make(EthTxPkts, **header, len16=units) + body


def bare(driver: TxDriver, data: bytes) -> bytes:
    return tx_pkt(len(data)) + driver.sgl([data])


def wrapped(driver: TxDriver, parts: list[bytes]) -> bytes:
    cpl = tx_pkt(len(b"".join(parts)))
    inner = make(Immediate, cmd=ScatterGather.IMM, more=1, len=len(cpl)) + cpl
    inner = padded(make(UlpTxPkt) + inner + driver.sgl(parts))
    return make(UlpTxPkt, cmd=UlpTx.PKT, len=len(inner) // 16) + inner[8:]


KINDS = [
    (OtherRequest.ETH_TX_PKTS, 1), (OtherRequest.ETH_TX_PKTS2, 1), (OtherRequest.ETH_TX_PKTS_VM, 0)
]  # fmt: skip


@pytest.mark.parametrize(("op", "kind"), KINDS)
def test_a_work_request_may_have_several_frames(
    rig: Rig, outlet: Outlet, driver: TxDriver, op: int, kind: int
) -> None:
    driver.post(several(op, kind, [bare(driver, frame(n)) for n in range(15)]))
    rig.run()
    assert outlet.frames() == [frame(n) for n in range(15)]
    assert driver.cidx == driver.pidx


def test_each_of_several_frames_may_be_in_several_pieces(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    packets = [wrapped(driver, [frame(n)[i::n] for i in range(n)]) for n in range(1, 6)]
    driver.post(several(OtherRequest.ETH_TX_PKTS, 0, packets))
    rig.run()
    want = [b"".join(frame(n)[i::n] for i in range(n)) for n in range(1, 6)]
    assert outlet.frames() == want


def test_several_frames_are_sent_once_each_though_the_wire_is_full(
    rig: Rig, driver: TxDriver
) -> None:
    outlet = Outlet(rig, room=1 << 13)
    packets = [bare(driver, frame(n, 1000)) for n in range(30)]
    driver.post(several(OtherRequest.ETH_TX_PKTS, 1, packets))
    got: list[bytes] = []
    runs = 0
    while driver.cidx != driver.pidx:
        rig.run(1_000_000)
        runs += 1
        got += outlet.frames()
    assert got == [frame(n, 1000) for n in range(30)]
    assert runs > 1


@pytest.mark.parametrize("count", [0, 3])
def test_a_wrong_number_of_frames_halts_the_queue(
    rig: Rig, outlet: Outlet, driver: TxDriver, count: int
) -> None:
    packets = [bare(driver, frame(n)) for n in range(2)]
    driver.post(several(OtherRequest.ETH_TX_PKTS, 1, packets, count))
    rig.run()
    assert driver.halted
    assert [each.kind.name for each in rig.troubles] == ["WORK_REQUEST"]


def test_a_request_to_flush_does_nothing_but_complete(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    driver.post(request(b"", immediate=0, op=OtherRequest.EQ_FLUSH, equeq=1), inline(frame(1)))
    rig.run()
    assert outlet.frames() == [frame(1)]
    assert driver.status[1] == driver.pidx


def test_an_interface_that_may_not_send_does_not(rig: Rig, outlet: Outlet) -> None:
    driver = TxDriver(rig.host, interface=VIID)
    rig.interface(sends=0)
    driver.post(inline(frame(1)))
    rig.run()
    assert (outlet.frames(), rig.c.counts.frames_dropped) == ([], 1)
    assert driver.status[1] == driver.pidx
    rig.interface(sends=1)
    driver.post(inline(frame(2)))
    rig.run()
    assert outlet.frames() == [frame(2)]
