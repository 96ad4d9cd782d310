"""Filters that send frames out again: by which port, and what is changed in them, byte by byte.

Port 0 receives. The wire of port 1 leads to port 2, whose interface gets what is sent.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from filters import EINVAL, FIRST, IP4, IP6, ROWS, Filters, exactly
from frames import ICMP, MAC, TCP, UDP, ethernet, ipv4, ipv6, tcp, udp
from rxdriver import DONE, HELD, RxDriver
from txdriver import make, tp

from vmcoredd.chip import tcb
from vmcoredd.chip.message_layouts import L2tWriteReq, SetTcbField, SmtWriteReq
from vmcoredd.chip.messages import Cpl, NatMode
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.engine import WireKind

IN, OUT, AWAY = 0, 1, 2
"""Ports."""
TO, FROM = bytes.fromhex("020000000aaa"), bytes.fromhex("020000000bbb")
PATIENCE = lib.ENGINE_PATIENCE * 10**9
"""Nanoseconds."""
NEIGHBOUR, SOURCE, TAG = 4095, 9, 0x6123
SHORTEST = 60
CHANGES: dict[NatMode, set[str]] = {
    NatMode.NONE: set(),
    NatMode.DIP: {"target"},
    NatMode.DIP_DP: {"target", "target port"},
    NatMode.DIP_DP_SIP: {"target", "target port", "source"},
    NatMode.DIP_DP_SP: {"target", "target port", "source port"},
    NatMode.SIP_SP: {"source", "source port"},
    NatMode.DIP_SIP_SP: {"target", "source", "source port"},
    NatMode.ALL: {"target", "target port", "source", "source port"},
}
"""cxgb4.h, enum of NAT modes."""


class Switch:
    """A driver that sets filters on port 0, and who gets what they send out."""

    def __init__(self, filters: Filters) -> None:
        self.filters, self.rig = filters, filters.rig
        self.away = RxDriver(self.rig.host, number=33 + AWAY, free_list=150)
        self.away.post()
        self.rig.interface(AWAY, promiscuous=1)
        self.wire(OUT, AWAY)
        words = make(
            L2tWriteReq, opcode=Cpl.L2T_WRITE_REQ, noreply=1, l2t_idx=NEIGHBOUR, vlan=TAG,
            port=OUT, dst_mac=TO,
        )  # fmt: skip
        self.tell(words, self.source(SOURCE, FROM))

    def wire(self, one: int, other: int) -> None:
        """Joins two ports; both are up."""
        engine = self.rig.engine
        for port, peer in ((one, other), (other, one)):
            engine.plug(port, WireKind.PORT, peer=peer)
            self.enable(port)

    def enable(self, port: int) -> None:
        engine = self.rig.engine
        engine.configure_port(
            port, configured=True, gigabits=10, sends_pauses=False, obeys_pauses=False
        )
        engine.enable_port(port, enabled=True)

    def source(self, index: int, mac: bytes, other: bytes = bytes(6)) -> bytes:
        """Returns a request for an entry of the table of source MACs, as write_smt_entry() makes
        it; `other` is the other one of its row, if there is."""
        pairs = self.rig.c.chip.source_macs_per_row == 2
        macs = {"src_mac0": mac, "src_mac1": bytes(6)}
        if pairs:
            macs = dict(zip(("src_mac1", "src_mac0") if index & 1 else ("src_mac0", "src_mac1"),
                            (mac, other), strict=True))  # fmt: skip
        row = index >> pairs
        request = make(SmtWriteReq, opcode=Cpl.SMT_WRITE_REQ, norpl=1, idx=row, **macs)
        return request if pairs else request + bytes(8)

    def tell(self, *cpls: bytes) -> None:
        self.filters.control.post(*(tp(cpl) for cpl in cpls))
        self.rig.run()

    def add(self, tid: int = FIRST, **asked: Any) -> None:
        self.filters.add(tid, **{"drop": 0, "lpbk": 1, "txchan": OUT, **exactly(port=IN), **asked})

    def sends(self, frame: bytes, *, loopback: bool = False) -> bytes | None:
        """Returns what a frame to port 0 becomes, at port 2; None if nothing comes there."""
        assert self.filters.drops(frame, loopback=loopback)
        got = self.away.poll()
        self.away.gts(len(got))
        if self.away.could_post():
            self.away.refill()
        return got[0].frame[2:] if got else None


@pytest.fixture
def switch(filters: Filters) -> Switch:
    return Switch(filters)


def padded(frame: bytes) -> bytes:
    return frame + bytes(max(SHORTEST - len(frame), 0))


def datagram(payload: bytes = bytes(20), tag: int | None = None, **addresses: Any) -> bytes:
    return ethernet(ipv4(udp(payload, ports=(1000, 7)), UDP, **addresses), IP4, tag=tag)


@dataclass(frozen=True)
class Case:
    """What a filter asks for, a frame, and what it becomes."""

    name: str
    asked: dict[str, Any]
    before: bytes
    after: bytes
    nat: dict[str, Any] = field(default_factory=dict)


PAYLOAD = bytes(range(50))
L2 = {"l2tix": NEIGHBOUR}
CASES = [
    Case("the same", {}, datagram(), datagram()),
    Case("too short", {}, ethernet(b"short"), padded(ethernet(b"short"))),
    Case("with its tag", {}, datagram(tag=9), datagram(tag=9)),
    Case("new target", {"dmac": 1, **L2}, datagram(), TO + datagram()[6:]),
    Case(
        "new source",
        {"smac": 1, "smac_sel": SOURCE},
        datagram(),
        MAC + FROM + datagram()[12:],
    ),
    Case(
        "both",
        {"dmac": 1, "smac": 1, "smac_sel": SOURCE, **L2},
        ethernet(PAYLOAD, tag=5),
        TO + FROM + ethernet(PAYLOAD, tag=5)[12:],
    ),
    Case("a tag", {"insvlan": 1, **L2}, datagram(), datagram(tag=TAG)),
    Case("no tag", {"rmvlan": 1, **L2}, datagram(PAYLOAD, tag=9), datagram(PAYLOAD)),
    Case("no tag, of none", {"rmvlan": 1, **L2}, datagram(), datagram()),
    Case(
        "no tag, and short then",
        {"rmvlan": 1, **L2},
        ethernet(bytes(42), tag=9),
        padded(ethernet(bytes(42))),
    ),
    Case("another tag", {"insvlan": 1, "rmvlan": 1, **L2}, datagram(tag=9), datagram(tag=TAG)),
    Case("another tag, of none", {"insvlan": 1, "rmvlan": 1, **L2}, datagram(), datagram(tag=TAG)),
    Case(
        "a second tag",
        {"insvlan": 1, **L2},
        datagram(tag=9),
        datagram()[:12] + struct.pack(">HH", 0x8100, TAG) + datagram(tag=9)[12:],
    ),
    Case(
        "all of it",
        {"insvlan": 1, "rmvlan": 1, "dmac": 1, "smac": 1, "smac_sel": SOURCE, **L2},
        ethernet(ipv4(tcp(PAYLOAD, ports=(1, 80)), TCP), IP4, tag=9),
        TO
        + FROM
        + ethernet(
            ipv4(tcp(PAYLOAD, ports=(3, 8080)), TCP, source="10.2.2.2", target="10.1.1.1"),
            IP4,
            tag=TAG,
        )[12:],
        {
            "natmode": NatMode.ALL,
            "newlip": "10.1.1.1",
            "newfip": "10.2.2.2",
            "newlport": 8080,
            "newfport": 3,
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_frame_is_sent_out_as_its_filter_says(switch: Switch, case: Case) -> None:
    switch.add(nat=case.nat, **case.asked)
    assert switch.sends(case.before) == case.after
    assert switch.filters.counts() == (1, len(case.before))
    assert switch.rig.c.counts.frames_dropped == 0


# Addresses and ports

NEW = {"newlip": "192.168.5.6", "newfip": "172.16.7.8", "newlport": 4000, "newfport": 50001}
NEW6 = {**NEW, "newlip": "2001:db8::1:2", "newfip": "fe80::3:4:5"}


def names(mode: NatMode, *, ipv6: bool = False, ports: bool = True) -> dict[str, Any]:
    """Returns what frames are made of after that mode, as ipv4(), udp() and so on take it."""
    new, changes = NEW6 if ipv6 else NEW, CHANGES[mode]
    old = ("fd00::1", "fd00::2") if ipv6 else ("10.0.0.1", "10.0.0.2")
    found: dict[str, Any] = {
        "source": new["newfip"] if "source" in changes else old[0],
        "target": new["newlip"] if "target" in changes else old[1],
    }
    if ports:
        found["ports"] = (
            new["newfport"] if "source port" in changes else 1000,
            new["newlport"] if "target port" in changes else 7,
        )
    return found


@pytest.mark.parametrize("mode", NatMode, ids=lambda mode: mode.name)
@pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_addresses_and_ports_are_translated_with_their_checksums(
    switch: Switch, mode: NatMode, protocol: int, ipv6: bool
) -> None:
    new = NEW6 if ipv6 else NEW
    switch.add(rqtype=ipv6, nat={"natmode": mode, "ulp_type": 5 * bool(mode), **new})
    segment, packet = (tcp if protocol == TCP else udp), (ipv6_packet if ipv6 else ipv4)
    kind = IP6 if ipv6 else IP4
    changed = names(mode, ipv6=ipv6)
    ports = changed.pop("ports")
    random = Random(int(mode))
    for length in (8, 9, 31, 400):
        payload = random.randbytes(length)
        before = ethernet(packet(segment(payload, ports=(1000, 7)), protocol), kind)
        after = ethernet(packet(segment(payload, ports=ports), protocol, **changed), kind)
        assert switch.sends(padded(before)) == padded(after)


def ipv6_packet(segment: bytes, protocol: int, **addresses: str) -> bytes:
    return ipv6(segment, protocol, **addresses)


def test_any_packet_has_right_checksums_after_translation(switch: Switch) -> None:
    random = Random(7)
    for n in range(300):
        source, target, *new = (address(random) for _ in range(4))
        ports = [random.choice((1, 0xFFFF, random.randrange(1, 1 << 16))) for _ in range(4)]
        nat = {"natmode": NatMode.ALL, "newfip": new[0], "newlip": new[1]}
        switch.add(nat={**nat, "newfport": ports[2], "newlport": ports[3]})
        payload = random.randbytes(random.randrange(20, 60))
        segment, protocol = random.choice(((tcp, TCP), (udp, UDP)))
        before, after = (
            padded(ethernet(ipv4(segment(payload, ports=pair), protocol, **ends), IP4))
            for pair, ends in (
                ((ports[0], ports[1]), {"source": source, "target": target}),
                ((ports[2], ports[3]), {"source": new[0], "target": new[1]}),
            )
        )
        assert same(switch.sends(before), after), n


def address(random: Random) -> str:
    return ".".join(str(random.choice((0, 255, random.randrange(256)))) for _ in range(4))


def same(one: bytes | None, other: bytes) -> bool:
    """Whether two frames are the same. In a checksum, 0 and 0xffff are: both are ones' complement's
    zero, and which a mended one is depends on what it was (RFC 1624)."""
    assert one is not None
    zeros = {14 + 10, 14 + 20 + (16 if one[23] == TCP else 6)}
    for at in zeros:
        if {one[at : at + 2], other[at : at + 2]} == {b"\0\0", b"\xff\xff"}:
            one = one[:at] + other[at : at + 2] + one[at + 2 :]
    return one == other


@pytest.mark.parametrize("wrong", ["header", "segment"])
def test_a_wrong_checksum_stays_wrong(switch: Switch, wrong: str) -> None:
    switch.add(nat={"natmode": NatMode.ALL, **NEW})
    at = 14 + 10 if wrong == "header" else 14 + 20 + 6
    before, after = bytearray(datagram()), bytearray(translated())
    before[at + 1] += 1
    after[at + 1] += 1
    assert switch.sends(bytes(before)) == after


def translated() -> bytes:
    """Returns datagram() after NAT of all."""
    changed = names(NatMode.ALL)
    ports = changed.pop("ports")
    return ethernet(ipv4(udp(bytes(20), ports=ports), UDP, **changed), IP4)


def test_a_datagram_without_a_checksum_has_none_after_translation(switch: Switch) -> None:
    switch.add(nat={"natmode": NatMode.ALL, **NEW})
    changed = names(NatMode.ALL)
    ports = changed.pop("ports")
    before = ethernet(ipv4(udp(bytes(20), ports=(1000, 7)), UDP, check=False), IP4)
    after = ethernet(ipv4(udp(bytes(20), ports=ports), UDP, check=False, **changed), IP4)
    assert switch.sends(before) == after


def test_a_packet_without_ports_has_its_addresses_translated(switch: Switch) -> None:
    switch.add(nat={"natmode": NatMode.ALL, **NEW})
    changed = names(NatMode.ALL, ports=False)
    before, after = (ipv4(bytes(range(30)), ICMP, **each) for each in ({}, changed))
    assert switch.sends(ethernet(before, IP4)) == ethernet(after, IP4)


def test_of_fragments_the_first_has_its_ports_translated(switch: Switch) -> None:
    switch.add(nat={"natmode": NatMode.ALL, **NEW})
    changed = names(NatMode.ALL)
    ports = changed.pop("ports")
    whole = (
        ipv4(udp(PAYLOAD, ports=(1000, 7)), UDP)[20:],
        ipv4(udp(PAYLOAD, ports=ports), UDP, **changed)[20:],
    )
    for first, last, fragment in ((0, 32, 0x2000), (32, None, 4)):
        before, after = (
            padded(
                ethernet(ipv4(data[first:last], UDP, fragment=fragment, check=False, **each), IP4)
            )
            for data, each in zip(whole, ({}, changed), strict=True)
        )
        assert switch.sends(before) == after


def test_what_is_no_ip_packet_stays_as_it_is(switch: Switch) -> None:
    switch.add(nat={"natmode": NatMode.ALL, **NEW})
    for payload, kind in ((bytes(60), 0x88B5), (b"\x65" + bytes(60), IP4), (bytes(60), IP4)):
        frame = ethernet(payload, kind)
        assert switch.sends(frame) == frame


def test_a_new_port_of_zero_leaves_the_port_on_a_t6(switch: Switch) -> None:
    nat = {"natmode": NatMode.DIP_DP_SP, "newlip": NEW["newlip"], "newfport": 9}
    switch.add(nat=nat)
    keeps = switch.rig.c.chip.nat_keeps_ports
    after = ipv4(udp(bytes(20), ports=(9, 7 if keeps else 0)), UDP, target=NEW["newlip"])
    assert switch.sends(datagram()) == ethernet(after, IP4)


# Tables


def test_an_entry_counts_as_it_is_when_a_frame_comes(switch: Switch) -> None:
    switch.add(dmac=1, smac=1, smac_sel=SOURCE, l2tix=NEIGHBOUR)
    other = [bytes([2, 0, 0, 0, 0, n]) for n in range(2)]
    switch.tell(
        make(L2tWriteReq, opcode=Cpl.L2T_WRITE_REQ, noreply=1, l2t_idx=NEIGHBOUR, dst_mac=other[0]),
        switch.source(SOURCE, other[1]),
    )
    assert switch.sends(datagram()) == other[0] + other[1] + datagram()[12:]


@pytest.mark.parametrize("index", [0, 1, 254, 255])
def test_a_row_of_source_macs_has_one_entry_or_two(switch: Switch, index: int) -> None:
    macs = [bytes([2, 0, 0, 0, 1, n]) for n in range(2)]
    switch.tell(switch.source(index, macs[0], macs[1]))
    found = [bytes(ffi.buffer(mac)) for mac in switch.rig.c.source_macs]
    assert found[index] == macs[0]
    if switch.rig.c.chip.source_macs_per_row == 2:
        assert found[index ^ 1] == macs[1]


def test_the_tables_are_in_a_snapshot(switch: Switch) -> None:
    engine = switch.rig.engine
    switch.add(dmac=1, l2tix=NEIGHBOUR)
    saved = engine.save()
    switch.tell(make(L2tWriteReq, opcode=Cpl.L2T_WRITE_REQ, noreply=1, l2t_idx=NEIGHBOUR))
    engine.load(saved)
    assert switch.sends(datagram()) == TO + datagram()[6:]


# Control blocks


def block_words(switch: Switch) -> list[int]:
    """The 32-bit words of the filter's control block."""
    data = ffi.buffer(switch.filters.blocks)[FIRST * tcb.BYTES : (FIRST + 1) * tcb.BYTES]
    little = b"".join(data[at : at + 16][::-1] for at in range(0, tcb.BYTES, 16))
    return list(struct.unpack("<32I", little))


