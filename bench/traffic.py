"""What a driver asks the packet engine to send: packets, and their work requests."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vmcoredd.chip.layout import BigStruct
from vmcoredd.chip.message_layouts import EthTxPkt, Sgl, TxPkt, TxPktLso
from vmcoredd.chip.messages import Cpl, OtherRequest, ScatterGather, TxChecksum, WorkRequest
from vmcoredd.chip.pci import PF

DESCRIPTOR, UNIT = 64, 16
INLINED = 224
"""cxgb4 puts frames up to about this length into their work requests."""
MSS = 1448
ETHERNET, IP, UDP, TCP, FCS = 14, 20, 8, 20, 4


@dataclass(frozen=True)
class Traffic:
    """What is sent. The defaults are what a driver sends; the rest leaves steps out."""

    length: int
    """Bytes of a frame without FCS, or of a packet to cut into segments."""
    segments: bool = False
    queues: int = 1
    """Of each port, in each direction."""
    both_ways: bool = False
    """Port 1 sends as well."""
    burst: int = 16
    """Work requests for a doorbell, at most."""
    empty: bool = False
    """Work requests that ask for nothing (EQ_FLUSH)."""
    sums: bool = True
    """The card makes the checksums."""
    ip: bool = True
    """Frames have IP headers: parsed, verified, hashed."""
    delivered: bool = True
    """An interface takes the frames."""
    armed: bool = True
    """Queues raise interrupts."""
    inlined: bool = True
    """Short frames stand in their work requests."""

    @property
    def frames(self) -> int:
        """Frames of a work request."""
        if not self.segments:
            return 1
        return -(-(self.length - ETHERNET - IP - TCP) // MSS)

    @property
    def bytes(self) -> int:
        """Bytes that a work request brings on the wire, without FCS."""
        return self.length + (self.frames - 1) * (ETHERNET + IP + TCP)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame; of segments, the mean."""
        return self.bytes // self.frames

    @property
    def received(self) -> int:
        """Frames of a work request that reach a queue."""
        return self.frames if self.delivered and not self.empty else 0


def needs_memory(traffic: Traffic) -> bool:
    """Returns whether a packet is read from memory, not from its work request."""
    return not traffic.empty and not (traffic.inlined and traffic.length <= INLINED)


def request(traffic: Traffic, port: int, data: bytes, address: int | None) -> bytes:
    """Returns a work request that sends a packet, which is at `address` or in the request."""
    if traffic.empty:
        return _whole(bytes(_made(EthTxPkt, op=OtherRequest.EQ_FLUSH, len16=1)))
    kind = TxChecksum.TCPIP if traffic.segments else TxChecksum.UDPIP
    cpl = _made(
        TxPkt, opcode=Cpl.TX_PKT_XT, intf=port, pf=PF, len=len(data) & 0xFFFF, csum_type=kind,
        csum_start=IP, l4csum_dis=not traffic.sums, ipcsum_dis=not traffic.segments,
    )  # fmt: skip
    cpls = bytes(_lso(len(data)) if traffic.segments else b"") + bytes(cpl)
    if address is None:
        return _work_request(cpls, data)
    sgl = _made(Sgl, cmd=ScatterGather.DSGL, nsge=1, len0=len(data), addr0=address)
    return _work_request(cpls, b"", bytes(sgl))


def packet(traffic: Traffic, flow: int) -> bytes:
    """Returns a packet: bytes without FCS."""
    length = traffic.length
    payload = bytes(n * 7 + flow & 0xFF for n in range(251)) * (length // 251 + 1)
    ethernet = b"\x02\0\0\0\0\x02" + b"\x02\0\0\0\0\x01"
    if not traffic.ip:
        return (ethernet + b"\x88\xb5" + payload)[:length]
    protocol = 6 if traffic.segments else 17
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, (length - ETHERNET) & 0xFFFF, 1, 0, 64, protocol, 0,
                     b"\x0a\0\0\x01", b"\x0a\0\0\x02")  # fmt: skip
    total = ~sum(struct.unpack(">10H", ip)) % 0xFFFF
    ip = ip[:10] + struct.pack(">H", total) + ip[12:]
    if traffic.segments:
        transport = struct.pack(">HHIIBBHHH", 1000 + flow, 2000, 1, 1, 0x50, 0x18, 65535, 0, 0)
    else:
        transport = struct.pack(">HHHH", 1000 + flow, 2000, length - ETHERNET - IP, 0)
    return (ethernet + b"\x08\0" + ip + transport + payload)[:length]


def _lso(length: int) -> BigStruct:
    return _made(
        TxPktLso, opcode=Cpl.TX_PKT_LSO, first_slice=1, last_slice=1, iphdr_len=IP // 4,
        tcphdr_len=TCP // 4, mss=MSS, xfer_size=length,
    )  # fmt: skip


def _work_request(cpls: bytes, inlined: bytes, sgl: bytes = b"") -> bytes:
    body = cpls + inlined + sgl
    units = -(-(len(bytes(EthTxPkt())) + len(body)) // UNIT)
    immediate = len(cpls) + len(inlined)
    head = _made(EthTxPkt, op=WorkRequest.ETH_TX_PKT, immdlen=immediate, len16=units)
    return _whole(bytes(head) + body)


def _whole(data: bytes) -> bytes:
    """Returns data with zeros up to whole descriptors."""
    return data + bytes(-len(data) % DESCRIPTOR)


def _made(layout: type[BigStruct], **fields: int) -> BigStruct:
    message = layout()
    for name, value in fields.items():
        setattr(message, name, value)
    return message
