"""The driver goes and comes again in a stock kernel: removal, function-level resets, a reboot.

docs/live-adapter.md tells what of this the driver itself gets wrong. The last test ends the guest.
"""

from __future__ import annotations

import pytest
from stock import JOIN, Stock

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


def test_a_function_level_reset_without_the_driver_is_survived(stock: Stock) -> None:
    found = "$(cd /sys/bus/pci/drivers/cxgb4 && echo 0000:*)"
    reset = "for device in $devices; do echo 1 >/sys/bus/pci/devices/$device/reset; done"
    stock.run(f"devices={found}\nrmmod cxgb4\n{reset}\nmodprobe cxgb4")
    frames_flow(stock)


def test_after_a_function_level_reset_with_the_driver_it_has_to_be_loaded_again(
    stock: Stock,
) -> None:
    """The driver's own defect: its event queue asks for an interrupt that it has already."""
    device = "/sys/class/net/" + stock.wires[0].near + "/device"
    stock.run(f"echo 1 >{device}/reset")
    assert "request_irq failed" in stock.run("dmesg | tail -40")
    stock.run("rmmod cxgb4; modprobe cxgb4")
    frames_flow(stock)


def test_a_reboot_stops_all_queues(stock: Stock) -> None:
    assert queues_in_use(stock)
    stock.guest.start("reboot -f")
    stock.guest.wait_for_end("the guest to reboot", JOIN)
    assert queues_in_use(stock) == []
