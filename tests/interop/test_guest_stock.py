"""A kernel of Debian's as it is, with its own driver, in a guest that reads the host's /usr.

The kernel is debian:6.12, or $VMCOREDD_STOCK_KERNEL.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import spawned
from kernel_trace import UP
from stock import Stock

from vmcoredd.qemu.errors import CommandFailed
from vmcoredd.qemu.root import COMMANDS

pytestmark = [pytest.mark.guest, pytest.mark.interop]


def test_the_kernel_and_the_driver_are_debians(stock: Stock) -> None:
    assert "Debian" in stock.run("uname -v")
    assert "/kernel/drivers/net/ethernet/chelsio/cxgb4/cxgb4.ko" in stock.run("modinfo -n cxgb4")
    assert int(stock.run("cat /proc/sys/kernel/tainted")) == 0


def test_the_driver_has_all_ports_of_both_cards(stock: Stock) -> None:
    assert set(stock.interfaces) == {"a.0", "a.1", "b.0", "b.1"}
    for interface in stock.interfaces.values():
        assert "driver: cxgb4" in stock.run(f"ethtool -i {interface}")


def test_the_probe_and_an_interface_that_came_up_are_replayed_without_the_guest(
    stock: Stock,
) -> None:
    stock.run(UP.format(stock.interfaces["a.0"]))
    stock.end_traces()
    for path in stock.traces.values():
        again = spawned("replay", path)
        assert again.stdout.splitlines()[-1] == "equal", again.stdout
        assert (again.returncode, again.stderr) == (0, "")


def test_a_card_sits_behind_a_root_port_with_its_link(stock: Stock) -> None:
    for address in ("0000:01:00.0", "0000:02:00.0"):
        device = f"/sys/bus/pci/devices/{address}"
        assert stock.run(f"cat {device}/current_link_speed") == "8.0 GT/s PCIe\n"
        assert stock.run(f"cat {device}/current_link_width") == "8\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_guest_has_the_commands_that_users_expect(stock: Stock, command: str) -> None:
    stock.run(f"command -v {command}")


def test_programs_of_the_host_run_in_the_guest(stock: Stock) -> None:
    stock.run("ip -V; ethtool --version; tcpdump --version; iperf3 --version; ping -V")
    assert stock.run("python3 -c 'print(6 * 7)'") == "42\n"


@pytest.mark.parametrize("path", ["/home", "/var", "/etc/shadow", "/etc/ssh", "/etc/ssl", "/boot"])
def test_what_is_not_shared_does_not_exist_in_the_guest(stock: Stock, path: str) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        stock.run(f"ls {path}")


def test_the_guests_root_folder_is_its_own(stock: Stock) -> None:
    assert stock.run("ls -A /root") == ""


def test_what_the_guest_writes_stays_in_its_memory(stock: Stock) -> None:
    stock.run("echo changed >/usr/bin/written-in-a-guest; cat /usr/bin/written-in-a-guest")
    assert not Path("/usr/bin/written-in-a-guest").exists()


def test_an_export_cannot_be_written_even_without_the_layer_over_it(stock: Stock) -> None:
    stock.run("mount -o remount,rw /guest/exports/root0")
    with pytest.raises(CommandFailed, match="Read-only file system"):
        stock.run("touch /guest/exports/root0/written-in-a-guest")


def test_a_link_out_of_an_export_leads_nowhere_on_the_host(stock: Stock) -> None:
    """QEMU follows no link; the guest's kernel does, in the guest's own tree."""
    with pytest.raises(CommandFailed, match="No such file"):
        stock.run("ls /guest/exports/root0/../../../var")
