"""The driver goes and comes again in a stock kernel: removal, function-level resets, a reboot.

docs/how-to/live-adapter.md tells what of this the driver itself gets wrong. The last test ends the
guest.
"""

from __future__ import annotations

import os
import re

import pytest
from findings import stands
from stock import JOIN, Stock, pings

pytestmark = [pytest.mark.guest, pytest.mark.interop]


def frames_flow(stock: Stock) -> None:
    """Checks that each wire carries frames."""
    stock.join()
    stock.ping()


def queues_in_use(stock: Stock) -> list[int]:
    """Returns the ingress queues of all cards that firmware has given out."""
    engines = [card.engine.c for card in stock.cards.values()]
    return [
        number for engine in engines for number in range(1024) if engine.ingress[number].entries
    ]


def test_the_driver_goes_and_leaves_nothing_and_comes_again(stock: Stock) -> None:
    frames_flow(stock)
    assert queues_in_use(stock)
    stock.run("rmmod cxgb4")
    assert queues_in_use(stock) == []
    stock.run("modprobe cxgb4")
    frames_flow(stock)


TAKEN_BACK = """
for near in {nears}; do
    tries=100
    until [ $(($(od -An -tu1 -j 6 -N 1 /sys/class/net/$near/device/config) & 8)) = 0 ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || {{ echo "INTx of $near is asserted"; exit 1; }}
        usleep 10000
    done
done
"""
"""Waits until no card asserts INTx (Interrupt Status in PCI STATUS)."""


@pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1",
    reason="takes a minute: VMCOREDD_THOROUGH=1, make test-long",
)
@pytest.mark.parametrize(("msi", "kind"), [(0, "IO-APIC"), (1, "PCI-MSI")], ids=["INTx", "MSI"])
def test_one_interrupt_serves_all_queues_of_a_card(stock: Stock, msi: int, kind: str) -> None:
    """INTx as with `pci=nomsi`: the driver takes it back by PCIE_PF_CLI."""
    stock.run(f"rmmod cxgb4; modprobe cxgb4 msi={msi}")
    frames_flow(stock)
    for wire in stock.wires:
        assert " wrong 0" in stock.run(f"traffic send 10.9.{wire.number}.2 7007 2 2 1")
        stock.run(pings(f"10.9.{wire.number}.2", 100, "-A"))  # no request before the last reply
    lines = stock.run("grep ' eth' /proc/interrupts").splitlines()
    names = [name for line in lines for name in re.findall(r"\beth\S*\b", line)]
    assert sorted(names) == sorted(wire.near for wire in stock.wires)
    for line in lines:
        assert kind in line
        assert sum(map(int, re.findall(r" (\d+)(?= )", line))) > 100
    stock.run(TAKEN_BACK.format(nears=" ".join(wire.near for wire in stock.wires)))
    stock.run("rmmod cxgb4; modprobe cxgb4")
    frames_flow(stock)


def test_a_function_level_reset_without_the_driver_is_survived(stock: Stock) -> None:
    found = "$(cd /sys/bus/pci/drivers/cxgb4 && echo 0000:*)"
    reset = "for device in $devices; do echo 1 >/sys/bus/pci/devices/$device/reset; done"
    stock.run(f"devices={found}\nrmmod cxgb4\n{reset}\nmodprobe cxgb4")
    frames_flow(stock)


def test_after_a_function_level_reset_with_the_driver_it_has_to_be_loaded_again(
    stock: Stock,
) -> None:
    """The driver's own defect: its event queue asks for an interrupt that it has already."""
    frames_flow(stock)
    device = "/sys/class/net/" + stock.wires[0].near + "/device"
    stock.run(f"echo 1 >{device}/reset")
    with stands("cxgb4-reset", f"Linux {stock.run('uname -r').strip()}"):
        assert "request_irq failed, err -16" in stock.run("dmesg | tail -40")
    stock.run("rmmod cxgb4; modprobe cxgb4")
    frames_flow(stock)


def test_a_reboot_stops_all_queues(stock: Stock) -> None:
    assert queues_in_use(stock)
    stock.guest.start("reboot -f")
    stock.guest.wait_for_end("the guest to reboot", JOIN)
    assert queues_in_use(stock) == []
