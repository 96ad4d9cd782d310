"""Vector 0: an error that the card reports reaches a stock kernel's handler, which says so.

A process in the guest rings a doorbell that makes no sense, beside the driver: of the T6, with
VMCOREDD_THOROUGH of the T5 too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from stock import FEW, Stock, Wire

from vmcoredd.chip import Register
from vmcoredd.emu import Card

pytestmark = [pytest.mark.guest, pytest.mark.interop]
SCRIPT = """
device=/sys/class/net/{near}/device
bar=$(head -n 1 $device/resource | cut -d' ' -f1)
vector=$(ls $device/msi_irqs | sort -n | head -n 1)
word() {{ /guest/bin/busybox devmem $((bar + $1)) 32 $2; }}
count() {{ grep "^ *$vector:" /proc/interrupts; }}
before=$(count)
dmesg -C
word {doorbell} {value}
tries=100
until [ "$(count)" != "$before" ] && [ $(word {PL_INT_CAUSE}) = 0x00000000 ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || {{ echo "vector 0 is at $(count)"; break; }}
    sleep 0.1
done
for register in {PL_INT_CAUSE} {SGE_INT_CAUSE3} {SGE_ERROR_STATS}; do
    word $register
done
dmesg
"""
CAUSES = ("PL_INT_CAUSE", "SGE_INT_CAUSE3", "SGE_ERROR_STATS")


@pytest.fixture(params=FEW)
def wire(request: pytest.FixtureRequest, stock: Stock) -> Iterator[Wire]:
    """A wire that carries frames; it does so in the end."""
    stock.join()
    stock.ping()
    (found,) = [wire for wire in stock.wires if wire.card == request.param]
    yield found
    stock.ping()


def rung(stock: Stock, wire: Wire, doorbell: Register, value: int) -> list[str]:
    """Writes to a doorbell; returns the causes after the interrupt, then the kernel's log."""
    r = stock.cards[wire.card].chip.r
    places = {name: hex(r[name]) for name in CAUSES}
    script = SCRIPT.format(near=wire.near, doorbell=hex(doorbell), value=hex(value), **places)
    return stock.run(script).split("\n", len(CAUSES))


def last_queue(card: Card, kind: str) -> int:
    """Returns the highest queue of the driver's; it is idle."""
    queues = getattr(card.engine.c, kind)
    return max(number for number, queue in enumerate(queues) if queue.entries)


class Doorbell(NamedTuple):
    """A doorbell, what is too much for it, and what the card and the kernel call that."""

    kind: str
    register: str
    fields: dict[str, int]
    queue: str
    bit: str
    message: str


DOORBELLS = [
    Doorbell(
        "egress",
        "MYPF_SGE_PF_KDOORBELL",
        {"PIDX": 0x1FFF},
        "QID",
        "err_bad_db_pidx0",
        "SGE DBP 0 pidx increment too large",
    ),
    Doorbell(
        "ingress",
        "MYPF_SGE_PF_GTS",
        {"CIDXInc": 0xFFF, "TimerReg": 7},
        "IngressQID",
        "err_invalid_cidx_inc",
        "SGE GTS CIDX increment too large",
    ),
]


@pytest.mark.parametrize("doorbell", DOORBELLS, ids=[each.kind for each in DOORBELLS])
def test_the_kernel_tells_of_a_doorbell_beyond_the_ring_and_clears_the_cause(
    stock: Stock, wire: Wire, doorbell: Doorbell
) -> None:
    card = stock.cards[wire.card]
    queue, r = last_queue(card, doorbell.kind), card.chip.r
    register = r[doorbell.register]
    value = register.of(**doorbell.fields, **{doorbell.queue: queue})
    *registers, log = rung(stock, wire, register, value)
    pl_cause, sge_cause, stats = (int(word, 16) for word in registers)
    assert f"{doorbell.message} ({r.SGE_INT_CAUSE3.mask(doorbell.bit):#x})" in log
    assert f"SGE error for queue {queue}" in log
    assert (pl_cause, sge_cause) == (0, 0)
    assert not r.SGE_ERROR_STATS.get(stats, "Error_QID_Valid")
