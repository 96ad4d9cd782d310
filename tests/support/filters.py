"""Requests for filters, as cxgb4's set_filter_wr() and t4_mk_filtdelwr() make them."""

from __future__ import annotations

import ipaddress

from txdriver import make

from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.message_layouts import Filter, FilterNat
from vmcoredd.chip.messages import WorkRequest

UNIT = 16
ALL = {"ethtypem": 0xFFFF, "ptclm": 0xFF, "portm": 7, "lpm": 0xFFFF, "fpm": 0xFFFF, "ttypm": 0xFF}
"""Masks for the whole of a field."""


def filter_request(
    tid: int,
    *,
    replies_to: int,
    op: int = WorkRequest.FILTER2,
    addresses: dict[str, str] | None = None,
    nat: dict[str, int] | None = None,
    **fields: int,
) -> bytes:
    """Returns a request; `addresses` are of the fields lip, lipm, fip and fipm."""
    tail = make(FilterNat, **(nat or {})) if op == WorkRequest.FILTER2 else b""
    asked = Filter(op=op, tid=tid, rx_rpl_iq=replies_to, len16=(sizeof(Filter) + len(tail)) // UNIT)
    for name, value in fields.items():
        setattr(asked, name, value)
    for name, text in (addresses or {}).items():
        packed = ipaddress.ip_address(text).packed
        getattr(asked, name)[: len(packed)] = packed
    return bytes(asked) + tail


def exactly(**fields: int) -> dict[str, int]:
    """Returns fields with the masks for the whole of each."""
    return fields | {f"{name}m": ALL[f"{name}m"] for name in fields}