def test_a_control_block_has_what_the_filter_rewrites(switch: Switch) -> None:
    nat = {"natmode": NatMode.ALL, **NEW}
    switch.add(dmac=1, smac=1, smac_sel=SOURCE, insvlan=1, rmvlan=1, nat=nat, **L2)
    assert switch.filters.block() == {
        "non_offload": 1, "lpbk": 1, "cctrl_ece": 1, "cctrl_cwr": 1, "cctrl_rfr": 1, "nagle": 1,
        "l2t_ix": NEIGHBOUR, "smac_sel": SOURCE,
    }  # fmt: skip
    words = block_words(switch)
    assert words[tcb.NatWord.LOCAL] == 0xC0A80506
    assert words[tcb.NatWord.FOREIGN] == 0xAC100708
    assert words[tcb.NatWord.PORTS] == 50001 << 16 | 4000


def test_a_control_block_has_new_ipv6_addresses_last_words_first(switch: Switch) -> None:
    switch.add(rqtype=1, nat={"natmode": NatMode.ALL, **NEW6})
    words = block_words(switch)
    assert words[10:14] == [0x10002, 0, 0, 0x20010DB8]
    assert words[27:31] == [0x40005, 0x3, 0, 0xFE800000]


def set_field(word: int, mask: int, value: int, tid: int = FIRST) -> bytes:
    return make(
        SetTcbField, opcode=Cpl.SET_TCB_FIELD, tid=tid, word=word, mask=mask, val=value, no_reply=1
    )


