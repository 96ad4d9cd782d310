"""A driver's end of an egress queue, and a wire whose other end is here."""

from __future__ import annotations

import socket
import struct

from ramhost import RamHost
from rxdriver import Rig

from vmcoredd.chip.layout import BigStruct
from vmcoredd.chip.message_layouts import (
    EthTxEo,
    EthTxPkt,
    Sgl,
    StatusPage,
    TxPkt,
    TxPktLso,
    TxTnlLso,
)
from vmcoredd.chip.messages import Cpl, ScatterGather, TxChecksum, WorkRequest
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.engine import EgressKind, EgressRing, WireKind

DESCRIPTOR, UNIT = 64, 16
MESSAGE, STATUS = 1, 2
"""Values of HostFCMode."""


class Outlet:
    """The other end of a port's wire, which takes `room` bytes or so before it is asked."""

    def __init__(self, rig: Rig, port: int = 0, *, room: int = 1 << 20) -> None:
        ours, self._socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        ours.setblocking(False)
        self._socket.setblocking(False)
        entry = rig.c.ports[port]
        entry.present = entry.configured = entry.enabled = 1
        rig.engine.plug(port, WireKind.TAP, fd=ours.detach())
        lib.engine_update_links(rig.c)

    def frames(self) -> list[bytes]:
        """Takes the frames that have come out."""
        got = []
        while True:
            try:
                got.append(self._socket.recv(1 << 16))
            except BlockingIOError:
                return got


def padded(data: bytes, unit: int = UNIT) -> bytes:
    """Returns data with zeros up to a multiple of `unit`."""
    return data + bytes(-len(data) % unit)


class TxDriver:
    """An egress queue that is `entries` descriptors long."""

    def __init__(
        self,
        host: RamHost,
        *,
        number: int = 80,
        entries: int = 64,
        ingress: int = 33,
        flow: int = STATUS,
        threshold: int = 5,
        auto_message: int = 0,
        auto_status: int = 1,
        kind: EgressKind = EgressKind.ETHERNET,
        interface: int = 0,
    ) -> None:
        self.host, self.number, self.entries = host, number, entries
        self.ring = host.allocate((entries + 1) * DESCRIPTOR)
        self.pidx = 0
        host.engine.start_egress(
            number,
            EgressRing(
                kind=kind, pf=4, port=0, address=self.ring, entries=entries, status_bytes=64,
                ingress=ingress, host_flow_control=flow, flush_threshold=threshold,
                auto_message=auto_message, auto_status=auto_status, interface=interface,
            ),
        )  # fmt: skip

    @property
    def cidx(self) -> int:
        """Where the engine is."""
        return int(self.host.c.egress[self.number].cidx)

    @property
    def halted(self) -> bool:
        return bool(self.host.c.egress[self.number].halted)

    @property
    def status(self) -> tuple[int, int, int]:
        """The status page: queue, consumer index, producer index."""
        data = self.host.get(self.ring + self.entries * DESCRIPTOR, 8)
        page = StatusPage.from_bytes(data)
        return page.qid, page.cidx, page.pidx

    def write(self, request: bytes) -> int:
        """Puts a work request into the ring, around its end; returns its descriptors."""
        data = padded(request, DESCRIPTOR)
        for at in range(0, len(data), DESCRIPTOR):
            self.host.put(self.ring + self.pidx * DESCRIPTOR, data[at : at + DESCRIPTOR])
            self.pidx = (self.pidx + 1) % self.entries
        return len(data) // DESCRIPTOR

    def ring_doorbell(self, descriptors: int) -> None:
        """Writes SGE_PF_KDOORBELL."""
        lib.engine_kdoorbell(self.host.c, self.number << 15 | descriptors)

    def post(self, *requests: bytes) -> None:
        """Puts work requests into the ring and rings the doorbell once."""
        self.ring_doorbell(sum(map(self.write, requests)))

    # Work requests

    def sgl(self, parts: list[bytes]) -> bytes:
        """Returns a scatter-gather list of these parts, which it puts into memory."""
        places = []
        for part in parts:
            places.append((len(part), self.host.allocate(len(part) or 1)))
            self.host.put(places[-1][1], part)
        return sgl(places)


def make(layout: type[BigStruct], **fields: int | bytes) -> bytes:
    """Returns a message with these fields, of arrays the first bytes; the others are 0."""
    message = layout()
    for name, value in fields.items():
        if isinstance(value, bytes):
            getattr(message, name)[: len(value)] = value
        else:
            setattr(message, name, value)
    return bytes(message)


def tp(cpl: bytes) -> bytes:
    """Returns FW_TP_WR with a CPL (INIT_TP_WR())."""
    return request(cpl, immediate=len(cpl), op=WorkRequest.TP)


def sgl(places: list[tuple[int, int]]) -> bytes:
    """Returns a scatter-gather list of lengths and addresses."""
    (length, address), *others = places
    data = make(Sgl, cmd=ScatterGather.DSGL, nsge=len(places) & 0xFFFF, len0=length, addr0=address)
    for first in range(0, len(others), 2):
        (len0, addr0), (len1, addr1) = [*others[first : first + 2], (0, 0)][:2]
        data += struct.pack(">IIQ", len0, len1, addr0)
        data += struct.pack(">Q", addr1) if first + 1 < len(others) else b""
    return data


