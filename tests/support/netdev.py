"""cxgb4's receive and transmit paths as far as waiting goes, without any of its timers.

A queue is looked at after its interrupt only; a transmit queue that has stopped starts again when a
CPL_SGE_EGR_UPDATE says so. What never comes is waited for for ever.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from frames import ethernet, ipv4, tcp
from rxdriver import NO_TIMER, ONLY_CIDX, Got, Rig, RxDriver
from txdriver import DESCRIPTOR, MESSAGE, STATUS, TxDriver, listed, lso, sgl

from vmcoredd.chip.message_layouts import EgrUpdate
from vmcoredd.chip.messages import Response

HEADERS = 14 + 20 + 20
"""Bytes of headers of all frames."""
NEVER = 2**64 - 1
BUFFER = 1 << 14
STOP_BELOW = 8
"""Free descriptors below which a transmit queue stops: what the largest request needs."""
EQUEQ_EQUIQ = 3 << 30


def due(rig: Rig) -> int:
    """When the next holdoff timer ends; NEVER."""
    return min((q.due for q in rig.c.ingress if q.armed and q.due), default=NEVER)


class Napi:
    """Reads a queue after its interrupts, in rounds of a few responses."""

    def __init__(
        self, driver: RxDriver, pick: random.Random, handle: Callable[[Got], None]
    ) -> None:
        self.driver, self.pick, self.handle = driver, pick, handle
        self.scheduled = False
        self.arm(0)

    def arm(self, taken: int) -> None:
        """Adaptive moderation: any timer or none, the threshold perhaps; never neither."""
        timer = self.pick.randrange(7)
        self.driver.gts(taken, timer, count=timer == NO_TIMER or self.pick.random() < 0.5)

    def poll(self) -> None:
        """napi_rx_handler()."""
        budget = self.pick.randint(1, 8)
        got = self.driver.poll(budget)
        for each in got:
            self.handle(each)
        if self.pick.random() < 0.8:  # else there is no memory this time
            self.driver.refill()
        if len(got) == budget:
            self.driver.gts(len(got), ONLY_CIDX)
        else:
            self.scheduled = False
            self.arm(len(got))


class Ring(TxDriver):
    """A transmit queue with a buffer for each descriptor."""

    def sgl(self, parts: list[bytes]) -> bytes:
        if not hasattr(self, "buffers"):
            self.buffers = self.host.allocate(self.entries * BUFFER)
        place, places = self.buffers + self.pidx * BUFFER, []
        for part in parts:
            self.host.put(place, part)
            places.append((len(part), place))
            place += len(part)
        return sgl(places)


class Netdev:
    """A port with a receive queue and a transmit queue that tells of itself there.

    `sent` and `arrived` are the bytes behind the headers of frames.
    """

    def __init__(self, rig: Rig, port: int, pick: random.Random) -> None:
        self.rig, self.port, self.pick = rig, port, pick
        self.t5 = rig.core.spaces.chip.version == 5
        self.rx = RxDriver(
            rig.host, number=33 + port, free_list=64 + port, vector=2 + port, units=4,
            entries=pick.choice([15, 31]), size=pick.choice([1536, 4096]),
            packing=pick.random() < 0.5,
        )  # fmt: skip
        self.tx = Ring(
            rig.host, number=80 + port, entries=pick.choice([40, 63]), ingress=33 + port,
            flow=MESSAGE if self.t5 else STATUS, auto_message=int(self.t5),
            auto_status=int(not self.t5),
        )  # fmt: skip
        self.cidx, self.stopped = 0, False
        self.sent, self.arrived = b"", b""
        self.rx.refill()
        self.napi = Napi(self.rx, pick, self.handle)

    @property
    def free(self) -> int:
        """txq_avail()."""
        return self.tx.entries - 1 - (self.tx.pidx - self.cidx) % self.tx.entries

    def handle(self, got: Got) -> None:
        """t4_ethrx_handler(), t4_tx_completion_handler()."""
        if got.type == Response.FLBUF:
            length = int.from_bytes(got.frame[18:20], "big")  # of IP; short frames are padded
            self.arrived += got.frame[16 : 16 + length][HEADERS - 14 :]
            return
        update = EgrUpdate.from_bytes(got.cpl[8:])
        assert update.qid == self.tx.number
        self.cidx = update.cidx if self.t5 else self.tx.status[1]
        if self.free > self.tx.entries // 2:
            self.stopped = False

    def transmit(self) -> None:
        """cxgb4_eth_xmit(): sends a frame or a packet to segment; may stop the queue."""
        if not self.t5:
            self.cidx = self.tx.status[1]
        payload = self.pick.randbytes(self.pick.randint(1, 1400))
        segmented = self.pick.random() < 0.3
        if segmented:
            payload *= 6
        wr = self._request(payload, 1000 if segmented else 0)
        if self.free - -(-len(wr) // DESCRIPTOR) < STOP_BELOW:
            self.stopped = True
            if not self.t5:
                middle = struct.unpack_from(">I", wr, 4)[0] | EQUEQ_EQUIQ
                wr = wr[:4] + struct.pack(">I", middle) + wr[8:]
        self.tx.post(wr)
        self.sent += payload

    def _request(self, payload: bytes, mss: int) -> bytes:
        data = ethernet(ipv4(tcp(payload), check=False), 0x0800)
        parts = [data[:HEADERS], payload]
        if mss:
            return lso(self.tx, parts, mss=mss, ip=20, intf=self.port)
        return listed(self.tx, parts, intf=self.port)
