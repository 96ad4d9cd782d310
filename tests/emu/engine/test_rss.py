"""Which queue of an interface gets a frame, and the hash that chooses it."""

from __future__ import annotations

import pytest
from frames import BROADCAST, TCP, UDP, ethernet, ipv4, ipv6, tcp, udp
from rxdriver import DONE, Got, Rig, RxDriver

KEY = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)
VERIFICATION = [
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x323E8FC2, 0x51CCC178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xD718262A, 0xC626B0EA),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0xD2D0A5DE, 0x5C2B394A),
    ("38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xAFC7327F),
    ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2CC18CD5, 0x40207D3D),
    ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0F0C461C, 0xDDE51BBF),
    (
        "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024,
        0x4B61E985, 0x02D1FEEF,
    ),
]  # fmt: skip
"""Microsoft's "Verifying the RSS Hash Calculation": source, target, the hashes of both addresses
and with both ports."""
NONE, IP, TCP_PORTS, UDP_PORTS = range(4)
DEFAULT, FIRST, SLICE = 33, 48, 16
"""The default queue, and an RSS slice of 16 entries with as many queues."""
ALL = {"hash_ip4": 1, "hash_ip6": 1, "hash_ip4_ports": 1, "hash_ip6_ports": 1, "hash_udp": 1}


