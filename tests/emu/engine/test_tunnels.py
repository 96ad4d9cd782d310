"""Frames in tunnels, which a T6 parses and checks behind the UDP ports that its driver names."""

from __future__ import annotations

import random
import struct

import pytest
from frames import ICMP, UDP, ethernet, ipv4, ipv6, tcp, udp
from rxdriver import DONE, Got, Rig, RxDriver

from vmcoredd.chip import T6
from vmcoredd.chip.message_layouts import RxErrorsCompressed
from vmcoredd.chip.messages import RxTunnel

IP4, IP6 = 0x0800, 0x86DD
VXLAN, GENEVE = 4789, 6081
UDP4 = 14 + 20 + 8
OUTER4, OUTER6 = UDP4 + 8, UDP4 + 20 + 8
"""Bytes in front of the frame inside, with a header of 8 bytes."""
INNER = ethernet(ipv4(tcp(b"inside")), IP4)
NONE = (0, 0)


@pytest.fixture
def rig() -> Rig:
    rig = Rig(T6)
    rig.register("MPS_RX_VXLAN_TYPE", VXLAN_EN=1, VXLAN=VXLAN)
    rig.register("MPS_RX_GENEVE_TYPE", GENEVE_EN=1, GENEVE=GENEVE)
    return rig


@pytest.fixture
def driver(rig: Rig) -> RxDriver:
    made = RxDriver(rig.host, size=65536)
    made.refill()
    return made


def vxlan(inner: bytes) -> bytes:
    return struct.pack(">II", 8 << 24, 42 << 8) + inner


def geneve(inner: bytes, options: int = 0, *, kind: int = 0x6558, version: int = 0) -> bytes:
    """Returns a GENEVE packet with so many words of options."""
    first = version << 6 | options
    return struct.pack(">BBHI", first, 0, kind, 42 << 8) + b"\1" * 4 * options + inner


def carried(
    payload: bytes,
    port: int = VXLAN,
    *,
    six: bool = False,
    tag: int | None = None,
    summed: bool = False,
) -> bytes:
    """Returns a frame with a datagram to a port; over IPv6 it has a sum."""
    datagram = udp(payload, ports=(50000, port))
    packet = ipv6(datagram, UDP) if six else ipv4(datagram, UDP, check=summed)
    return ethernet(packet, IP6 if six else IP4, tag=tag)


def receive(rig: Rig, driver: RxDriver, data: bytes) -> Got:
    assert rig.receive(data) == DONE
    (got,) = driver.poll()
    driver.gts(1)
    driver.refill()
    return got


def tunnel(got: Got) -> tuple[int, int]:
    """Returns the bytes around the frame inside, and the kind of tunnel."""
    errors = RxErrorsCompressed.from_bytes(struct.pack(">H", got.packet.err_vec))
    return errors.tnlhdr_len, errors.tnl_type


def errors(got: Got) -> int:
    """Returns what the driver takes for errors (T6_COMPR_RXERR_VEC_G)."""
    return int(got.packet.err_vec & 0x3F)


def flags(got: Got) -> str:
    names = ("csum_calc", "ip_frag", "ip", "ip6", "tcp", "udp", "syn", "psh")
    return " ".join(name for name in names if getattr(got.packet, name))


CARRIED = {
    "TCP": (vxlan(INNER), "csum_calc ip tcp", (14, 20, 20)),
    "TCP over IPv6": (vxlan(ethernet(ipv6(tcp()), IP6)), "csum_calc ip6 tcp", (14, 40, 20)),
    "UDP": (vxlan(ethernet(ipv4(udp(), UDP), IP4)), "csum_calc ip udp", (14, 20, 0)),
    "UDP without a sum": (
        vxlan(ethernet(ipv4(udp(), UDP, check=False), IP4)),
        "csum_calc ip udp",
        (14, 20, 0),
    ),
    "a VLAN inside": (vxlan(ethernet(ipv4(tcp()), IP4, tag=5)), "csum_calc ip tcp", (18, 20, 20)),
    "padding inside": (vxlan(INNER + b"pad"), "csum_calc ip tcp", (14, 20, 20)),
    "ICMP": (vxlan(ethernet(ipv4(b"ping", ICMP), IP4)), "ip", (14, 20, 0)),
    "a fragment": (
        vxlan(ethernet(ipv4(tcp(), fragment=0x2000), IP4)),
        "ip_frag ip tcp",
        (14, 20, 0),
    ),
    "no IP": (vxlan(ethernet(b"\0" * 46)), "", (14, 0, 0)),
    "only an Ethernet header": (vxlan(ethernet(b"")), "", (14, 0, 0)),
}


@pytest.mark.parametrize(("payload", "told", "lengths"), CARRIED.values(), ids=CARRIED)
def test_the_response_describes_the_frame_inside(
    rig: Rig, driver: RxDriver, payload: bytes, told: str, lengths: tuple[int, int, int]
) -> None:
    """The driver takes `csum_calc` without errors for both sums, whatever is inside: the card
    vouches for nothing but a transport's sum that it has checked."""
    data = carried(payload)
    got = receive(rig, driver, data)
    packet = got.packet
    assert got.frame[2:] == data
    assert (tunnel(got), errors(got)) == ((OUTER4, RxTunnel.VXLAN), 0)
    assert flags(got) == told
    assert (packet.ethhdr_len, packet.iphdr_len, packet.tcphdr_len) == lengths
    if packet.csum_calc:
        assert packet.csum == 0xFFFF