def test_a_driver_may_choose_the_source_mac_by_fields_of_the_control_block(switch: Switch) -> None:
    switch.add()
    switch.tell(set_field(0, 0xFF << 24, SOURCE << 24), set_field(1, 1 << 61, 1 << 61))
    assert switch.sends(datagram()) == MAC + FROM + datagram()[12:]
    assert switch.filters.block() == {
        "non_offload": 1, "lpbk": 1, "cctrl_cwr": 1, "smac_sel": SOURCE,
        "packet_count": 1, "byte_count": len(datagram()),
    }  # fmt: skip


def test_a_field_of_the_last_word_or_of_no_filter_changes_nothing_else(switch: Switch) -> None:
    switch.add()
    before = bytes(ffi.buffer(switch.filters.blocks))
    whole = (1 << 64) - 1
    for tid in (FIRST + 1, 200, ROWS, (1 << 24) - 1):
        switch.tell(set_field(31, whole, whole, tid))
    assert bytes(ffi.buffer(switch.filters.blocks)) == before
    switch.tell(set_field(31, whole, whole))
    assert block_words(switch)[31] == 0xFFFFFFFF
    after = bytes(ffi.buffer(switch.filters.blocks))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 4


# Ports


def test_a_frame_leaves_by_the_port_it_came_by_if_its_filter_says_so(switch: Switch) -> None:
    switch.wire(IN, AWAY)
    switch.add(txchan=IN)
    assert switch.sends(datagram()) == datagram()


