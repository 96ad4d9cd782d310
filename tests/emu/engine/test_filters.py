"""Filters: what they match, what becomes of a frame, and what a driver and a dump see of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from filters import (
    ADDED,
    DEFAULT,
    DELETED,
    EINVAL,
    EVENTS,
    FCOE,
    FIRST,
    IP4,
    IP6,
    LAST,
    PRIORITY,
    ROWS,
    STEERED,
    VNIC,
    Filters,
    exactly,
    filter_request,
)
from frames import TCP, UDP, ethernet, ipv4, ipv6, tcp, udp
from rxdriver import DONE, HELD, RxDriver
from txdriver import make

from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.le import (
    DEFAULT_FILTER_MODE,
    ETHERTYPE_FILTER_MODE,
    FILTER_FIELDS,
    IPV6_MARK,
    LookupEntry,
    filter_fields,
    filter_mode,
    virtual_interface,
)
from vmcoredd.chip.message_layouts import Filter, FilterNat
from vmcoredd.chip.messages import WorkRequest
from vmcoredd.emu._cffi import lib


def datagram(ports: tuple[int, int] = (1000, 7), tag: int | None = None, **addresses: Any) -> bytes:
    return ethernet(ipv4(udp(ports=ports), UDP, **addresses), IP4, tag=tag)


def datagram6(ports: tuple[int, int] = (1000, 7), **addresses: Any) -> bytes:
    return ethernet(ipv6(udp(ports=ports), UDP, **addresses), IP6)


def with_tos(frame: bytes, tos: int) -> bytes:
    """Returns an IPv4 frame with another type of service; its checksum is wrong."""
    return frame[:15] + bytes([tos]) + frame[16:]


PORT_7 = exactly(ethtype=IP4, ptcl=UDP, lp=7, port=0)
"""What `ethtool -N ... flow-type udp4 dst-port 7` asks for."""


# What becomes of a frame


def test_a_frame_that_a_filter_drops_comes_nowhere_and_others_do(filters: Filters) -> None:
    filters.add(**PORT_7)
    assert filters.drops(datagram((1000, 7)))
    assert not filters.drops(datagram((1000, 8)))
    assert not filters.drops(ethernet(bytes(46)))
    assert filters.rig.c.counts.frames_dropped == 0  # of those for which there was no room


def test_a_filter_steers_frames_to_its_queue(filters: Filters) -> None:
    filters.add(drop=0, dirsteer=1, iq=STEERED, **PORT_7)
    got = filters.arrives(datagram())
    assert got
    assert (got.rss.qid, got.rss.filter_hit, got.rss.filter_tid) == (STEERED, 1, 0)
    other = filters.arrives(datagram((1000, 8)))
    assert other
    assert (other.rss.qid, other.rss.filter_hit) == (DEFAULT, 0)


def test_a_filter_that_does_neither_lets_a_frame_pass(filters: Filters) -> None:
    filters.add(drop=0, **PORT_7)
    got = filters.arrives(datagram())
    assert got
    assert (got.rss.qid, got.rss.filter_hit) == (DEFAULT, 1)
    assert filters.counts() == (1, len(datagram()))


def test_a_filter_may_tell_its_tid_in_place_of_the_hash(filters: Filters) -> None:
    filters.add(LAST, drop=0, rpttid=1, **PORT_7)
    got = filters.arrives(datagram())
    assert got
    assert (got.rss.filter_hit, got.rss.filter_tid, got.rss.hash_val) == (1, 1, LAST)


def test_a_frame_for_a_queue_that_is_not_there_is_dropped_for_want_of_room(
    filters: Filters,
) -> None:
    filters.add(drop=0, dirsteer=1, iq=0x3FF, **PORT_7)
    assert filters.drops(datagram())
    assert filters.rig.c.counts.frames_dropped == 1


def test_a_frame_waits_for_the_queue_it_is_steered_to_and_is_counted_once(filters: Filters) -> None:
    filters.add(drop=0, dirsteer=1, iq=STEERED, **PORT_7)
    free_list = filters.rig.c.egress[STEERED + 100]
    free_list.pidx = free_list.cidx
    assert [filters.rig.receive(datagram()) for _ in range(3)] == [HELD] * 3
    assert filters.counts()[0] == 0
    free_list.pidx = 1
    assert filters.arrives(datagram())
    assert filters.counts() == (1, len(datagram()))


def test_a_frame_that_no_interface_wants_meets_no_filter(filters: Filters) -> None:
    filters.add(**PORT_7)
    filters.rig.interface(promiscuous=0)
    filters.rig.receive(datagram())
    assert filters.counts() == (0, 0)


# What matches


@dataclass(frozen=True)
class Match:
    """A filter, and frames that it matches and that it does not."""

    name: str
    asked: dict[str, Any]
    hits: tuple[bytes, ...]
    misses: tuple[bytes, ...]
    mode: int = ETHERTYPE_FILTER_MODE


FRAGMENT = ethernet(ipv4(udp(), UDP, fragment=0x2000, check=False), IP4)
SEGMENT = ethernet(ipv4(tcp(ports=(5, 80)), TCP), IP4)
MATCHES = [
    Match("all but IPv6", {}, (datagram(), SEGMENT, ethernet(bytes(46))), (datagram6(),)),
    Match("all of IPv6", {"rqtype": 1}, (datagram6(),), (datagram(), ethernet(bytes(46)))),
    Match("EtherType", exactly(ethtype=IP4), (datagram(), SEGMENT), (ethernet(bytes(46)),)),
    Match(
        "part of the EtherType",
        {"ethtype": 0x8800, "ethtypem": 0xFF00},
        (ethernet(bytes(46), 0x88B5), ethernet(bytes(46), 0x8808)),
        (datagram(), ethernet(bytes(46), 0x8906)),
    ),
    Match("inner EtherType", exactly(ethtype=IP4), (datagram(tag=9),), ()),
    Match("protocol", exactly(ptcl=TCP), (SEGMENT,), (datagram(),)),
    Match("type of service", exactly(ttyp=0x20), (with_tos(datagram(), 0x20),), (datagram(),)),
    Match("fragments", {"frag": 1, "fragm": 1}, (FRAGMENT,), (datagram(),)),
    Match("no fragments", {"frag": 0, "fragm": 1}, (datagram(),), (FRAGMENT,)),
    Match("target port", exactly(lp=80), (SEGMENT,), (datagram(), datagram((80, 7)), FRAGMENT)),
    Match("source port", exactly(fp=5), (SEGMENT,), (datagram((7, 5)),)),
    Match(
        "a range of ports",
        {"lp": 0x100, "lpm": 0xFF00},
        (datagram((1, 0x100)), datagram((1, 0x1FF))),
        (datagram((1, 0x200)), datagram((1, 0xFF))),
    ),
    Match(
        "target address",
        {"addresses": {"lip": "10.0.0.2", "lipm": "255.255.255.255"}},
        (datagram(), SEGMENT, FRAGMENT),
        (datagram(target="10.0.0.3"), datagram(source="10.0.0.2", target="10.0.0.1")),
    ),
    Match(
        "source net",
        {"addresses": {"fip": "10.9.0.0", "fipm": "255.255.0.0"}},
        (datagram(source="10.9.1.2"), datagram(source="10.9.255.1")),
        (datagram(source="10.8.1.2"), datagram(target="10.9.1.2")),
    ),
    Match(
        "IPv6 target address",
        {"rqtype": 1, "addresses": {"lip": "fd00::2", "lipm": ":".join(["ffff"] * 8)}},
        (datagram6(),),
        (datagram6(target="fd00::3"), datagram6(target="fd01::2"), datagram()),
    ),
    Match(
        "IPv6 source net and port",
        {"rqtype": 1, **exactly(lp=7), "addresses": {"fip": "fd00:1::", "fipm": "ffff:ffff::"}},
        (datagram6(source="fd00:1::9"), datagram6(source="fd00:1:2:3:4:5:6:7")),
        (datagram6(), datagram6((1, 8), source="fd00:1::9")),
    ),
    Match(
        "VLAN",
        {"ivlan": 9, "ivlanm": 0xFFF, "ivlan_vld": 1, "ivlan_vldm": 1},
        (datagram(tag=9), datagram(tag=0x2009)),
        (datagram(tag=8), datagram()),
        DEFAULT_FILTER_MODE,
    ),
    Match("no VLAN", {"ivlan_vldm": 1}, (datagram(),), (datagram(tag=0),), DEFAULT_FILTER_MODE),
    Match(
        "interface",
        {"ovlan": VNIC, "ovlanm": 0xFFFF, "ovlan_vld": 1, "ovlan_vldm": 1},
        (datagram(), ethernet(bytes(46))),
        (datagram6(),),
        filter_mode("port", "vnic_id", "ethertype"),
    ),
    Match(
        "another interface",
        {"ovlan": VNIC + 1, "ovlanm": 0xFFFF, "ovlan_vld": 1, "ovlan_vldm": 1},
        (),
        (datagram(),),
        filter_mode("port", "vnic_id", "ethertype"),
    ),
    Match(
        "VLAN and EtherType",
        {"ivlan": 9, "ivlanm": 0xFFF, "ivlan_vld": 1, "ivlan_vldm": 1, **exactly(ethtype=IP4)},
        (datagram(tag=9),),
        (datagram(), ethernet(bytes(46), tag=9)),
        filter_mode("port", "vlan", "ethertype"),
    ),
    Match(
        "FCoE",
        {"fcoe": 1, "fcoem": 1},
        (ethernet(bytes(46), FCOE),),
        (datagram(),),
        DEFAULT_FILTER_MODE,
    ),
]


@pytest.mark.parametrize("match", MATCHES, ids=[match.name for match in MATCHES])
def test_a_filter_matches_what_it_says(filters: Filters, match: Match) -> None:
    filters.mode(match.mode)
    filters.add(**match.asked)
    assert [filters.drops(frame) for frame in match.hits] == [True] * len(match.hits)
    assert [filters.drops(frame) for frame in match.misses] == [False] * len(match.misses)
    assert filters.counts() == (len(match.hits), sum(map(len, match.hits)))


def test_a_filter_of_a_port_leaves_the_other_and_the_ports_loopback_alone(
    filters: Filters,
) -> None:
    filters.rig.interface(1, promiscuous=1, default_queue=DEFAULT)
    filters.add(**exactly(port=1))
    assert not filters.drops(datagram(), 0)
    assert filters.drops(datagram(), 1)
    assert not filters.drops(datagram(), 1, loopback=True)


def test_each_interface_meets_the_filters_for_itself(filters: Filters) -> None:
    filters.mode(filter_mode("vnic_id"))
    other = RxDriver(filters.rig.host, number=35, free_list=135)
    other.post()
    filters.rig.interface(
        1, port=0, promiscuous=1, default_queue=35, vnic_id=virtual_interface(4, 0x41)
    )
    filters.add(ovlan=VNIC, ovlanm=0xFFFF)
    filters.add(FIRST + 1, drop=0)
    assert filters.drops(datagram())
    assert [(got.frame[2:], got.rss.filter_hit) for got in other.poll()] == [(datagram(), 1)]
    assert [filters.counts(FIRST + n)[0] for n in range(2)] == [1, 1]


def test_an_outer_vlan_is_refused(filters: Filters) -> None:
    filters.mode(filter_mode("port", "vnic_id"), outer=True)
    assert filters.ask(drop=1, ovlan=9, ovlanm=0xFFF, ovlan_vld=1, ovlan_vldm=1) == EINVAL


def test_the_filter_with_the_lowest_tid_decides(filters: Filters) -> None:
    filters.add(FIRST + 9, drop=0, **PORT_7)
    assert not filters.drops(datagram())
    filters.add(FIRST + 8, **PORT_7)
    assert filters.drops(datagram())
    filters.add(FIRST + 7, drop=0, dirsteer=1, iq=STEERED)
    assert not filters.drops(datagram())
    assert [filters.counts(FIRST + n)[0] for n in (7, 8, 9)] == [1, 1, 1]


def test_a_filter_of_high_priority_comes_first_where_there_are_such(filters: Filters) -> None:
    filters.add(FIRST, drop=0, **PORT_7)
    result = filters.ask(PRIORITY - 1, drop=1, prio=1, **PORT_7)
    assert result == (ADDED if filters.rig.c.priority_filters else EINVAL)
    assert filters.drops(datagram()) is (result == ADDED)


# What a driver and a dump see


def test_hits_are_counted_if_the_filter_wants_it(filters: Filters) -> None:
    filters.add(FIRST, hitcnts=0, **PORT_7)
    filters.add(FIRST + 1, **exactly(lp=8))
    for port in (7, 8, 8, 9):
        filters.arrives(datagram((1, port)))
    assert filters.counts(FIRST) == (0, 0)
    assert filters.counts(FIRST + 1) == (2, 2 * len(datagram()))


def test_each_copy_of_a_frame_is_a_hit_of_its_own(filters: Filters) -> None:
    filters.rig.interface(1, port=0, promiscuous=1, default_queue=STEERED)
    filters.add(FIRST, **PORT_7)
    filters.add(FIRST + 1, **exactly(lp=8), drop=0, dirsteer=1, iq=STEERED)
    assert filters.drops(datagram((1, 7)))
    filters.arrives(datagram((1, 8)))
    assert [filters.counts(FIRST + n) for n in range(2)] == [(2, 2 * len(datagram()))] * 2


def test_a_control_block_has_what_the_filter_does(filters: Filters) -> None:
    filters.add(FIRST, **PORT_7)
    filters.add(FIRST + 4, drop=0, dirsteer=1, iq=STEERED, rqtype=1)
    assert filters.block() == {"non_offload": 1, "drop": 1}
    steers = {"non_offload": 1, "direct_steer": 1, "rss_info": STEERED, "ip_version": 1}
    assert filters.block(FIRST + 4) == steers


@pytest.mark.parametrize("mode", [ETHERTYPE_FILTER_MODE, DEFAULT_FILTER_MODE])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_the_lookup_engine_has_the_entry(filters: Filters, mode: int, ipv6: bool) -> None:
    filters.mode(mode)
    local, foreign, whole = ("fd00::2", "fd00::1", "ffff::ffff") if ipv6 else (
        "10.0.0.2", "10.0.0.1", "255.0.0.255",
    )  # fmt: skip
    addresses = {"lip": local, "lipm": whole, "fip": foreign, "fipm": whole}
    filters.add(rqtype=ipv6, addresses=addresses, **exactly(ptcl=UDP, port=1, lp=7, fp=9))
    *words, mark = filters.entry()
    assert mark == (IPV6_MARK if ipv6 else 0)
    entry = LookupEntry.of_words([*words, mark])
    assert (entry.local_port, entry.foreign_port) == (7, 9)
    assert entry.local == bytes.fromhex("fd00" + "00" * 13 + "02" if ipv6 else "0a000002")
    assert entry.foreign[-1] == 1
    fields = {field.name: field.get(entry.filter_tuple) for field in filter_fields(mode)}
    assert {name: value for name, value in fields.items() if value} == {"protocol": UDP, "port": 1}


def test_what_a_mask_leaves_out_is_zero_in_the_entry(filters: Filters) -> None:
    filters.add(lp=0x1234, lpm=0xFF00, ethtype=IP4)
    entry = LookupEntry.of_words(filters.entry())
    assert (entry.local_port, entry.filter_tuple) == (0x1200, 0)


def test_nothing_is_left_of_a_filter_that_is_deleted(filters: Filters) -> None:
    filters.add(**PORT_7)
    assert filters.drops(datagram())
    filters.delete()
    assert filters.entry() == [0] * 17
    assert filters.block() == {}
    assert not filters.drops(datagram())
    filters.add(**PORT_7)
    assert filters.counts() == (0, 0)


def test_deleting_what_is_not_there_is_confirmed(filters: Filters) -> None:
    filters.delete(LAST)


def test_a_filter_without_reply_is_set_all_the_same(filters: Filters) -> None:
    filters.control.post(filter_request(FIRST, replies_to=EVENTS, noreply=1, drop=1))
    assert filters.replies() == []
    assert filters.drops(datagram())


def test_a_filter_is_set_once_though_its_reply_has_to_wait(filters: Filters) -> None:
    full = filters.events.entries - 1
    for _ in range(full):
        assert filters.rig.cpl(EVENTS, bytes(32)) == DONE
    filters.control.post(filter_request(FIRST, replies_to=EVENTS, drop=1, hitcnts=1))
    filters.rig.run()
    assert filters.control.cidx != filters.control.pidx
    assert filters.drops(datagram())
    filters.events.gts(len(filters.events.poll()))
    assert filters.replies() == [(FIRST, ADDED)]
    assert filters.counts()[0] == 1


def test_all_tids_can_have_a_filter(filters: Filters) -> None:
    normal = LAST + 1 - FIRST
    first = filters.rig.c.priority_filters
    tids = [*range(first), *range(FIRST, FIRST + normal)]
    for tid in tids:
        filters.add(tid, **exactly(lp=tid))
    for tid in tids:
        assert filters.drops(datagram((1, tid)))
    assert [filters.counts(tid)[0] for tid in tids] == [1] * len(tids)


# Whose they are


def test_a_functions_filters_go_with_it(filters: Filters) -> None:
    filters.add(FIRST, **PORT_7)
    filters.rig.c.filters[PRIORITY].pf = 3
    filters.add(FIRST + 1, **exactly(lp=8))
    lib.engine_stop(filters.rig.c, 4)
    assert filters.entry(FIRST + 1) == [0] * 17
    assert filters.rig.c.filters_used[PRIORITY // 64] == 1
    lib.engine_stop(filters.rig.c, -1)
    assert not any(filters.rig.c.filters_used)
    assert filters.entry(FIRST) == [0] * 17


def test_filters_are_in_a_snapshot(filters: Filters) -> None:
    engine = filters.rig.engine
    filters.add(**PORT_7)
    saved = engine.save()
    filters.delete()
    assert not filters.drops(datagram())
    engine.load(saved)
    assert filters.drops(datagram())


# What is refused

REFUSED: dict[str, dict[str, Any]] = {
    "a port that is not there": {"lpbk": 1, "txchan": 1},
    "target MAC": {"dmac": 1},
    "source MAC": {"smac": 1},
    "VLAN insertion": {"insvlan": 1},
    "VLAN removal": {"rmvlan": 1},
    "NAT": {"nat": {"natmode": 1}},
    "a check of TCP's flags": {"nat": {"natflagcheck": 1}},
    "swapped MACs": {"nat": {"swapmac": 1}},
    "offload": {"nat": {"ulp_type": 1}},
    "hash of a mask": {"maskhash": 1},
    "steering by hash": {"dirsteerhash": 1},
    "MAC index": {"macim": 1},
    "kind of MAC match": {"matchtypem": 1},
    "outer VLAN": {"ovlan_vldm": 1},
    "VLAN, which the mode lacks": {"ivlan_vldm": 1},
    "FCoE, which the mode lacks": {"fcoem": 1},
    "a TID of a connection": {"tid": PRIORITY},
    "a TID behind the filters": {"tid": LAST + 1},
    "the last TID": {"tid": 0xFFFFF},
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED)
def test_a_filter_that_cannot_be_done_is_refused(filters: Filters, asked: dict[str, Any]) -> None:
    assert filters.ask(**{"tid": FIRST, "drop": 1, **asked}) == EINVAL
    assert not any(filters.rig.c.filters_used)
    assert not filters.drops(datagram())


@pytest.mark.parametrize(
    ("missing", "asked"),
    [("ethertype", exactly(ethtype=IP4)), ("tos", exactly(ttyp=8))],
)
def test_a_field_that_the_mode_lacks_is_refused(
    filters: Filters, missing: str, asked: dict[str, int]
) -> None:
    filters.mode(DEFAULT_FILTER_MODE)
    assert missing not in {field.name for field in filter_fields(DEFAULT_FILTER_MODE)}
    assert filters.ask(drop=1, **asked) == EINVAL


def test_a_tid_without_filters_has_none_to_delete(filters: Filters) -> None:
    assert filters.ask(LAST + 1, del_filter=1) == EINVAL


def test_an_ipv6_filter_takes_several_tids(filters: Filters) -> None:
    size = filters.rig.c.chip.ipv6_filter_tids
    assert filters.ask(FIRST + 1, rqtype=1) == EINVAL
    filters.add(FIRST + size, rqtype=1)
    assert filters.ask(FIRST + size + 1) == EINVAL
    filters.add(FIRST + size - 1)
    filters.add(FIRST + 2 * size + 1)
    assert filters.ask(FIRST + 2 * size, rqtype=1) == EINVAL
    filters.delete(FIRST + 2 * size + 1)
    filters.add(FIRST + 2 * size, rqtype=1)


@pytest.mark.parametrize("op", [WorkRequest.FILTER, WorkRequest.FILTER2])
def test_a_request_that_is_too_short_halts_its_queue(filters: Filters, op: WorkRequest) -> None:
    length = sizeof(Filter) + (sizeof(FilterNat) if op == WorkRequest.FILTER2 else 0)
    request = make(Filter, op=op, len16=length // 16 - 1)
    filters.control.post(request + bytes(length - len(request)))
    filters.rig.run()
    assert filters.control.halted
    assert [each.kind.name for each in filters.rig.troubles] == ["WORK_REQUEST"]


def test_nothing_but_the_filters_own_tids_changes_whatever_requests_say(filters: Filters) -> None:
    random = Random(13)
    normal = range(FIRST, LAST + 1)
    own = {*range(filters.rig.c.priority_filters), *normal}
    results = set()
    for _ in range(600):
        asked = bytearray(filter_request(0, replies_to=EVENTS))
        for at in range(16, 128):
            asked[at] = random.getrandbits(8) if random.random() < 0.3 else 0
        tid = random.choice((random.choice(normal), random.getrandbits(20), random.randrange(128)))
        asked[16:20] = (tid << 12 | random.getrandbits(12) & 0xBFF).to_bytes(4, "big")
        asked[30:32] = EVENTS.to_bytes(2, "big")
        filters.control.post(bytes(asked))
        ((said, result),) = filters.replies()
        assert said == tid
        results.add(result)
        filters.rig.receive(random.choice((datagram(), datagram6(), FRAGMENT)))
    assert results == {ADDED, DELETED, EINVAL}
    used = {tid for tid in range(ROWS) if any(filters.entry(tid)) or filters.block(tid)}
    assert used <= own


def test_c_knows_the_fields_by_the_bits_of_the_filter_mode() -> None:
    names = [name for name, _ in FILTER_FIELDS]
    assert [getattr(lib, f"FILTER_{name.upper()}") for name in names] == [*range(lib.FILTER_FIELDS)]
