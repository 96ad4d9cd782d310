"""Requests for filters, as cxgb4's set_filter_wr() and t4_mk_filtdelwr() make them, and a driver
that sets filters in an engine without a card."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from rxdriver import DONE, Got, Rig, RxDriver
from txdriver import TxDriver, make

from vmcoredd.chip import tcb
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.le import ETHERTYPE_FILTER_MODE, VNIC_ID_MODE, virtual_interface
from vmcoredd.chip.message_layouts import Filter, FilterNat, SetTcbRpl
from vmcoredd.chip.messages import Cpl, FilterResult, WorkRequest
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.engine import EgressKind
from vmcoredd.emu.spaces import Space

UNIT = 16
ALL = {"ethtypem": 0xFFFF, "ptclm": 0xFF, "portm": 7, "lpm": 0xFFFF, "fpm": 0xFFFF, "ttypm": 0xFF}
"""Masks for the whole of a field."""


def filter_request(
    tid: int,
    *,
    replies_to: int,
    op: int = WorkRequest.FILTER2,
    addresses: dict[str, str] | None = None,
    nat: dict[str, int | str] | None = None,
    **fields: int,
) -> bytes:
    """Returns a request. `addresses` are of the fields lip, lipm, fip and fipm; `nat` may have some
    as well."""
    tail = make(FilterNat, **_packed(nat or {})) if op == WorkRequest.FILTER2 else b""
    length = (sizeof(Filter) + len(tail)) // UNIT
    head = {"op": op, "tid": tid, "rx_rpl_iq": replies_to, "len16": length}
    return make(Filter, **head, **_packed({**fields, **(addresses or {})})) + tail


def _packed(fields: Mapping[str, int | str]) -> dict[str, int | bytes]:
    """Returns fields with addresses, which are text, as bytes."""
    return {
        name: value if isinstance(value, int) else ipaddress.ip_address(value).packed
        for name, value in fields.items()
    }


def exactly(**fields: int) -> dict[str, int]:
    """Returns fields with the masks for the whole of each."""
    return fields | {f"{name}m": ALL[f"{name}m"] for name in fields}


EVENTS, DEFAULT, STEERED = 40, 33, 34
"""Queues: of replies, of the interface, and one that filters steer to."""
FIRST, LAST, ROWS = 1024, 1024 + 511, 2048
PRIORITY = 64
"""The TIDs of filters; below PRIORITY, a T6 has those of high priority."""
IP4, IP6, FCOE = 0x0800, 0x86DD, 0x8906
ADDED, DELETED, EINVAL = FilterResult.FLT_ADDED, FilterResult.FLT_DELETED, FilterResult.EINVAL
VNIC = virtual_interface(4, 0x40) & 0xFFFF
"""The interface's place in a request, as the driver puts it there."""


class Filters:
    """A driver that sets filters, and sees what becomes of frames."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.control = TxDriver(rig.host, kind=EgressKind.CONTROL)
        self.events = RxDriver(rig.host, number=EVENTS, free_list=70, entries=7)
        self.queues = {
            number: RxDriver(rig.host, number=number, free_list=number + 100)
            for number in (DEFAULT, STEERED)
        }
        for queue in self.queues.values():
            queue.post()
        self.entries: Space = rig.core.spaces.table("le_entries", rows=ROWS, width=17)
        self.blocks = ffi.new("uint8_t[]", ROWS * tcb.BYTES)
        c = rig.c
        c.le_entries, c.le_rows = self.entries.c.words, ROWS
        c.control_blocks, c.control_block_rows = self.blocks, ROWS
        c.first_filter = FIRST
        c.priority_filters = PRIORITY if c.chip.ipv6_filter_tids == 2 else 0
        self.mode(ETHERTYPE_FILTER_MODE)
        rig.interface(promiscuous=1, vnic_id=virtual_interface(4, 0x40))

    def mode(self, mode: int, *, outer: bool = False) -> None:
        interfaces = bool(mode & VNIC_ID_MODE) and not outer
        self.rig.engine.set_filter_mode(mode, interfaces=interfaces)

    def ask(self, tid: int = FIRST, **asked: Any) -> FilterResult:
        """Sends a request; returns what the reply says."""
        self.control.post(filter_request(tid, replies_to=EVENTS, **asked))
        ((said, result),) = self.replies()
        assert said == tid
        return result

    def replies(self) -> list[tuple[int, FilterResult]]:
        self.rig.run()
        got = self.events.poll()
        self.events.gts(len(got))
        found = [SetTcbRpl.from_bytes(each.cpl[8:]) for each in got]
        assert all(reply.opcode == Cpl.SET_TCB_RPL for reply in found)
        return [(reply.tid, FilterResult(reply.cookie)) for reply in found]

    def add(self, tid: int = FIRST, **asked: Any) -> None:
        assert self.ask(tid, **{"hitcnts": 1, "drop": 1, **asked}) == ADDED

    def delete(self, tid: int = FIRST) -> None:
        assert self.ask(tid, op=WorkRequest.FILTER, del_filter=1) == DELETED

    def arrives(self, frame: bytes, port: int = 0, *, loopback: bool = False) -> Got | None:
        """Returns the response to a frame; None if the frame is dropped."""
        assert self.rig.receive(frame, port, loopback=loopback) == DONE
        got = [(n, each) for n, queue in self.queues.items() for each in queue.poll()]
        assert all(each.rss.qid == n for n, each in got)
        return got[0][1] if got else None

    def drops(self, frame: bytes, port: int = 0, *, loopback: bool = False) -> bool:
        return self.arrives(frame, port, loopback=loopback) is None

    def block(self, tid: int = FIRST) -> dict[str, int]:
        data = ffi.buffer(self.blocks)[tid * tcb.BYTES : (tid + 1) * tcb.BYTES]
        return {name: value for name, value in tcb.decode(tcb.FILTER, data).items() if value}

    def counts(self, tid: int = FIRST) -> tuple[int, int]:
        block = self.block(tid)
        return block.get("packet_count", 0), block.get("byte_count", 0)

    def entry(self, tid: int = FIRST) -> list[int]:
        return list(self.entries.words[17 * tid : 17 * (tid + 1)])
