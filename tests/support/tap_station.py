"""`python -m tests.support.tap_station`: a card on a tap of a network namespace of its own.

Makes a tap, sends an ARP request to the kernel's end of it, and prints the reply that the card's
port received, in hexadecimal digits. Nothing of the machine's network is touched.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
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
    driver = RxDriver(RamHost(card.core))
    driver.post(8)
    station.receive_all(0, driver)
    station.send(0, request(OURS, THEIRS))
    got: list[bytes] = []

    def replies() -> list[bytes]:
        got.extend(each.frame[2:] for each in driver.poll())
        return [data for data in got if answered(data)]

    assert station.run(replies)
    print(replies()[0].hex())


if __name__ == "__main__":
    main()
