"""What a stock kernel's driver makes of faults between the card and its host, while it runs.

docs/reference/control.md says what of this stays when a fault is undone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from stock import Stock, Wire

from vmcoredd.emu.control import Client

pytestmark = [pytest.mark.guest, pytest.mark.interop]
LOST, ALL_CAME = " 100% packet loss", " 0% packet loss"
REARM = """
bar=$(head -n 1 /sys/class/net/{near}/device/resource | cut -d' ' -f1)
for value in {values}; do
    /guest/bin/busybox devmem $((bar + {gts})) 32 $value
done
"""
ANSWERED = """
tries=60
until ping -c 1 -W 1 {address} > /dev/null; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || {{ echo "{near} gets no answer"; exit 1; }}
done
"""


class Faulty:
    """Port 0 of a card whose driver runs, with the card's control socket."""

    def __init__(self, stock: Stock, wire: Wire, hand: Client) -> None:
        self.stock, self.wire, self.hand = stock, wire, hand
        self.address = f"10.9.{wire.number}.2"

    def run(self, script: str, seconds: float = 60.0) -> str:
        wire = self.wire
        words = {"near": wire.near, "far": wire.far, "space": wire.space, "address": self.address}
        return self.stock.run(script.format(**words), seconds)

    def on(self, fault: str) -> None:
        self.hand.ask("fault", on=[fault])

    def off(self, fault: str) -> None:
        assert self.hand.ask("fault", off=[fault])["faults"] == []

    def ping(self, count: int = 3) -> str:
        """What ping(8) says of requests that each wait a second for their answer."""
        return self.run(f"ping -c {count} -W 1 -i 0.3 {{address}} || true")

    def log(self) -> str:
        return self.run("dmesg")

    def rearm(self) -> None:
        """Arms all ingress queues, beside the driver."""
        card = self.stock.cards[self.wire.card]
        gts = card.chip.r.MYPF_SGE_PF_GTS
        queues = [number for number, queue in enumerate(card.engine.c.ingress) if queue.entries]
        values = [hex(gts.of(IngressQID=queue, SEIntArm=1)) for queue in queues]
        script = REARM.replace("{values}", " ".join(values)).replace("{gts}", hex(gts))
        self.run(script)

    def raised(self) -> tuple[int, int]:
        """How many interrupts the card has raised, and how many the kernel has counted."""
        counted = self.run(
            "vectors=$(ls /sys/class/net/{near}/device/msi_irqs | paste -s -d '|'); "
            'grep -E "^ *($vectors):" /proc/interrupts'
        )
        return self.hand.ask("state")["interrupts"], sum(
            int(number) for line in counted.splitlines() for number in re.findall(r" (\d+)\b", line)
        )


@pytest.fixture(scope="module", autouse=True)
def renewed(stock: Stock) -> Iterator[None]:
    """Leaves a driver whose queues are new: what was lost has silenced some of them for good."""
    yield
    stock.run("rmmod cxgb4; modprobe cxgb4")


@contextlib.contextmanager
def at(stock: Stock, place: int) -> Iterator[Faulty]:
    stock.join()
    wire = stock.wires[place]
    with Client(stock.sockets[wire.card], deadline=30) as hand:
        one = Faulty(stock, wire, hand)
        one.run("dmesg -C" + ANSWERED)
        yield one


@pytest.fixture
def a(stock: Stock) -> Iterator[Faulty]:
    """The T6."""
    with at(stock, 0) as one:
        yield one


@pytest.fixture
def b(stock: Stock) -> Iterator[Faulty]:
    """The T5."""
    with at(stock, 1) as one:
        yield one


def shortest(said: str) -> float:
    """The shortest round trip in milliseconds."""
    found = re.search(r"min/avg/max\S* = ([\d.]+)/", said)
    assert found, said
    return float(found[1])


def test_interrupts_that_come_twice_are_counted_and_harm_nothing(a: Faulty) -> None:
    a.on("interrupt-twice")
    raised, counted = a.raised()
    assert ALL_CAME in a.ping(10)
    more_raised, more_counted = a.raised()
    a.off("interrupt-twice")
    assert more_counted - counted > 1.3 * (more_raised - raised)


def test_late_interrupts_make_round_trips_long_and_lose_nothing(a: Faulty) -> None:
    a.on("interrupt-late=150")
    said = a.ping()
    a.off("interrupt-late=150")
    assert ALL_CAME in said
    assert shortest(said) >= 150


def test_a_server_that_stalls_costs_the_guest_time_alone(a: Faulty) -> None:
    a.on("server-stalls=1500")
    said = a.run("ethtool -S {near} | head -3; ping -c 3 -W 5 {address}")
    assert ALL_CAME in said
    assert a.hand.ask("fault")["faults"] == []
    assert "cxgb4" not in a.log()


def test_a_queue_whose_interrupt_is_lost_is_silent_until_it_is_armed_again(a: Faulty) -> None:
    """One is enough: no timer of the driver looks at its queues."""
    a.on("interrupt-lost")
    assert LOST in a.ping()
    a.off("interrupt-lost")
    assert LOST in a.ping()
    a.rearm()
    assert ALL_CAME in a.ping()


def test_a_transmit_queue_that_hears_of_no_completion_fills_and_stops_in_silence(
    a: Faulty,
) -> None:
    """cxgb4 has no ndo_tx_timeout, so Linux arms no watchdog."""
    a.on("send-completion-lost")
    sent = a.hand.ask("state")["ports"][0]["sent"]["frames"]
    a.run("ping -q -f -c 1500 -w 6 {address} || true")
    assert LOST in a.ping()
    more = a.hand.ask("state")["ports"][0]["sent"]["frames"] - sent
    a.off("send-completion-lost")
    assert 200 < more < 1024  # descriptors of its ring, a few for each frame
    assert "NETDEV WATCHDOG" not in a.log()


def test_a_response_that_is_left_out_silences_its_queue(b: Faulty) -> None:
    b.on("receive-completion-lost")
    assert LOST in b.ping()
    b.off("receive-completion-lost")
    assert LOST in b.ping()


def test_a_card_that_is_removed_answers_nothing_and_comes_back_to_be_probed_anew(
    stock: Stock,
) -> None:
    wire = stock.wires[0]
    with Client(stock.sockets[wire.card], deadline=30) as hand:
        a = Faulty(stock, wire, hand)
        a.on("device-gone")
        assert LOST in a.ping()
        said = a.run("dmesg -C; ip link set {near} down || true; rmmod cxgb4; dmesg")
        a.off("device-gone")
        assert "err=6" in said  # ENXIO, as PCIE_FW, which is all ones, has ERR set
        stock.run("modprobe cxgb4")
    with at(stock, 0) as a:
        assert ALL_CAME in a.ping()


def test_a_refused_read_is_told_by_the_kernel_and_the_queue_stops(a: Faulty) -> None:
    a.on("dma-read-refused")
    assert LOST in a.ping()
    a.off("dma-read-refused")
    log = a.log()
    assert "Outbound read error" in log
    assert re.search(r"SGE error for queue \d+", log)
    assert LOST in a.ping()


def test_a_refused_write_is_told_by_the_kernel_and_the_queue_stops(b: Faulty) -> None:
    b.on("dma-write-refused")
    assert LOST in b.ping()
    b.off("dma-write-refused")
    assert re.search(r"SGE error for queue \d+", b.log())
    assert LOST in b.ping()
