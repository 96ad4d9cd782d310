"""Rates that a stock kernel sets on an interface, and how fast its streams then are.

`tx_maxrate` limits a queue, a policer all queues of a port, mqprio each of its queues. Without KVM
a guest sends some 100 Mbit/s, so the limits are far below. `make test` has the T6, `make test-long`
the T5 too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from stock import FEW, Stock, Wire

from vmcoredd.qemu.errors import CommandFailed

pytestmark = [pytest.mark.guest, pytest.mark.interop]
SECONDS = 2
LOW, HIGH = 8, 16
"""Mbit/s."""
MQPRIO = (
    "tc qdisc add dev {near} root handle 1: mqprio num_tc 2 map 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 "
    f"queues 2@0 3@2 hw 1 mode channel shaper bw_rlimit max_rate {LOW}mbit {HIGH}mbit"
)
"""Priority 6, that of a stream with TOS 0x10, is the second class."""
POLICE = (
    "tc qdisc add dev {near} clsact\n"
    "tc filter add dev {near} egress matchall skip_sw "
    "action police rate {rate} burst 100k conform-exceed drop/ok"
)


@pytest.fixture(scope="module", params=FEW)
def wire(request: pytest.FixtureRequest, stock: Stock) -> Iterator[Wire]:
    """A wire with a server at its far end; nothing limits it in the end."""
    stock.join()
    (found,) = [wire for wire in stock.wires if wire.card == request.param]
    stock.run(f"{found.space} iperf3 -s -D -I /run/iperf3.pid")
    yield found
    stock.run("kill $(cat /run/iperf3.pid)")
    stock.ping()
    engine = stock.cards[found.card].engine.c
    rates = [*engine.port_rates, *(rate for port in engine.class_rates for rate in port)]
    assert not any(rate.kbps for rate in rates)
    assert not any(flow.open for flow in engine.flows)


def speed(stock: Stock, wire: Wire, tos: int = 0) -> float:
    """Sends a stream; returns how many Mbit/s of it arrived."""
    said = stock.run(
        f"iperf3 -J -c 10.9.{wire.number}.2 -t {SECONDS} -w 128K -S {tos}", 20 * SECONDS
    )
    return float(json.loads(said)["end"]["sum_received"]["bits_per_second"]) / 1e6


def test_a_queues_rate_limits_its_streams(stock: Stock, wire: Wire) -> None:
    every = "for i in /sys/class/net/{near}/queues/tx-*/tx_maxrate; do echo {rate} >$i; done"
    free = speed(stock, wire)
    stock.run(every.format(near=wire.near, rate=LOW))
    limited = speed(stock, wire)
    with pytest.raises(CommandFailed):
        stock.run(f"echo 200000 >/sys/class/net/{wire.near}/queues/tx-0/tx_maxrate")
    stock.run(every.format(near=wire.near, rate=0))
    assert free > 2 * LOW
    assert 0.7 * LOW < limited < 1.1 * LOW
    assert speed(stock, wire) > 2 * LOW


def test_a_policer_limits_a_port(stock: Stock, wire: Wire) -> None:
    stock.run(POLICE.format(near=wire.near, rate=f"{LOW}mbit"))
    shown = stock.run(f"tc filter show dev {wire.near} egress")
    limited = speed(stock, wire)
    stock.run(f"tc qdisc del dev {wire.near} clsact")
    assert "in_hw" in shown
    assert 0.7 * LOW < limited < 1.1 * LOW
    assert speed(stock, wire) > 2 * LOW


def test_a_policer_beyond_the_links_speed_is_refused(stock: Stock, wire: Wire) -> None:
    with pytest.raises(CommandFailed, match="larger than underlying link speed"):
        stock.run(POLICE.format(near=wire.near, rate="200gbit"))
    stock.run(f"tc qdisc del dev {wire.near} clsact")


def test_mqprio_has_queues_and_a_rate_for_each_class(stock: Stock, wire: Wire) -> None:
    stock.run(MQPRIO.format(near=wire.near))
    flows = [flow for flow in stock.cards[wire.card].engine.c.flows if flow.open]
    address = f"$(basename $(realpath /sys/class/net/{wire.near}/device))"
    shown = stock.run(f"cat /sys/kernel/debug/cxgb4/{address}/tids")
    first, second = speed(stock, wire), speed(stock, wire, tos=0x10)
    stock.run(f"ping -q -c 20 -i 0.01 -w 5 10.9.{wire.number}.2")
    units = [flow.units for flow in flows]
    stock.run(f"tc qdisc del dev {wire.near} root")
    assert len(flows) == 5
    assert "EOTID range: 0..2047, in use: 5" in shown
    assert 0.7 * LOW < first < 1.1 * LOW
    assert 0.7 * HIGH < second < 1.1 * HIGH
    assert max(units) < 128
    assert speed(stock, wire) > 2 * LOW
