"""Mixed load between the ports of a T6 and of a T5 in one guest: no frame is lost, no flow stalls.

Streams in large and in small pieces, datagrams and their fragments, over IPv4 and IPv6; every byte
is checked. `make test` runs it for some seconds, `make test-long` for ten minutes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import pytest
import recorded
from stock import SHARED, Stock

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
SECONDS = 600 if THOROUGH else 10
LONGEST_IDLE = 2000
"""Milliseconds."""
ROUNDS = 1 if THOROUGH else 3
"""A host that is busy with other work stalls flows too: of several short rounds, one is free of it.
Nothing may be lost or wrong in any of them."""
STREAMS, EXCHANGES = (2, 6) if THOROUGH else (1, 4)
"""Of each wire, over IPv4, and as many over IPv6. Few: among many each waits long for its turn."""
CALLS = 200
"""Python runs for troubles and links, of which there are few."""
LOSS = re.compile(r"dropped|trunc|errors|too_long|jabber|runt")
FLOW = re.compile(
    r"(?m)^(?P<address>\S+) (?P<kind>\w+) (?P<number>\d+): sent (?P<sent>\d+) "
    r"received (?P<received>\d+) idle (?P<idle>\d+) ms lost (?P<lost>\d+) wrong (?P<wrong>\d+)$"
)
pytestmark = [pytest.mark.guest, pytest.mark.interop]


@dataclass(frozen=True)
class Load:
    """What `traffic` said of each flow in each round, `ethtool -S` of each port, and the kernel of
    trouble."""

    rounds: list[list[dict[str, str]]]
    statistics: dict[str, dict[str, int]]
    warnings: str


@pytest.fixture(scope="module")
def load(stock: Stock) -> Load:
    stock.join()
    command = f"start-traffic {SECONDS} {len(stock.wires)} {STREAMS} {EXCHANGES}"
    rounds: list[list[dict[str, str]]] = []
    while len(rounds) < ROUNDS and not (rounds and idle(rounds[-1]) == []):
        said = stock.guest.run(command, SECONDS + 120, check=False).output
        rounds.append([flow.groupdict() for flow in FLOW.finditer(said)])
    ends = {name: way for wire in stock.wires for name, way in wire.ends.items()}
    for name, way in ends.items():
        stock.run(f"{way} ip link set {name} down")
    counted = {name: stock.run(f"{way} ethtool -S {name}") for name, way in ends.items()}
    for name, way in ends.items():
        stock.run(f"{way} ip link set {name} up")
    return Load(
        rounds,
        {port: recorded.statistics(counted[name]) for port, name in stock.interfaces.items()},
        stock.run("dmesg --level=warn,err | grep -v 'cxgb4.*module' || true"),
    )


def idle(flows: list[dict[str, str]]) -> list[str]:
    """Returns the flows that made no progress for long."""
    return [
        f"{flow['address']} {flow['kind']} {flow['number']}: {flow['idle']} ms"
        for flow in flows
        if int(flow["idle"]) >= LONGEST_IDLE
    ]


def test_every_flow_moves_and_none_is_idle_for_long(load: Load) -> None:
    for flows in load.rounds:
        assert len(flows) == len(SHARED.cards) * 2 * (STREAMS + EXCHANGES)
        assert [flow for flow in flows if not int(flow["received"])] == []
    assert idle(load.rounds[-1]) == []


def test_no_byte_is_wrong_and_no_datagram_lost(load: Load) -> None:
    flows = [flow for flows in load.rounds for flow in flows]
    assert [flow for flow in flows if int(flow["wrong"]) or int(flow["lost"])] == []


@pytest.mark.parametrize("card", SHARED.cards)
def test_what_one_port_sent_the_other_received(load: Load, card: str) -> None:
    for near, far in ((0, 1), (1, 0)):
        sent, received = load.statistics[f"{card}.{near}"], load.statistics[f"{card}.{far}"]
        for kind in ("octets_ok", "frames_ok", "unicast_frames", "frames_1024_to_1518"):
            assert sent[f"tx_{kind}"] == received[f"rx_{kind}"] > 0, kind


@pytest.mark.parametrize("card", SHARED.cards)
def test_no_frame_is_dropped(load: Load, card: str) -> None:
    for port in (0, 1):
        counted = load.statistics[f"{card}.{port}"]
        lost = {name: count for name, count in counted.items() if LOSS.search(name) and count}
        assert lost == {}


def test_no_frame_ran_python(load: Load, stock: Stock) -> None:
    frames = sum(port["tx_frames_ok"] for port in load.statistics.values())
    assert frames > 10_000
    for card in stock.cards.values():
        assert card.engine.c.counts.python_calls < CALLS


def test_the_kernel_has_nothing_to_complain_of(load: Load) -> None:
    assert "NETDEV WATCHDOG" not in load.warnings
    assert "stuck" not in load.warnings
    assert "stall" not in load.warnings
