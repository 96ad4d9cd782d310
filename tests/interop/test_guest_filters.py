"""Filters of a stock driver: `ethtool -N` and tc flower drop frames, or choose their queue.

Datagrams go from the far end of a wire to ports on which nobody listens at the near one: the kernel
counts those that arrive (NoPorts).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import recorded
from stock import SHARED, Stock, Wire

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
        target = address or f"10.9.{self.wire.number}.1"
        loop = f"for n in $(seq {SENT}); do echo hello >/dev/udp/{target}/{port}; done"
        self.run(f"{self.wire.space} bash -c '{loop}'")

    def heard(self, counter: str = NO_PORTS) -> int:
        """How many datagrams have come to ports on which nobody listens."""
        return int(self.run(counter))

    def in_queue(self, number: int) -> int:
        """How many frames a receive queue has got, by debugfs."""
        device = self.run(f"basename $(realpath /sys/class/net/{self.name}/device)").strip()
        said = self.run(f"cat /sys/kernel/debug/cxgb4/{device}/sge_qinfo")
        queues = recorded.queues(said, "Ethernet")
        return int([each for each in queues if each["Interface"] == self.name][number]["RxPackets"])

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


def hardware_packets(said: str) -> int:
    """What `tc -s filter show` says of the packets that the card has dropped."""
    return int(re.findall(r"Sent hardware \d+ bytes (\d+) pkt", said)[0])


def becomes(read: Callable[[], int], wanted: int) -> None:
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
        becomes(
            lambda: int(re.findall(r"Sent hardware \d+ bytes (\d+) pkt", near.run(show))[0]), SENT
        )
    finally:
        near.run(f"tc qdisc del dev {near.name} ingress")
    assert near.filters() == {}
    near.sent(DROPPED, address)
    becomes(lambda: near.heard(counter), heard + 2 * SENT)


REFUSED = {
    "a VLAN, which the filter mode lacks": "protocol 802.1q pref 2 flower skip_sw vlan_id 9 "
    "action drop",
    "matchall, which asks for the function": "pref 2 matchall skip_sw action drop",
    "a copy that goes out again, which only matchall makes": "protocol ip pref 2 flower skip_sw "
    "ip_proto udp dst_port 9 action mirred egress mirror dev {near}",
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED)
def test_what_the_card_cannot_do_is_refused(near: Near, asked: str) -> None:
    near.run(f"tc qdisc add dev {near.name} ingress")
    try:
        command = f"tc filter add dev {near.name} ingress {asked}"
        assert "talking to the kernel" in near.refuses(command.replace("{near}", near.name))
    finally:
        near.run(f"tc qdisc del dev {near.name} ingress")
    assert near.filters() == {}