@pytest.fixture
def queues(rig: Rig) -> dict[int, RxDriver]:
    """The queues of the slice, in a table that begins with another interface's, and the default."""
    space = rig.core.spaces
    table = space.table("tp_rss_lkp_table", rows=1024)
    rig.c.rss = table.c
    for entry in range(SLICE):
        table.words[(32 + entry) // 2] |= (FIRST + entry) << (entry % 2 * 10)
    tp = space.table("tp_pio", rows=0x80)
    for number in range(10):
        word = int.from_bytes(KEY[36 - 4 * number :][:4], "big")
        tp.words[int(space.r.TP_RSS_SECRET_KEY0) + number] = word
    rig.c.rss_key = tp.pointer(int(space.r.TP_RSS_SECRET_KEY0))
    drivers = {
        n: RxDriver(rig.host, number=n, free_list=n + 100)
        for n in (DEFAULT, *range(FIRST, FIRST + SLICE))
    }
    for driver in drivers.values():
        driver.post()
    return drivers


def hashing(rig: Rig, **flags: int) -> None:
    rig.interface(promiscuous=1, rss_first=32, rss_count=SLICE, default_queue=DEFAULT, **flags)


def arrival(rig: Rig, queues: dict[int, RxDriver], data: bytes) -> Got:
    """Receives a frame; it must arrive in one queue, the one that its response names."""
    assert rig.receive(data) == DONE
    ((number, got),) = [(n, got) for n, driver in queues.items() for got in driver.poll()]
    assert got.rss.qid == number
    return got


def packet(source: str, sport: int, target: str, dport: int, protocol: int = TCP) -> bytes:
    segment = (tcp if protocol == TCP else udp)(ports=(sport, dport))
    if ":" in source:
        return ethernet(ipv6(segment, protocol, source=source, target=target), 0x86DD)
    return ethernet(ipv4(segment, protocol, source=source, target=target), 0x0800)


@pytest.mark.parametrize(("source", "sport", "target", "dport", "addresses", "ports"), VERIFICATION)
def test_the_hash_is_toeplitzs(
    rig: Rig, queues: dict[int, RxDriver], source: str, sport: int, target: str, dport: int,
    addresses: int, ports: int,
) -> None:  # fmt: skip
    for protocol, flags, kind, expected in (
        (TCP, {"hash_ip4": 1, "hash_ip6": 1}, IP, addresses),
        (TCP, ALL, TCP_PORTS, ports),
        (UDP, ALL, UDP_PORTS, ports),
        (UDP, {**ALL, "hash_udp": 0}, IP, addresses),
        (TCP, {**ALL, "hash_ip4": 0, "hash_ip6": 0}, TCP_PORTS, ports),
    ):
        hashing(rig, **flags)
        got = arrival(rig, queues, packet(source, sport, target, dport, protocol))
        assert (got.rss.hash_type, got.rss.hash_val) == (kind, expected)
        assert got.rss.ipv6 == (":" in source)
        assert got.rss.qid == FIRST + expected % SLICE


@pytest.mark.parametrize(
    "data",
    [
        ethernet(b"\0" * 46, 0x0806, to=BROADCAST),
        ethernet(b""),
        ethernet(b"\x45", 0x0800),
        ethernet(b"\x60" + b"\0" * 30, 0x86DD),
    ],
    ids=["arp", "empty", "short IPv4", "short IPv6"],
)
def test_what_is_not_ip_goes_to_the_default_queue(
    rig: Rig, queues: dict[int, RxDriver], data: bytes
) -> None:
    hashing(rig, **ALL)
    got = arrival(rig, queues, data)
    assert (got.rss.qid, got.rss.hash_type, got.rss.hash_val) == (DEFAULT, NONE, 0)


def test_an_interface_that_hashes_nothing_uses_its_default_queue(
    rig: Rig, queues: dict[int, RxDriver]
) -> None:
    hashing(rig)
    got = arrival(rig, queues, packet(*VERIFICATION[0][:4]))
    assert (got.rss.qid, got.rss.hash_type) == (DEFAULT, NONE)


def test_without_a_default_queue_the_first_of_the_slice_is_used(
    rig: Rig, queues: dict[int, RxDriver]
) -> None:
    rig.interface(promiscuous=1, rss_first=32, rss_count=SLICE, default_queue=0)
    assert arrival(rig, queues, ethernet(b"")).rss.qid == FIRST


@pytest.mark.parametrize("fragment", [0x2000, 0x2001, 0x00B9])
def test_fragments_are_hashed_by_their_addresses(
    rig: Rig, queues: dict[int, RxDriver], fragment: int
) -> None:
    source, _, target, _, addresses, _ = VERIFICATION[0]
    hashing(rig, **ALL)
    data = ipv4(tcp(ports=(2794, 1766)), source=source, target=target, fragment=fragment)
    got = arrival(rig, queues, ethernet(data, 0x0800))
    assert (got.rss.hash_type, got.rss.hash_val) == (IP, addresses)


def test_a_tagged_frame_is_hashed_like_one_without(rig: Rig, queues: dict[int, RxDriver]) -> None:
    hashing(rig, strips_vlan=1, **ALL)
    source, sport, target, dport, _, ports = VERIFICATION[0]
    data = ethernet(ipv4(tcp(ports=(sport, dport)), source=source, target=target), 0x0800, tag=7)
    assert arrival(rig, queues, data).rss.hash_val == ports


def test_a_truncated_transport_header_is_not_hashed(rig: Rig, queues: dict[int, RxDriver]) -> None:
    hashing(rig, **ALL)
    source, _, target, _, addresses, _ = VERIFICATION[0]
    data = ethernet(ipv4(b"\1\2\3", source=source, target=target, check=False), 0x0800)
    assert arrival(rig, queues, data).rss.hash_val == addresses


def test_an_entry_beyond_the_table_is_no_queue(rig: Rig, queues: dict[int, RxDriver]) -> None:
    rig.interface(promiscuous=1, rss_first=0xFFFFFFF0, rss_count=0xFFFFFFFF, **ALL)
    assert rig.receive(packet(*VERIFICATION[0][:4])) == DONE
    assert rig.c.counts.frames_dropped == 1


def test_a_frame_in_a_tunnel_has_the_hash_of_its_own_packet(
    rig: Rig, queues: dict[int, RxDriver]
) -> None:
    """A T5 knows no tunnels, and hashes what is around it."""
    if rig.core.spaces.chip.version == 6:
        rig.register("MPS_RX_VXLAN_TYPE", VXLAN_EN=1, VXLAN=4789)
    hashing(rig, **ALL)
    source, sport, target, dport, _, expected = VERIFICATION[0]
    inside = bytes(8) + packet(source, sport, target, dport)
    around = ipv4(udp(inside, ports=(50000, 4789)), UDP, check=False)
    rss = arrival(rig, queues, ethernet(around, 0x0800)).rss
    known = rig.core.spaces.chip.version == 6
    assert (rss.hash_val == expected) == known
    assert rss.hash_type == (TCP_PORTS if known else UDP_PORTS)
