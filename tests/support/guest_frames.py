"""Runs in a guest: sends what no command sends there, and takes it.

    take ADDRESS COUNT     takes so many datagrams; tells their lengths, and whether all is right
    cut ADDRESS            sends 12345 bytes for the kernel or the card to cut: UDP_SEGMENT of 1000
    hold ADDRESS           has a port that takes nothing, until it is killed
    flood ADDRESS COUNT    sends so many small datagrams
    hear INTERFACE         tells the types of frames until the last of `pause`
    pause INTERFACE        sends three pause frames, then one of another type

Those that take say "ready" first.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys

PORT, PIECE, TIMEOUT = 5600, 1000, 30.0
UDP_SEGMENT = 103
LAST_TYPE, MAC_CONTROL, EVERY_TYPE = 0x88B5, 0x8808, 0x0003
PATTERN = bytes(i * 7 % 251 for i in range(12345))


def datagrams(address: str) -> socket.socket:
    """Returns a socket for an address of either version."""
    version = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(version, socket.SOCK_DGRAM)
    made.settimeout(TIMEOUT)
    return made


def bound(address: str) -> socket.socket:
    made = datagrams(address)
    made.bind((address, PORT))
    print("ready", flush=True)
    return made


def take(address: str, count: str) -> None:
    receiver = bound(address)
    got = [receiver.recv(65535) for _ in range(int(count))]
    print(*map(len, got))
    print("right" if b"".join(got) == PATTERN else "wrong")


def cut(address: str) -> None:
    sender = datagrams(address)
    sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, PIECE)
    sender.sendto(PATTERN, (address, PORT))


def hold(address: str) -> None:
    _kept = bound(address)
    signal.pause()


def flood(address: str, count: str) -> None:
    sender = datagrams(address)
    for number in range(int(count)):
        sender.sendto(struct.pack(">Q", number), (address, PORT))


def frames(interface: str, kind: int) -> socket.socket:
    """Returns a socket for whole frames."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    made.bind((interface, kind))
    made.settimeout(TIMEOUT)
    return made


def hear(interface: str) -> None:
    receiver = frames(interface, EVERY_TYPE)
    print("ready", flush=True)
    kind = 0
    while kind != LAST_TYPE:
        (kind,) = struct.unpack_from(">H", receiver.recv(65535), 12)
        print(f"{kind:#06x}")


def pause(interface: str) -> None:
    sender = frames(interface, 0)
    source = sender.getsockname()[4]
    asks = bytes.fromhex("0180c2000001") + source + struct.pack(">HHH", MAC_CONTROL, 1, 0xFFFF)
    for _ in range(3):
        sender.send(asks.ljust(60, b"\0"))
    sender.send((b"\xff" * 6 + source + struct.pack(">H", LAST_TYPE)).ljust(60, b"\0"))


DOES = {"take": take, "cut": cut, "hold": hold, "flood": flood, "hear": hear, "pause": pause}

if __name__ == "__main__":
    DOES[sys.argv[1]](*sys.argv[2:])
