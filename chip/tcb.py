"""Connection control blocks (TCBs) in adapter memory: 128 bytes for each TID.

A TCB is one number of 1024 bits. Memory holds its eight parts of 128 bits, the lowest first, each
with its highest byte first. Fields are given as `name:shift:width` (see `chip.register`). Source:
t4_tcb.h (Linux), and the tables of FreeBSD's cxgbetool for those that Linux lacks; the order in
memory follows from cxgb4_filter.c (get_filter_count()) and from cxgbetool.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from vmcoredd.chip.register import Field, parse_fields

BYTES = 128
_PART = 16

TCP = parse_fields(
    "rcv_wnd:554:28 rcv_nxt:522:32 snd_ssthresh:460:28 snd_cwnd:432:28 snd_rec_raw:404:28 "
    "snd_max_raw:376:28 snd_nxt_raw:348:28 snd_una_raw:320:28 tx_max:288:32 t_rttvar:272:16 "
    "t_srtt:256:16 t_rtseq_recent:224:32 t_rtt_ts_recent_age:192:32 timestamp:160:32 "
    "rcv_adv:144:16 timestamp_offset:140:4 t_dupacks:136:4 t_rxtshift:132:4 rcv_scale:128:4 "
    "snd_scale:124:4 t_maxseg:120:4 max_rt:116:4 t_state:112:4 tos:106:6 rss_info:96:10 "
    "ip_version:90:1 recv_sack:86:1 recv_tstmp:85:1 recv_scale:84:1 active_open:66:1 nagle:39:1 "
    "keepalive:35:1 smac_sel:24:8 l2t_ix:12:12 ulp_raw:4:8 ulp_type:0:4"
)
"""The fields of a connection; `*_raw` are distances below `tx_max`."""
FILTER = parse_fields(
    "byte_count:192:64 packet_count:160:32 rss_info:96:10 cctrl_rfr:94:1 cctrl_cwr:93:1 "
    "cctrl_ece:92:1 lpbk:91:1 ip_version:90:1 direct_steer:55:1 drop:54:1 nagle:39:1 "
    "non_offload:33:1 smac_sel:24:8 l2t_ix:12:12"
)
"""The fields of a filter, with its counters. One that sends frames out again (`lpbk`) gives them a
new target MAC (`cctrl_ece`), source MAC (`cctrl_cwr`) and VLAN tag (`cctrl_rfr`), or takes that
away (`nagle`): cxgb4_filter.c, configure_filter_tcb() and mk_act_open_req()."""


class NatWord(IntEnum):
    """The 32-bit words of a filter's TCB with new addresses and ports: of an IPv6 address, the one
    with its last bytes, which others follow; of ports, the source's in the upper half (t4_tcb.h;
    cxgb4_filter.c, set_nat_params())."""

    LOCAL6 = 10
    FOREIGN6 = 27
    LOCAL = 29
    FOREIGN = 30
    PORTS = 31


class TcpState(IntEnum):
    """`t_state`."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RCVD = 3
    ESTABLISHED = 4
    CLOSE_WAIT = 5
    FIN_WAIT_1 = 6
    CLOSING = 7
    LAST_ACK = 8
    FIN_WAIT_2 = 9
    TIME_WAIT = 10


def translation(block: bytes | memoryview) -> dict[str, int]:
    """Returns those new addresses and ports in the TCB of a filter (128 bytes) that are not 0; a
    filter's TCB holds nothing else in those fields."""
    words = struct.unpack("<32I", _number(block).to_bytes(BYTES, "little"))
    ipv6 = next(field for field in FILTER if field.name == "ip_version").get(_number(block))
    kinds = (NatWord.LOCAL6, NatWord.FOREIGN6) if ipv6 else (NatWord.LOCAL, NatWord.FOREIGN)
    size = 4 if ipv6 else 1
    local, foreign = (_joined(words[first : first + size]) for first in kinds)
    found = {
        "new_local": local,
        "new_foreign": foreign,
        "new_local_port": words[NatWord.PORTS] & 0xFFFF,
        "new_foreign_port": words[NatWord.PORTS] >> 16,
    }
    return {name: value for name, value in found.items() if value}


def _joined(words: tuple[int, ...]) -> int:
    """Returns the number that words make, the lowest first."""
    return sum(word << 32 * i for i, word in enumerate(words))


def state_name(state: int) -> str:
    """Returns a name such as `ESTABLISHED`; an unknown state as a number."""
    return TcpState(state).name if state in TcpState._value2member_map_ else str(state)


def place(field: Field) -> tuple[int, int, int]:
    """Returns offset, size (4 or 8) and mask of a field in the big-endian word of memory that holds
    it; no field is in two."""
    size = 4 if field.width <= 32 else 8
    number, shift = divmod(field.shift, 8 * size)
    part, index = divmod(number, _PART // size)
    offset = _PART * (part + 1) - size * (index + 1)
    return offset, size, ((1 << field.width) - 1) << shift


def encode(fields: tuple[Field, ...], **values: int) -> bytes:
    """Returns the 128 bytes of a TCB in memory. Raises KeyError for a field it does not have."""
    known = {field.name: field for field in fields}
    number = 0
    for name, value in values.items():
        number |= known[name].put(value)
    little = number.to_bytes(BYTES, "little")
    return b"".join(little[at : at + _PART][::-1] for at in range(0, BYTES, _PART))


def decode(fields: tuple[Field, ...], block: bytes | memoryview) -> dict[str, int]:
    """Returns the fields of a TCB in memory (128 bytes)."""
    number = _number(block)
    return {field.name: field.get(number) for field in fields}


def _number(block: bytes | memoryview) -> int:
    """Returns the number that a TCB in memory is."""
    parts = (bytes(block[at : at + _PART])[::-1] for at in range(0, BYTES, _PART))
    return int.from_bytes(b"".join(parts), "little")