def request(
    body: bytes, *, immediate: int, op: int = WorkRequest.ETH_TX_PKT, **header: int
) -> bytes:
    """Returns a work request with a header of ETH_TX_PKT; its length is right unless given."""
    whole = padded(make(EthTxPkt) + body)
    fields = {"op": op, "immdlen": immediate, "len16": len(whole) // UNIT} | header
    return make(EthTxPkt, **fields) + whole[len(make(EthTxPkt)) :]


def tx_pkt(length: int, **fields: int) -> bytes:
    """Returns a CPL_TX_PKT_XT that asks for no checksums."""
    base = {"opcode": Cpl.TX_PKT_XT, "l4csum_dis": 1, "ipcsum_dis": 1, "len": length & 0xFFFF}
    return make(TxPkt, **(base | fields))


def headers(version: int, ethernet: int, ip: int) -> dict[str, int]:
    """Returns the fields of CPL_TX_PKT that say how long headers are, for T5 or T6."""
    value = ip << 20 | (ethernet - 14) << {5: 34, 6: 32}[version]
    return {
        "csum_loc": value >> 30 & 0x3FF,
        "csum_start": value >> 20 & 0x3FF,
        "csum_end": value >> 12 & 0xFF,
    }


def inline(frame: bytes, **fields: int) -> bytes:
    """Returns a work request with the frame in it; `fields` are of its CPL_TX_PKT."""
    cpl = tx_pkt(len(frame), **fields)
    return request(cpl + frame, immediate=len(cpl) + len(frame))


def listed(driver: TxDriver, parts: list[bytes], **fields: int) -> bytes:
    """Returns a work request with a frame in memory."""
    cpl = tx_pkt(len(b"".join(parts)), **fields)
    return request(cpl + driver.sgl(parts), immediate=len(cpl))


def lso(
    driver: TxDriver, parts: list[bytes], *, mss: int, ip: int, ip6: int = 0, tcp: int = 20,
    ethernet: int = 14, checksum: TxChecksum | None = None, **fields: int,
) -> bytes:  # fmt: skip
    """Returns a work request with a packet to cut into TCP segments."""
    length = len(b"".join(parts))
    kind = checksum or (TxChecksum.TCPIP6 if ip6 else TxChecksum.TCPIP)
    version = driver.host.core.spaces.chip.version
    cpls = make(
        TxPktLso, opcode=Cpl.TX_PKT_LSO, first_slice=1, last_slice=1, ipv6=ip6,
        ethhdr_len=(ethernet - 14) // 4, iphdr_len=ip // 4, tcphdr_len=tcp // 4, mss=mss,
        xfer_size=length,
    )  # fmt: skip
    sums = {"l4csum_dis": 0, "ipcsum_dis": 0, "csum_type": kind}
    cpls += tx_pkt(length, **sums, **headers(version, ethernet, ip), **fields)
    return request(cpls + driver.sgl(parts), immediate=len(cpls))


def uso(
    driver: TxDriver, head: bytes, payload: list[bytes], *, mss: int, ip: int, ip6: int = 0,
    ethernet: int = 14, kind: int = 0, transport: int = 8, **fields: int,
) -> bytes:  # fmt: skip
    """Returns an ETH_TX_EO work request: headers in it, payload in memory."""
    length = len(head) + len(b"".join(payload))
    version = driver.host.core.spaces.chip.version
    sums = {
        "l4csum_dis": 0,
        "ipcsum_dis": 0,
        "csum_type": TxChecksum.UDPIP6 if ip6 else TxChecksum.UDPIP,
    }
    cpl = tx_pkt(length, **sums, **headers(version, ethernet, ip), **fields)
    body = cpl + padded(head) + driver.sgl(payload)
    fixed = {
        "op": WorkRequest.ETH_TX_EO, "immdlen": len(cpl) + len(head), "type": kind,
        "ethlen": ethernet, "iplen": ip, "udplen": transport, "mss": mss,
        "schedpktsize": mss, "plen": length - len(head),
        "len16": len(padded(make(EthTxEo) + body)) // UNIT,
    }  # fmt: skip
    return padded(make(EthTxEo, **fixed) + body)


def tunnelled(driver: TxDriver, parts: list[bytes], *, mss: int, **tunnel: int) -> bytes:
    """Returns a work request with a packet inside a tunnel to cut into TCP segments
    (t6_fill_tnl_lso()): both IP headers are of version 4 unless `tunnel` says otherwise."""
    length = len(b"".join(parts))
    base = {
        "opcode": Cpl.TX_TNL_LSO, "first": 1, "last": 1, "iphdrlenout": 5, "iphdrchkout": 1,
        "iplensetout": 1, "ipidincout": 1, "udplensetout": 1, "udpchkclrout": 1,
        "tnlhdrlen": 50, "iphdrlen": 5, "tcphdrlen": 5, "mss": mss, "tnllsosize": length,
    }  # fmt: skip
    cpls = make(TxTnlLso, **(base | tunnel)) + tx_pkt(length)
    return request(cpls + driver.sgl(parts), immediate=len(cpls))
