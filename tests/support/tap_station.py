"""`python -m tests.support.tap_station`: a card on a tap of a network namespace of its own.

Makes a tap, and sends ARP requests to the kernel's end of it. Prints, in hexadecimal digits, the
reply that the card's port received, then the first and the last of the pauses that the kernel got:
the port has room for one frame. Nothing of the machine's network is touched.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from arp import answered, request
from ramhost import RamHost
from rxdriver import RxDriver
from stations import Station

from vmcoredd.emu import Card, Scene, wires

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
TUNSETIFF, TUNSETPERSIST, TAP = 0x400454CA, 0x400454CB, 0x1002
SIOCSIFADDR, SIOCSIFFLAGS, UP = 0x8916, 0x8914, 0x1
MAC_CONTROL = 0x8808
NAME, OURS, THEIRS = b"wire0", "192.0.2.1", "192.0.2.2"


def make_tap() -> None:
    """Makes a tap that stays, with an address, in the namespace of this process."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", NAME, TAP))
    fcntl.ioctl(tun, TUNSETPERSIST, 1)
    os.close(tun)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        address = struct.pack("16sHH4s16x", NAME, socket.AF_INET, 0, socket.inet_aton(THEIRS))
        fcntl.ioctl(control, SIOCSIFADDR, address)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", NAME, UP))


def main() -> None:
    """See above."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace of our own")
    make_tap()
    card = Card.load("t62100-cr", scene=Scene.FRESH)
    wires.plug([f"0=tap:{NAME.decode()}"], {"": card})
    station = Station(card).up(0)
    driver = RxDriver(RamHost(card.core), entries=2)
    driver.refill()
    station.receive_all(0, driver)
    wire = card.engine.c.ports[0].wire
    got: list[bytes] = []

    def replies() -> list[bytes]:
        responses = driver.poll()
        driver.gts(len(responses))
        got.extend(each.frame[2:] for each in responses)
        return [data for data in got if answered(data)]

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(MAC_CONTROL)) as heard:
        heard.bind((NAME.decode(), MAC_CONTROL))
        station.send(0, *[request(OURS, THEIRS)] * 2)
        assert station.run(lambda: wire.pauses)
        assert station.run(lambda: len(replies()) == 2 and not wire.pauses)
        paused = list(take_all(heard))
    for data in (replies()[0], paused[0], paused[-1]):
        print(data.hex())


def take_all(heard: socket.socket) -> Iterator[bytes]:
    """Takes the frames that a socket has."""
    with suppress(BlockingIOError):
        while True:
            yield heard.recv(1 << 16, socket.MSG_DONTWAIT)


if __name__ == "__main__":
    main()
