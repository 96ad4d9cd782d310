"""ARP over Ethernet: what a port asks to find somebody who answers."""

from __future__ import annotations

import socket
import struct

MAC = bytes.fromhex("020000000001")
REQUEST, REPLY = 1, 2
HEAD = struct.pack(">HHBB", 1, 0x0800, 6, 4)


def request(ours: str, theirs: str) -> bytes:
    """The frame that asks who has an address."""
    sender = MAC + socket.inet_aton(ours)
    asked = bytes(6) + socket.inet_aton(theirs)
    return b"\xff" * 6 + MAC + b"\x08\x06" + HEAD + struct.pack(">H", REQUEST) + sender + asked


def answered(frame: bytes) -> str | None:
    """The address whose owner this frame, a reply to us, names; None if it is no reply to us."""
    head = MAC, b"\x08\x06" + HEAD + struct.pack(">H", REPLY)
    if (frame[:6], frame[12:22]) != head:
        return None
    return socket.inet_ntoa(frame[28:32])
