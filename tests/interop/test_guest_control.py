"""A guest's card is changed over its control socket, and the stock driver notices."""

from __future__ import annotations

import re
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


def test_a_link_that_flaps_is_two_events_of_the_carrier(stock: Stock, control: Client) -> None:
    name = stock.interfaces["a.0"]
    changes = f"cat /sys/class/net/{name}/carrier_changes"
    before = int(stock.run(changes))
    assert control.ask("fault", on=["link-flap-port0=300"])["faults"] == ["link-flap-port0=300"]
    stock.run(f"sleep 1; until [ $({changes}) -ge {before + 2} ]; do usleep 50000; done")
    assert "Link detected: yes" in stock.run(CARRIER.format(name=name, wanted=1))
    assert int(stock.run(changes)) == before + 2
    assert re.findall(f"{name}: link (down|up)", stock.run("dmesg | tail -20"))[-2:] == [
        "down",
        "up",
    ]
    assert control.ask("fault")["faults"] == []
    stock.ping()


def test_a_command_that_the_firmware_refuses_fails_the_open_once(
    stock: Stock, control: Client
) -> None:
    name = stock.interfaces["a.0"]
    fault = "firmware-retval=ENOBUFS@command:VI_RXMODE"
    stock.run(f"ip link set {name} down")
    assert control.ask("fault", on=[fault])["waiting_faults"] == [fault]
    refused = stock.run(f"ip link set {name} up 2>&1 || true")
    assert "No buffer space available" in refused
    assert control.ask("fault") == {"faults": [], "waiting_faults": []}
    stock.run(f"ip link set {name} up")
    stock.join()
    stock.ping()


def test_the_state_has_the_drivers_queues(stock: Stock, control: Client) -> None:
    kinds = {queue["kind"] for queue in control.ask("state")["queues"]}
    assert kinds >= {"free_list", "ethernet", "control", "ingress"}
    before = control.ask("state")["ports"][0]["sent"]["frames"]
    stock.ping()
    assert control.ask("state")["ports"][0]["sent"]["frames"] >= before + 10


def test_faults_are_met_by_the_driver_and_end_with_a_restored_snapshot(
    stock: Stock, control: Client
) -> None:
    wire = stock.wires[0]
    stock.run("rmmod cxgb4")
    control.ask("snapshot", name="idle")
    stock.run("modprobe cxgb4")
    stock.join()
    stock.run(f"ip link set {wire.near} down")
    # of an open's commands, the one for whose reply the driver sleeps: for the others it spins
    control.ask("fault", on=["firmware-loses-command@command:PORT"])
    assert "Connection timed out" in stock.run(f"ip link set {wire.near} up 2>&1 || true")
    said = stock.run("dmesg | tail -40")
    assert "command 0x1b in mailbox 4 timed out" in said
    assert "encountered fatal error, adapter stopped" in said
    assert control.ask("state")["firmware"]["mode"] == "alive"
    control.ask("fault", on=["firmware-crash"])
    for state in ("down", "up || true"):
        stock.run(f"{wire.space} ip link set {wire.far} {state}")
    said = stock.run("dmesg | tail -40")
    assert "Can't unset DCB Priority on port 1" in said
    assert "err=6" in said  # ENXIO, as PCIE_FW says that the firmware has crashed
    stock.run("rmmod cxgb4")
    assert control.ask("restore", name="idle")["faults"] == []
    stock.run("modprobe cxgb4")
    stock.join()
    stock.ping()