def test_a_peer_that_goes_while_its_frames_come_back_leaves_nothing_behind(
    switch: Switch, tmp_path: Path
) -> None:
    """The card finds that out when it sends a frame, in the middle of those that it takes."""
    ours, peer = socket.socketpair()
    switch.enable(IN)
    switch.rig.engine.plug(IN, WireKind.STREAM, fd=ours.detach(), path=str(tmp_path / "wire"))
    switch.add(txchan=IN)
    frame = datagram(bytes(8000))
    burst = 20 * (struct.pack(">I", len(frame)) + frame)
    with peer:
        for _ in range(2):
            peer.sendall(burst)
            switch.rig.run()
        peer.sendall(burst)
    switch.rig.run()
    assert 40 < switch.filters.counts()[0] < 60
    assert switch.rig.c.ports[IN].wire.fd < 0
    assert not switch.rig.troubles


def test_a_port_without_a_link_sends_nothing_and_counts_it(switch: Switch) -> None:
    switch.add()
    switch.rig.engine.enable_port(AWAY, enabled=False)
    assert switch.sends(datagram()) is None
    assert switch.rig.c.counts.frames_dropped == 1
    assert switch.filters.counts()[0] == 1


def test_a_drop_comes_before_a_switch(switch: Switch) -> None:
    switch.add(drop=1)
    assert switch.sends(datagram()) is None
    assert switch.filters.counts()[0] == 1


