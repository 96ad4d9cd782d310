"""Filters of a stock driver: `ethtool -N` and tc flower drop frames, choose their queue, or send
them back rewritten.

Datagrams go from the far end of a wire to ports on which nobody listens at the near one: the kernel
counts those that arrive (NoPorts). What comes back to the far end, tcpdump sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
import recorded
from findings import stands
from stock import FEW, SHARED, Stock, Wire

from vmcoredd.chip import tcb
from vmcoredd.chip.le import LookupEntry
from vmcoredd.emu import Card

pytestmark = [pytest.mark.guest, pytest.mark.interop]
SECONDS = 60.0
TRIES = 40
"""How often a count is read before it must be right; each takes the guest a moment."""
SENT = 10
NO_PORTS = "awk '/^Udp:/ {n = $3} END {print n}' /proc/net/snmp"
NO_PORTS_6 = "awk '/^Udp6NoPorts/ {print $2}' /proc/net/snmp6"
STEERED, DROPPED, OTHER = {7001: 3, 7002: 5}, 7003, 7004
"""Ports, and the queues of those that are steered: without filters, all go to the same."""


class Near:
    """The near end of a wire, which sets filters, and who sends to it."""

    def __init__(self, stock: Stock, wire: Wire) -> None:
        self.stock, self.wire, self.name = stock, wire, wire.near
        self.card: Card = stock.cards[wire.card]

    def run(self, command: str) -> str:
        return self.stock.run(command, SECONDS)

    def refuses(self, command: str) -> str:
        """Runs a command that must fail; returns what it says."""
        result = self.stock.guest.run(command, SECONDS, check=False)
        assert result.code, result
        return result.output

    def sent(self, port: int, address: str = "") -> None:
        """Has the far end send datagrams to a port."""
        self.run(self.sending(port, address or f"10.9.{self.wire.number}.1"))

    def sending(self, port: int, address: str) -> str:
        loop = f"for n in $(seq {SENT}); do echo hello >/dev/udp/{address}/{port}; done"
        return f"{self.wire.space} bash -c '{loop}'"

    def heard(self, counter: str = NO_PORTS) -> int:
        """How many datagrams have come to ports on which nobody listens."""
        return int(self.run(counter))

    def in_queue(self, number: int) -> int:
        """How many frames a receive queue has got, by debugfs."""
        device = self.run(f"basename $(realpath /sys/class/net/{self.name}/device)").strip()
        said = self.run(f"cat /sys/kernel/debug/cxgb4/{device}/sge_qinfo")
        queues = recorded.queues(said, "Ethernet")
        return int([each for each in queues if each["Interface"] == self.name][number]["RxPackets"])

    def mac(self, *, far: bool = False) -> str:
        """The address of an end."""
        name = f"{self.wire.space} ip" if far else "ip"
        interface = self.wire.far if far else self.name
        return self.run(f"{name} -br link show {interface}").split()[2]

    def tagged(self, tag: int) -> str:
        """Returns what gives the far end an interface on a VLAN, from where 10.19 is reached."""
        lines = (
            f"link add link {self.wire.far} name tagged type vlan id {tag}",
            f"addr add 10.19.{self.wire.number}.2/24 dev tagged",
            "link set tagged up",
            f"neigh add 10.19.{self.wire.number}.1 lladdr {self.mac()} dev tagged",
        )
        return "\n".join(f"{self.wire.space} ip {line}" for line in lines)

    def statistic(self, name: str) -> int:
        """A counter of `ethtool -S`."""
        listed = self.run(f"ethtool -S {self.name}")
        return int(re.findall(rf"^ *{name}*: (\d+)$", listed, re.MULTILINE)[0])

    def seen(self, sending: str, count: int, ports: str = "") -> list[str]:
        """Has the far end send so many datagrams; returns what tcpdump says of those that come back
        to it, to some `ports`, a line for each."""
        ports = ports or f"portrange {TAKEN}-{GIVEN + 99}"
        where = f"{self.wire.space} timeout 30 tcpdump -i {self.wire.far} -Q in"
        said = self.run(
            f": >/tmp/started\n{where} -nn -e -vv -c {count} --immediate-mode "
            f"'udp and dst {ports}' >/tmp/seen 2>/tmp/started &\n"
            "until grep -q listening /tmp/started; do sleep 0.05; done\n"
            f"{sending}\nwait $!\ncat /tmp/seen"
        )
        return [" ".join(line.split()) for line in re.split(r"\n(?=\d\d:)", said) if line.strip()]

    def filters(self) -> dict[int, int]:
        """The packets that the card has counted for each filter, by TID."""
        c, found = self.card.engine.c, {}
        blocks = self.card.scenario.memory_map["TCBs"].base
        for slot in range(len(c.filters)):
            if c.filters_used[slot // 64] >> slot % 64 & 1:
                tid = slot if slot < 64 else slot - 64 + c.first_filter
                data = self.card.memories.read(blocks + tid * tcb.BYTES, tcb.BYTES)
                found[tid] = tcb.decode(tcb.FILTER, data)["packet_count"]
        return found

    def entry(self, tid: int) -> LookupEntry:
        """What the lookup engine has of a filter."""
        words = self.card.core.spaces.space("le_entries").words
        return LookupEntry.of_words(words[17 * tid : 17 * (tid + 1)])


@pytest.fixture(scope="module", params=[*SHARED.cards])
def near(request: pytest.FixtureRequest, stock: Stock) -> Near:
    stock.join()
    return Near(stock, next(wire for wire in stock.wires if wire.card == request.param))


def hardware_packets(said: str) -> list[int]:
    """What `tc -s filter show` says of the packets that the card has counted, for each action."""
    return [int(count) for count in re.findall(r"Sent hardware \d+ bytes (\d+) pkt", said)]


def becomes(read: Callable[[], object], wanted: object) -> None:
    """Waits until a count is what it must be."""
    assert wanted in (read() for _ in range(TRIES))


def reaches(read: Callable[[], int], wanted: int) -> None:
    """Waits until a count, to which others may add, is high enough."""
    assert any(read() >= wanted for _ in range(TRIES))


def test_ethtool_steers_datagrams_to_queues_and_drops_others(near: Near) -> None:
    assert near.filters() == {}
    rules = {**{port: str(queue) for port, queue in STEERED.items()}, DROPPED: "-1"}
    for place, (port, action) in enumerate(rules.items()):
        rule = f"flow-type udp4 dst-port {port} action {action} loc {place}"
        near.run(f"ethtool -N {near.name} {rule}")
    listed = near.run(f"ethtool -n {near.name}")
    for pattern in (f"Total {len(rules)} rules", *(f"Dest port: {port} " for port in rules)):
        assert pattern in listed
    assert {near.entry(tid).local_port for tid in near.filters()} == {*rules}
    heard = near.heard()
    queued = {queue: near.in_queue(queue) for queue in STEERED.values()}
    for port in (*rules, OTHER):
        near.sent(port)
    becomes(near.heard, heard + SENT * len([*STEERED, OTHER]))
    for queue, before in queued.items():
        reaches(lambda queue=queue: near.in_queue(queue), before + SENT)  # type: ignore[misc]
    assert [*near.filters().values()] == [SENT] * len(rules)
    for place in range(len(rules)):
        near.run(f"ethtool -N {near.name} delete {place}")
    assert near.filters() == {}
    near.sent(DROPPED)
    becomes(near.heard, heard + SENT * len([*STEERED, OTHER, DROPPED]))


@pytest.mark.parametrize("protocol", ["ip", "ipv6"])
@pytest.mark.parametrize("near", FEW, indirect=True)
def test_tc_flower_drops_datagrams_and_shows_how_many(near: Near, protocol: str) -> None:
    address = f"fd09:{near.wire.number}::1" if protocol == "ipv6" else ""
    counter = NO_PORTS_6 if address else NO_PORTS
    match = f"dst_ip {address} " if address else ""
    show = f"tc -s filter show dev {near.name} ingress"
    near.run(f"tc qdisc add dev {near.name} ingress")
    try:
        near.run(
            f"tc filter add dev {near.name} ingress protocol {protocol} pref 1 flower skip_sw "
            f"ip_proto udp {match}dst_port {DROPPED} action drop"
        )
        assert "in_hw" in near.run(show)
        heard = near.heard(counter)
        for port in (DROPPED, OTHER):
            near.sent(port, address)
        becomes(lambda: near.heard(counter), heard + SENT)
        assert list(near.filters().values()) == [SENT]
        becomes(lambda: hardware_packets(near.run(show)), [SENT])
    finally:
        near.run(f"tc qdisc del dev {near.name} ingress")
    assert near.filters() == {}
    near.sent(DROPPED, address)
    becomes(lambda: near.heard(counter), heard + 2 * SENT)


class Rewriting(NamedTuple):
    """What tc does to datagrams that it sends back, and how tcpdump shows them at the far end."""

    actions: str
    line: str
    protocol: str = "ip"
    target: str = "10.9.{n}.1"
    """Where they are sent, to port {taken}: 10.19 is reached by a VLAN."""


SOURCE = "02:00:00:00:00:99"
TO_FAR = "action pedit ex munge eth dst set {far_mac} munge eth src set " + SOURCE
PORT = " munge udp dport set {given}"
UNTAGGED, TAG = r"IPv4 \(0x0800\), length .*", 5
REWRITINGS = {
    "nothing": Rewriting("", "{far_mac} > {near_mac}.* 10.9.{n}.2.* > 10.9.{n}.1.{taken}: "),
    "MACs": Rewriting(TO_FAR, SOURCE + " > {far_mac}.* 10.9.{n}.2.* > 10.9.{n}.1.{taken}: "),
    "addresses and port": Rewriting(
        TO_FAR + " munge ip src set 10.9.{n}.77 munge ip dst set 10.9.{n}.2" + PORT,
        SOURCE + " > {far_mac}.* 10.9.{n}.77.* > 10.9.{n}.2.{given}: ",
    ),
    "IPv6 addresses and port": Rewriting(
        TO_FAR + " munge ip6 src set fd09:{n}::77 munge ip6 dst set fd09:{n}::2" + PORT,
        SOURCE + " > {far_mac}.* fd09:{n}::77.* > fd09:{n}::2.{given}: ",
        protocol="ipv6",
        target="fd09:{n}::1",
    ),
    "a tag": Rewriting("action vlan push id 9", "vlan 9, p 0, .* > 10.9.{n}.1.{taken}: "),
    "another tag": Rewriting(
        "action vlan modify id 6",
        "vlan 6, p 0, .* > 10.19.{n}.1.{taken}: ",
        target="10.19.{n}.1",
    ),
    "no tag": Rewriting(
        "action vlan pop", UNTAGGED + " > 10.19.{n}.1.{taken}: ", target="10.19.{n}.1"
    ),
}
TAKEN, GIVEN = 7100, 7200
"""Ports of the first: where datagrams are sent, and where they come to if that is another."""


def test_tc_sends_datagrams_back_rewritten(near: Near) -> None:
    """The far end's kernel, too, finds the checksums right of those that come to it."""
    number, space = near.wire.number, near.wire.space
    words = {"n": number, "near_mac": near.mac(), "far_mac": near.mac(far=True)}
    rules, sending, patterns = [], [], []
    for place, case in enumerate(REWRITINGS.values()):
        words |= {"taken": TAKEN + place, "given": GIVEN + place}
        rules.append(
            f"tc filter add dev {near.name} ingress protocol {case.protocol} pref {1 + place} "
            f"flower skip_sw ip_proto udp dst_port {TAKEN + place} {case.actions.format(**words)} "
            f"action mirred egress redirect dev {near.name}"
        )
        sending.append(near.sending(TAKEN + place, case.target.format(**words)))
        patterns.append(case.line.format(**words).replace(".", r"\.").replace(r"\.*", ".*"))
    show, read = f"tc -s filter show dev {near.name} ingress", f"{space} {NO_PORTS}"
    near.run("\n".join([f"tc qdisc add dev {near.name} ingress", near.tagged(TAG), *rules]))
    try:
        sent, heard, far = near.statistic("tx_frames_ok "), near.heard(), int(near.run(read))
        lines = near.seen("\n".join(sending), SENT * len(sending))
        assert all("[udp sum ok]" in line for line in lines)
        for name, pattern in zip(REWRITINGS, patterns, strict=True):
            assert sum(bool(re.search(pattern, line)) for line in lines) == SENT, (name, lines)
        assert near.statistic("tx_frames_ok ") >= sent + len(lines)
        assert [*near.filters().values()] == [SENT] * len(rules)
        becomes(lambda: {*hardware_packets(near.run(show))}, {SENT})
        assert near.heard() == heard
        becomes(lambda: int(near.run(read)), far + SENT)
    finally:
        near.run(f"tc qdisc del dev {near.name} ingress; {space} ip link del tagged || true")
    assert near.filters() == {}


