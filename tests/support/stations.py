"""A card whose ports a driver has brought up, without queues: frames are sent and counted."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emumail import Mailbox
from rxdriver import RxDriver

from vmcoredd.chip.firmware import PortAction, PortInfo32, PortL1Config32, Vi, ViEnable
from vmcoredd.chip.pci import PF
from vmcoredd.emu import Card
from vmcoredd.emu._cffi import ffi, lib

PATIENCE = 10.0
BROADCAST = b"\xff" * 6
COUNTERS = ("BYTES", "FRAMES", "BCAST", "MCAST", "UCAST")
CLASSES = ("64B", "65B_127B", "128B_255B", "256B_511B", "512B_1023B", "1024B_1518B", "1519B_MAX")


def frame(length: int, number: int = 0, destination: bytes = BROADCAST) -> bytes:
    """A frame of that many bytes, without FCS, that bears a number."""
    head = destination + b"\x02\0\0\0\0\x01" + b"\x88\xb5" + struct.pack(">I", number)
    return (head + bytes(n * 7 & 0xFF for n in range(length)))[:length]


class Station:
    """A card, and what a driver does with its ports."""

    def __init__(self, card: Card) -> None:
        self.card, self.engine, self.c = card, card.engine, card.engine.c
        self.mail = Mailbox(card)
        self.interfaces: dict[int, int] = {}

    def up(self, *ports: int) -> Station:
        """Configures ports and enables an interface on each."""
        for port in ports:
            ask = PortInfo32(read=1, portid=port, action=PortAction.GET_PORT_INFO32)
            caps = self.mail.do(ask).acaps32
            action = PortAction.L1_CFG32
            self.mail.do(PortL1Config32(exec=1, portid=port, action=action, rcap32=caps))
            if port not in self.interfaces:
                reply = self.mail.do(Vi(alloc=1, exec=1, portid=port))
                self.interfaces[port] = int(reply.viid)
            self.mail.do(ViEnable(viid=self.interfaces[port], ien=1, een=1))
        return self

    def down(self, port: int) -> None:
        """Disables a port's interface."""
        self.mail.do(ViEnable(viid=self.interfaces[port]))

    def link(self, port: int) -> bool:
        """Whether firmware says that a port's link is up."""
        ask = PortInfo32(read=1, portid=port, action=PortAction.GET_PORT_INFO32)
        return bool(self.mail.do(ask).lstatus32)

    def offer(self, port: int, data: bytes, *, loopback: bool = False) -> bool:
        """Sends a frame; returns whether the port took it."""
        one = ffi.new("struct frame *")
        kept = ffi.from_buffer(data)
        one.data, one.length = ffi.cast("uint8_t *", kept), len(data)
        one.loopback, one.pf = loopback, PF
        return bool(lib.engine_send(self.c, port, one) == lib.ENGINE_DONE)

    def send(self, port: int, *frames: bytes) -> None:
        """Sends frames that the port must take."""
        for data in frames:
            assert self.offer(port, data)
        self.engine.run()

    def run(self, until: Callable[[], Any] = lambda: False) -> bool:
        """Runs the engine whenever it has work until the condition holds; returns whether it does.

        Ends also when there is no work for the moment and the condition never holds by itself.
        """
        end, work = time.monotonic() + PATIENCE, select.poll()
        work.register(self.c.work_fd, select.POLLIN)
        while time.monotonic() < end:
            self.engine.run()
            if until():
                return True
            if not self.c.pending:
                work.poll(50)
        return False

    def receive_all(self, port: int, driver: RxDriver) -> None:
        """Makes a port's interface receive everything into one queue, until its next command."""
        viid = self.interfaces[port]
        entry = next(each for each in self.c.interfaces if each.viid == viid)
        entry.promiscuous, entry.default_queue, entry.rss_count = 1, driver.number, 0

    def counters(self, port: int, direction: str) -> dict[str, int]:
        """MPS's counters of a port: TX, RX or LB; those that are not 0."""
        r = self.card.chip.r
        names = (*COUNTERS, *CLASSES)
        words = {
            name: self.card.read(r[f"MPS_PORT_STAT_{direction}_PORT_{name}_L"][port], 8)
            for name in names
        }
        return {name: value for name, value in words.items() if value}


class StreamPeer:
    """Somebody at the other end of a stream wire, who is not of this project: the framing only."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.setblocking(False)
        self.data = b""

    @classmethod
    def to(cls, path: Path) -> StreamPeer:
        """Connects to who listens there."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        return cls(connection)

    def send(self, *frames: bytes) -> None:
        """Sends frames."""
        self.socket.setblocking(True)
        self.socket.sendall(b"".join(struct.pack(">I", len(data)) + data for data in frames))
        self.socket.setblocking(False)

    def receive(self) -> list[bytes]:
        """Takes the whole frames that are there."""
        while True:
            try:
                more = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            if not more:
                break
            self.data += more
        frames = []
        while len(self.data) >= 4:
            length = int.from_bytes(self.data[:4], "big")
            if len(self.data) < 4 + length:
                break
            frames.append(self.data[4 : 4 + length])
            self.data = self.data[4 + length :]
        return frames

    @property
    def gone(self) -> bool:
        """Whether the card has closed the connection."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Leaves."""
        self.socket.close()