def test_a_frame_of_the_internal_loopback_is_switched_as_well(switch: Switch) -> None:
    switch.add(**exactly(port=IN + 4))
    assert switch.sends(datagram(), loopback=True) == datagram()


def test_a_frame_waits_until_the_other_port_takes_it_and_is_counted_once(switch: Switch) -> None:
    switch.add()
    free_list = switch.rig.c.egress[150]
    free_list.pidx = free_list.cidx
    assert [switch.rig.receive(datagram()) for _ in range(3)] == [HELD] * 3
    assert switch.filters.counts()[0] == 0
    free_list.pidx = 1
    assert switch.sends(datagram()) == datagram()
    assert switch.away.poll() == []
    assert switch.filters.counts() == (1, len(datagram()))


def test_a_frame_for_a_card_that_takes_none_is_not_waited_for_without_end(switch: Switch) -> None:
    """That card's filters may send it back, and wait for this one."""
    rig = switch.rig
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    rig.engine.plug(OUT, WireKind.CARD, fd=ours.detach())
    switch.add()
    with peer:
        peer.send(b"\1")
        rig.run()
        while rig.receive(datagram()) == DONE:
            pass
        rig.run(PATIENCE - 1)
        assert rig.receive(datagram()) == HELD
        rig.run(1)
        assert rig.receive(datagram()) == DONE
        assert rig.c.counts.frames_dropped == 1
        assert peer.recv(1) == b"\1"
        assert peer.recv(100) == padded(datagram())
        assert rig.receive(datagram()) == DONE
        assert rig.c.counts.frames_dropped == 1


