"""Frames for the packet engine's tests, and what is in them."""

from __future__ import annotations

import ipaddress
import struct

MAC = bytes.fromhex("000743000001")
PEER = bytes.fromhex("020000000002")
BROADCAST = b"\xff" * 6
TCP, UDP, ICMP = 6, 17, 1
SYN, PSH, ACK = 0x02, 0x08, 0x10


def total(data: bytes) -> int:
    """Returns the ones' complement sum of big-endian 16-bit words, folded."""
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f">{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def ethernet(
    payload: bytes, kind: int = 0x88B5, *, to: bytes = MAC, tag: int | None = None
) -> bytes:
    """Returns a frame, perhaps with a VLAN tag, as it is: not padded."""
    vlan = b"" if tag is None else struct.pack(">HH", 0x8100, tag)
    return to + PEER + vlan + struct.pack(">H", kind) + payload


def tcp(
    payload: bytes = b"payload!", flags: int = ACK, *, ports: tuple[int, int] = (1, 2)
) -> bytes:
    """Returns a TCP segment whose checksum is 0."""
    return struct.pack(">HHIIBBHHH", *ports, 1, 2, 5 << 4, flags, 512, 0, 0) + payload


def udp(payload: bytes = b"payload!", *, ports: tuple[int, int] = (1, 2)) -> bytes:
    """Returns a UDP datagram whose checksum is 0."""
    return struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


CHECKSUM_AT = {TCP: 16, UDP: 6}


def checked(segment: bytes, protocol: int, pseudo: bytes) -> bytes:
    """Returns the segment with its checksum."""
    at = CHECKSUM_AT.get(protocol)
    if at is None:
        return segment
    value = ~total(pseudo + segment) & 0xFFFF or 0xFFFF
    return segment[:at] + struct.pack(">H", value) + segment[at + 2 :]


def ipv4(
    segment: bytes,
    protocol: int = TCP,
    *,
    source: str = "10.0.0.1",
    target: str = "10.0.0.2",
    fragment: int = 0,
    options: bytes = b"",
    check: bool = True,
) -> bytes:
    """Returns an IPv4 packet; `check` gives its segment a checksum."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    pseudo = addresses + struct.pack(">BBH", 0, protocol, len(segment))
    body = checked(segment, protocol, pseudo) if check else segment
    words = 5 + len(options) // 4
    head = struct.pack(
        ">BBHHHBBH", 4 << 4 | words, 0, words * 4 + len(body), 7, fragment, 64, protocol, 0
    )
    head += addresses + options
    return head[:10] + struct.pack(">H", ~total(head) & 0xFFFF) + head[12:] + body


def ipv6(
    segment: bytes,
    protocol: int = TCP,
    *,
    source: str = "fd00::1",
    target: str = "fd00::2",
    extension: bytes = b"",
) -> bytes:
    """Returns an IPv6 packet; `extension` is a header before the segment, of type `protocol`."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    pseudo = addresses + struct.pack(">II", len(segment), protocol)
    body = extension + (segment if extension else checked(segment, protocol, pseudo))
    return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + addresses + body