AROUND = {
    "IPv6": (carried(vxlan(INNER), six=True), (OUTER6, RxTunnel.VXLAN)),
    "a tag": (carried(vxlan(INNER), tag=7), (OUTER4 + 4, RxTunnel.VXLAN)),
    "a sum": (carried(vxlan(INNER), summed=True), (OUTER4, RxTunnel.VXLAN)),
    "GENEVE": (carried(geneve(INNER), GENEVE), (OUTER4, RxTunnel.GENEVE)),
    "options": (carried(geneve(INNER, 50), GENEVE), (OUTER4 + 200, RxTunnel.GENEVE)),
}


@pytest.mark.parametrize(("data", "told"), AROUND.values(), ids=AROUND)
def test_the_response_has_the_kind_and_the_bytes_around_it(
    rig: Rig, driver: RxDriver, data: bytes, told: tuple[int, int]
) -> None:
    got = receive(rig, driver, data)
    assert (tunnel(got), errors(got), flags(got)) == (told, 0, "csum_calc ip tcp")


def test_a_tag_that_is_stripped_is_not_around_it(rig: Rig, driver: RxDriver) -> None:
    rig.interface(promiscuous=1, strips_vlan=1)
    got = receive(rig, driver, carried(vxlan(INNER), tag=7))
    assert got.frame[2:] == carried(vxlan(INNER))
    assert (got.packet.vlan, tunnel(got)) == (7, (OUTER4, RxTunnel.VXLAN))
    assert got.packet.ethhdr_len == 14


def test_a_tag_inside_stays(rig: Rig, driver: RxDriver) -> None:
    rig.interface(promiscuous=1, strips_vlan=1)
    data = carried(vxlan(ethernet(ipv4(tcp()), IP4, tag=5)))
    got = receive(rig, driver, data)
    assert (got.frame[2:], got.packet.vlan_ex) == (data, 0)


def broken(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


SUM, LEN = 1 << 4, 1 << 1
WRONG = {
    "TCP inside": (broken(carried(vxlan(INNER)), -1), SUM),
    "IP inside": (broken(carried(vxlan(INNER)), OUTER4 + 14 + 8), SUM),
    "IP around": (broken(carried(vxlan(INNER)), 14 + 8), SUM),
    "UDP around": (broken(carried(vxlan(INNER), summed=True), UDP4 - 1), SUM),
    "length inside": (carried(vxlan(INNER[:-1])), LEN),
}


@pytest.mark.parametrize(("data", "error"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_inside_or_around_is_an_error(
    rig: Rig, driver: RxDriver, data: bytes, error: int
) -> None:
    got = receive(rig, driver, data)
    assert (tunnel(got), errors(got)) == ((OUTER4, RxTunnel.VXLAN), error)


NO_TUNNEL = {
    "another port": carried(vxlan(INNER), VXLAN + 1),
    "no room for its header": carried(b"\0" * 7),
    "no frame": carried(vxlan(b"\0" * 13)),
    "GENEVE of something else": carried(geneve(INNER, kind=IP4), GENEVE),
    "GENEVE of another version": carried(geneve(INNER, version=1), GENEVE),
    "GENEVE with cut options": carried(geneve(b"", 3)[:-1], GENEVE),
    "more bytes than a response can tell": carried(geneve(INNER, 52), GENEVE),
    "a fragment": ethernet(
        ipv4(udp(vxlan(INNER), ports=(1, VXLAN)), UDP, fragment=0x2000, check=False), IP4
    ),
    "TCP": ethernet(ipv4(tcp(vxlan(INNER), ports=(1, VXLAN))), IP4),
}


@pytest.mark.parametrize("data", NO_TUNNEL.values(), ids=NO_TUNNEL)
def test_anything_else_is_no_tunnel(rig: Rig, driver: RxDriver, data: bytes) -> None:
    got = receive(rig, driver, data)
    assert (got.frame[2:], tunnel(got)) == (data, NONE)
    assert got.packet.csum_calc


@pytest.mark.parametrize("kind", ["VXLAN", "GENEVE"])
def test_a_port_that_the_driver_has_taken_back_is_no_tunnels(
    rig: Rig, driver: RxDriver, kind: str
) -> None:
    rig.register(f"MPS_RX_{kind}_TYPE", **{f"{kind}_EN": 0})
    for port, payload in ((VXLAN, vxlan(INNER)), (GENEVE, geneve(INNER))):
        off = port == (VXLAN if kind == "VXLAN" else GENEVE)
        got = receive(rig, driver, carried(payload, port))
        assert (tunnel(got) == NONE, flags(got) == "csum_calc ip udp") == (off, off)


def test_errors_that_are_not_compressed_leave_no_room_for_tunnels(
    rig: Rig, driver: RxDriver
) -> None:
    rig.register("TP_OUT_CONFIG", CRxPktEnc=0)
    got = receive(rig, driver, carried(vxlan(INNER)))
    assert (got.packet.err_vec, flags(got)) == (0, "csum_calc ip udp")


@pytest.mark.parametrize("data", [data for data, _ in AROUND.values()], ids=AROUND)
def test_a_tunnels_frame_may_end_anywhere(rig: Rig, driver: RxDriver, data: bytes) -> None:
    """The frame is in memory of its own size, which sanitizers watch."""
    for length in range(14, len(data)):
        assert tunnel(receive(rig, driver, data[:length])) == NONE


def test_random_bytes_in_a_tunnel_are_survived(rig: Rig, driver: RxDriver) -> None:
    pick = random.Random(3)
    for _ in range(1000):
        port = pick.choice([VXLAN, GENEVE])
        head = vxlan(b"") if port == VXLAN else geneve(b"", pick.randrange(8))
        inside = pick.choice([4, 6]) << 4 | pick.randrange(16)
        body = bytes([inside]) + pick.randbytes(pick.randrange(80))
        payload = head + ethernet(body, pick.choice([IP4, IP6]))
        receive(rig, driver, carried(payload, port))