def test_a_frame_goes_out_once_and_to_the_interface_that_no_filter_concerns(switch: Switch) -> None:
    filters = switch.filters
    filters.mode(1 << 2)
    for number in (3, 4):
        switch.rig.interface(number, port=IN, promiscuous=1, vnic_id=number, default_queue=34)
    for number in range(2):
        value = (filters.rig.c.interfaces[0].vnic_id & 0xFFFF, 3)[number]
        switch.add(FIRST + number, ovlan=value, ovlanm=0xFFFF, portm=0)
    got = filters.arrives(datagram())
    assert got
    assert (got.frame[2:], got.rss.qid) == (datagram(), 34)
    assert [each.frame[2:] for each in switch.away.poll()] == [datagram()]
    assert filters.queues[34].poll() == []
    assert [filters.counts(FIRST + n)[0] for n in range(2)] == [1, 1]


def test_a_frame_waits_for_room_in_the_host_before_a_copy_goes_out(switch: Switch) -> None:
    filters = switch.filters
    filters.mode(1 << 2)
    switch.rig.interface(3, port=IN, promiscuous=1, vnic_id=3, default_queue=34)
    switch.add(ovlan=filters.rig.c.interfaces[0].vnic_id & 0xFFFF, ovlanm=0xFFFF, portm=0)
    free_list = switch.rig.c.egress[134]
    free_list.pidx = free_list.cidx
    assert [switch.rig.receive(datagram()) for _ in range(3)] == [HELD] * 3
    assert switch.away.poll() == []
    free_list.pidx = 1
    assert filters.arrives(datagram())
    assert len(switch.away.poll()) == 1


@pytest.mark.parametrize("ports", [(IN, IN), (IN, OUT)], ids=["one filter", "two"])
def test_a_frame_that_filters_send_in_a_circle_is_dropped_in_the_end(
    switch: Switch, ports: tuple[int, int]
) -> None:
    """Ports 0 and 1 are wired to each other, and each sends out what it gets."""
    switch.wire(IN, OUT)
    switch.rig.interface(OUT, promiscuous=1)
    for n in range(2):
        switch.add(FIRST + n, txchan=n, **exactly(port=n))
    assert switch.rig.receive(datagram()) == DONE
    assert sum(switch.filters.counts(FIRST + n)[0] for n in range(2)) == 9
    assert switch.rig.c.counts.frames_dropped == 1
    assert switch.rig.receive(datagram(), ports[1]) == DONE


def test_a_frame_that_no_port_receives_is_not_sent_out_of_the_loopback(switch: Switch) -> None:
    switch.add(**exactly(port=IN + 4))
    longest = ethernet(bytes(9618 - 14))
    assert switch.sends(longest, loopback=True) == longest
    assert switch.sends(longest + b"x", loopback=True) is None
    assert switch.rig.c.counts.frames_dropped == 1


def test_the_longest_frame_has_room_for_a_tag(switch: Switch) -> None:
    """Which makes it too long for the port that gets it."""
    switch.add(insvlan=1, **L2)
    assert switch.sends(ethernet(bytes(9614 - 14))) is not None
    assert switch.sends(ethernet(bytes(9618 - 14))) is None
    assert switch.rig.c.counts.frames_dropped == 0


def test_only_what_is_sent_out_can_be_rewritten(switch: Switch) -> None:
    for asked in ({"dmac": 1}, {"nat": {"natmode": 1, "ulp_type": 5}}):
        assert switch.filters.ask(**{"lpbk": 0, **asked}) == EINVAL
