"""What a response says of a frame's headers and checksums."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from frames import ICMP, PSH, SYN, TCP, UDP, ethernet, ipv4, ipv6, tcp, total, udp
from rxdriver import DONE, Got, Rig, RxDriver

IP4, IP6 = 0x0800, 0x86DD
CSUM, IPCSUM, PKT_LEN, TCPHDR_LEN, IPHDR_LEN, ANY = 1 << 13, 1 << 12, 1 << 8, 1 << 7, 1 << 6, 1
SHORT = {CSUM: 1 << 4, IPCSUM: 1 << 4, PKT_LEN: 2, TCPHDR_LEN: 2, IPHDR_LEN: 2, 0: 0}
"""The bits of the compressed error vector."""


@pytest.fixture
def driver(rig: Rig) -> RxDriver:
    made = RxDriver(rig.host, size=65536)
    made.refill()
    return made


def receive(rig: Rig, driver: RxDriver, data: bytes) -> Got:
    assert rig.receive(data) == DONE
    (got,) = driver.poll()
    driver.gts(1)
    driver.refill()
    assert got.frame[2:] == data
    return got


def errors(rig: Rig, error: int) -> int:
    """Returns the vector that reports this error."""
    if rig.core.spaces.chip.version == 6:
        return SHORT[error]
    return error | ANY if error else 0


def flags(got: Got) -> set[str]:
    names = ("csum_calc", "ip_frag", "ip", "ip6", "tcp", "udp", "syn", "psh")
    return {name for name in names if getattr(got.packet, name)}


GOOD: list[tuple[bytes, str, tuple[int, int, int]]] = [
    (ethernet(ipv4(tcp()), IP4), "csum_calc ip tcp", (14, 20, 20)),
    (ethernet(ipv4(tcp(flags=SYN)), IP4), "csum_calc ip tcp syn", (14, 20, 20)),
    (ethernet(ipv4(tcp(flags=PSH)), IP4), "csum_calc ip tcp psh", (14, 20, 20)),
    (ethernet(ipv4(tcp(b"odd")), IP4) + b"pad", "csum_calc ip tcp", (14, 20, 20)),
    (ethernet(ipv4(tcp(), options=b"\1" * 8), IP4), "csum_calc ip tcp", (14, 28, 20)),
    (ethernet(ipv4(tcp()), IP4, tag=3), "csum_calc ip tcp", (18, 20, 20)),
    (ethernet(ipv4(udp(), UDP), IP4), "csum_calc ip udp", (14, 20, 0)),
    (ethernet(ipv4(udp(), UDP, check=False), IP4), "csum_calc ip udp", (14, 20, 0)),
    (ethernet(ipv4(b"ping", ICMP), IP4), "csum_calc ip", (14, 20, 0)),
    (ethernet(ipv4(b"", ICMP), IP4), "csum_calc ip", (14, 20, 0)),
    (ethernet(ipv6(udp(), UDP)[:40] + udp(), IP6), "ip6 udp", (14, 40, 0)),
    (ethernet(ipv6(b"ping", 58), IP6), "csum_calc ip6", (14, 40, 0)),
    (ethernet(ipv6(tcp(flags=SYN | PSH)), IP6), "csum_calc ip6 tcp syn psh", (14, 40, 20)),
    (ethernet(ipv6(udp(b"odd"), UDP), IP6), "csum_calc ip6 udp", (14, 40, 0)),
    (ethernet(ipv6(tcp(), 0, extension=b"\6" + b"\0" * 7), IP6), "csum_calc ip6", (14, 40, 0)),
    (ethernet(ipv6(udp(), 44, extension=b"\x11" + b"\0" * 7), IP6), "ip6 ip_frag", (14, 40, 0)),
    (ethernet(b"\0" * 46), "", (14, 0, 0)),
    (ethernet(b""), "", (14, 0, 0)),
]


@pytest.mark.parametrize(("data", "told", "lengths"), GOOD)
def test_the_response_describes_the_headers(
    rig: Rig, driver: RxDriver, data: bytes, told: str, lengths: tuple[int, int, int]
) -> None:
    got = receive(rig, driver, data)
    packet = got.packet
    assert flags(got) == set(told.split())
    assert (packet.ethhdr_len, packet.iphdr_len, packet.tcphdr_len) == lengths
    assert packet.err_vec == 0
    if packet.csum_calc:
        assert packet.csum == 0xFFFF


def broken(data: bytes, at: int, by: int = 1) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


BAD: list[tuple[bytes, int, str]] = [
    (broken(ethernet(ipv4(tcp()), IP4), -1), CSUM, "csum_calc ip tcp"),
    (broken(ethernet(ipv4(udp(), UDP), IP4), 40), CSUM, "csum_calc ip udp"),
    (broken(ethernet(ipv6(tcp()), IP6), -2), CSUM, "csum_calc ip6 tcp"),
    (broken(ethernet(ipv4(tcp()), IP4), 14 + 8), IPCSUM, "csum_calc ip tcp"),
    (broken(ethernet(ipv4(b"ping", ICMP), IP4), 14 + 8), IPCSUM, "csum_calc ip"),
    (ethernet(ipv4(tcp()), IP4)[:-1], PKT_LEN, "ip"),
    (ethernet(ipv6(tcp()), IP6)[:-1], PKT_LEN, "ip6"),
    (ethernet(ipv4(udp(), UDP)[:-4], IP4), PKT_LEN, "ip"),
    (ethernet(ipv4(b"\0" * 19, check=False), IP4), TCPHDR_LEN, "ip tcp"),
    (ethernet(ipv4(b"\0" * 7, UDP, check=False), IP4), PKT_LEN, "ip udp"),
    (ethernet(ipv4(tcp())[:19], IP4), IPHDR_LEN, ""),
    (ethernet(b"\x44" + ipv4(tcp())[1:], IP4), IPHDR_LEN, ""),
    (ethernet(b"\x65" + ipv4(tcp())[1:], IP4), IPHDR_LEN, ""),
    (ethernet(ipv6(tcp())[:39], IP6), IPHDR_LEN, ""),
]


@pytest.mark.parametrize(("data", "error", "told"), BAD)
def test_the_response_reports_what_is_wrong(
    rig: Rig, driver: RxDriver, data: bytes, error: int, told: str
) -> None:
    got = receive(rig, driver, data)
    assert got.packet.err_vec == errors(rig, error)
    assert flags(got) == set(told.split())


def test_a_wrong_length_of_a_udp_datagram_is_an_error(rig: Rig, driver: RxDriver) -> None:
    for length, error in ((7, PKT_LEN), (12, 0), (17, PKT_LEN)):
        segment = struct.pack(">HHHH", 1, 2, length, 0) + b"12345678"
        got = receive(rig, driver, ethernet(ipv4(segment, UDP, check=False), IP4))
        assert got.packet.err_vec == errors(rig, error)


def test_a_t6_compresses_errors_only_if_it_is_told_to(rig: Rig, driver: RxDriver) -> None:
    if rig.core.spaces.chip.version == 6:
        rig.register("TP_OUT_CONFIG", CRxPktEnc=0)
    got = receive(rig, driver, BAD[0][0])
    assert got.packet.err_vec == CSUM | ANY


FRAGMENTS = [0x2000, 0x2010, 0x0010]


@pytest.mark.parametrize("fragment", FRAGMENTS)
@pytest.mark.parametrize("protocol", [UDP, TCP, ICMP])
def test_a_fragment_is_summed_up_for_the_host(
    rig: Rig, driver: RxDriver, fragment: int, protocol: int
) -> None:
    """Linux takes it for CHECKSUM_COMPLETE: of all that is behind the Ethernet header."""
    data = ipv4(random.Random(fragment).randbytes(101), protocol, fragment=fragment, check=False)
    got = receive(rig, driver, ethernet(data + b"padding", IP4))
    assert flags(got) == {"csum_calc", "ip", "ip_frag"} | {
        name for name, number in (("tcp", TCP), ("udp", UDP)) if number == protocol
    }
    assert got.packet.csum % 0xFFFF == total(data + b"padding") % 0xFFFF
    assert got.packet.err_vec == 0


@pytest.mark.parametrize("strips", [0, 1])
def test_a_fragments_sum_has_the_tag_that_stays_in_the_frame(
    rig: Rig, driver: RxDriver, strips: int
) -> None:
    rig.interface(promiscuous=1, strips_vlan=strips)
    data = ipv4(b"1" * 64, UDP, fragment=0x2000, check=False)
    rig.receive(ethernet(data, IP4, tag=0x123))
    (got,) = driver.poll()
    assert flags(got) == {"csum_calc", "ip", "udp", "ip_frag"}
    behind = got.frame[2 + 14 :]
    assert len(behind) == len(data) + (0 if strips else 4)
    assert got.packet.csum % 0xFFFF == total(behind) % 0xFFFF


@pytest.mark.parametrize("made", [GOOD[4][0], GOOD[5][0], GOOD[6][0], GOOD[9][0], GOOD[12][0]])
def test_a_frame_may_end_anywhere(rig: Rig, driver: RxDriver, made: bytes) -> None:
    """The frame is in memory of its own size, which sanitizers watch."""
    for length in range(14, len(made)):
        got = receive(rig, driver, made[:length])
        assert not got.packet.csum_calc


def test_random_bytes_behind_an_ip_type_are_survived(rig: Rig, driver: RxDriver) -> None:
    pick = random.Random(12)
    for _ in range(2000):
        head: list[Any] = [pick.choice([4, 6]) << 4 | pick.randrange(16)]
        body = bytes(head) + pick.randbytes(pick.randrange(120))
        receive(rig, driver, ethernet(body, pick.choice([IP4, IP6]), tag=pick.choice([None, 1])))
