"""A guest's card is changed over its control socket, and the stock driver notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stock import Stock

from vmcoredd.emu.control import Client

pytestmark = [pytest.mark.guest, pytest.mark.interop]
CARRIER = """
tries=100
until [ "$(cat /sys/class/net/{name}/carrier)" = {wanted} ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || {{ echo "the carrier of {name} is not {wanted}"; exit 1; }}
    usleep 50000
done
ethtool {name} | grep 'Link detected'
"""


@pytest.fixture
def control(stock: Stock) -> Iterator[Client]:
    """The control socket of card a, whose driver runs and whose interfaces are up."""
    stock.join()
    with Client(stock.sockets["a"]) as client:
        yield client


def test_a_pulled_cable_takes_the_carrier_away(stock: Stock, control: Client) -> None:
    name = stock.interfaces["a.0"]
    control.ask("link", down=0)
    assert "Link detected: no" in stock.run(CARRIER.format(name=name, wanted=0))
    assert f"{name}: link down" in stock.run("dmesg | tail -20")
    control.ask("link", up=0)
    assert "Link detected: yes" in stock.run(CARRIER.format(name=name, wanted=1))
    stock.ping()


def test_the_state_has_the_drivers_queues(stock: Stock, control: Client) -> None:
    kinds = {queue["kind"] for queue in control.ask("state")["queues"]}
    assert kinds >= {"free_list", "ethernet", "control", "ingress"}
    before = control.ask("state")["ports"][0]["sent"]["frames"]
    stock.ping()
    assert control.ask("state")["ports"][0]["sent"]["frames"] >= before + 10


def test_a_fault_is_met_by_the_driver_and_ends_with_a_restored_snapshot(
    stock: Stock, control: Client
) -> None:
    name = stock.interfaces["a.0"]
    stock.run("rmmod cxgb4")
    control.ask("snapshot", name="idle")
    stock.run("modprobe cxgb4")
    stock.join()
    control.ask("fault", on=["firmware-crash"])
    stock.run(f"ip link set {name} down; ip link set {name} up || true")
    said = stock.run("dmesg | tail -40")
    assert "Can't unset DCB Priority on port 0" in said
    assert "err=6" in said  # ENXIO, as PCIE_FW says that the firmware has crashed
    stock.run("rmmod cxgb4")
    assert control.ask("restore", name="idle")["faults"] == []
    stock.run("modprobe cxgb4")
    stock.join()
    stock.ping()