UNNAMED = 7190
SWAPPED = UNNAMED >> 8 | (UNNAMED & 0xFF) << 8


@pytest.mark.parametrize("near", ["a"], indirect=True)
def test_a_port_that_pedit_does_not_name_is_swapped(near: Near) -> None:
    """On a T6: for a T5 the driver refuses to rewrite both addresses and no port."""
    number, rule = near.wire.number, "munge ip src set 10.9.{0}.77 munge ip dst set 10.9.{0}.2"
    near.run(
        f"tc qdisc add dev {near.name} ingress\n"
        f"tc filter add dev {near.name} ingress protocol ip pref 1 flower skip_sw ip_proto udp "
        f"dst_port {UNNAMED} {TO_FAR.format(far_mac=near.mac(far=True))} {rule.format(number)} "
        f"action mirred egress redirect dev {near.name}"
    )
    try:
        ports = f"port {UNNAMED} or udp dst port {SWAPPED}"
        lines = near.seen(near.sending(UNNAMED, f"10.9.{number}.1"), SENT, ports)
    finally:
        near.run(f"tc qdisc del dev {near.name} ingress")
    with stands("cxgb4-pedit-port", f"Linux {near.run('uname -r').strip()}"):
        assert {line.split(" > ")[2].split(":")[0] for line in lines} == {
            f"10.9.{number}.2.{SWAPPED}"
        }


REFUSED = {
    "a VLAN, which the filter mode lacks": "protocol 802.1q pref 2 flower skip_sw vlan_id 9 "
    "action drop",
    "matchall, which asks for the function": "pref 2 matchall skip_sw action drop",
    "a copy that goes out again, which only matchall makes": "protocol ip pref 2 flower skip_sw "
    "ip_proto udp dst_port 9 action mirred egress mirror dev {near}",
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("near", FEW, indirect=True)
def test_what_the_card_cannot_do_is_refused(near: Near, asked: str) -> None:
    near.run(f"tc qdisc add dev {near.name} ingress")
    try:
        command = f"tc filter add dev {near.name} ingress {asked}"
        assert "talking to the kernel" in near.refuses(command.replace("{near}", near.name))
    finally:
        near.run(f"tc qdisc del dev {near.name} ingress")
    assert near.filters() == {}
