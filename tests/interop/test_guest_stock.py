"""A kernel of Debian's as it is, with its own driver, in a guest that reads the host's /usr.

The kernel is debian:6.12, or $VMCOREDD_STOCK_KERNEL.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import spawned
from stock import BOOT, Setup, Stock

from vmcoredd.qemu.errors import CommandFailed
from vmcoredd.qemu.root import COMMANDS

CARDS = Setup(cards={"a": "t62100-cr", "b": "t520-cr"})
pytestmark = [pytest.mark.guest, pytest.mark.interop]
stocked = pytest.mark.parametrize(
    "stock", [CARDS], indirect=True, scope="module", ids=["two-cards"]
)
PING = """#!/bin/sh
ip netns add peer
ip link set eth1 netns peer
ip addr add 10.0.0.1/24 dev eth0
ip link set eth0 up
ip netns exec peer ip addr add 10.0.0.2/24 dev eth1
ip netns exec peer ip link set eth1 up
until grep -q 1 /sys/class/net/eth0/carrier; do sleep 0.1; done
ping -c 3 -i 0.2 10.0.0.2 || exit
exit 7
"""


@stocked
def test_the_kernel_and_the_driver_are_debians(stock: Stock) -> None:
    assert "Debian" in stock.run("uname -v")
    assert "/kernel/drivers/net/ethernet/chelsio/cxgb4/cxgb4.ko" in stock.run("modinfo -n cxgb4")
    assert int(stock.run("cat /proc/sys/kernel/tainted")) == 0


@stocked
def test_the_driver_has_all_ports_of_both_cards(stock: Stock) -> None:
    assert set(stock.interfaces) == {"a.0", "a.1", "b.0", "b.1"}
    for interface in stock.interfaces.values():
        assert "driver: cxgb4" in stock.run(f"ethtool -i {interface}")


@stocked
def test_a_card_sits_behind_a_root_port_with_its_link(stock: Stock) -> None:
    for address in ("0000:01:00.0", "0000:02:00.0"):
        device = f"/sys/bus/pci/devices/{address}"
        assert stock.run(f"cat {device}/current_link_speed") == "8.0 GT/s PCIe\n"
        assert stock.run(f"cat {device}/current_link_width") == "8\n"


@stocked
@pytest.mark.parametrize("command", COMMANDS)
def test_the_guest_has_the_commands_that_users_expect(stock: Stock, command: str) -> None:
    stock.run(f"command -v {command}")


@stocked
def test_programs_of_the_host_run_in_the_guest(stock: Stock) -> None:
    stock.run("ip -V; ethtool --version; tcpdump --version; iperf3 --version; ping -V")
    assert stock.run("python3 -c 'print(6 * 7)'") == "42\n"


@stocked
@pytest.mark.parametrize("path", ["/home", "/var", "/etc/shadow", "/etc/ssh", "/etc/ssl", "/boot"])
def test_what_is_not_shared_does_not_exist_in_the_guest(stock: Stock, path: str) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        stock.run(f"ls {path}")


@stocked
def test_the_guests_root_folder_is_its_own(stock: Stock) -> None:
    assert stock.run("ls -A /root") == ""


@stocked
def test_what_the_guest_writes_stays_in_its_memory(stock: Stock) -> None:
    stock.run("echo changed >/usr/bin/written-in-a-guest; cat /usr/bin/written-in-a-guest")
    assert not Path("/usr/bin/written-in-a-guest").exists()


@stocked
def test_an_export_cannot_be_written_even_without_the_layer_over_it(stock: Stock) -> None:
    stock.run("mount -o remount,rw /guest/exports/root0")
    with pytest.raises(CommandFailed, match="Read-only file system"):
        stock.run("touch /guest/exports/root0/written-in-a-guest")


@stocked
def test_a_link_out_of_an_export_leads_nowhere_on_the_host(stock: Stock) -> None:
    """QEMU follows no link; the guest's kernel does, in the guest's own tree."""
    with pytest.raises(CommandFailed, match="No such file"):
        stock.run("ls /guest/exports/root0/../../../var")


# The command line


def test_a_script_sends_frames_from_port_to_port_and_its_exit_code_is_passed_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "ping.sh").write_text(PING)
    done = spawned(
        *("guest", "run", "--kernel", CARDS.kernel, "--card", "t62100-cr", "--wire", "0=1"),
        *("--pcap", f"0={tmp_path / 'port0.pcapng'}", "--script", tmp_path / "ping.sh"),
        *("--console", tmp_path / "console"),
        timeout=BOOT,
    )
    assert done.returncode == 7, done.stderr
    assert "3 packets transmitted, 3 received, 0% packet loss" in done.stdout
    assert "card a: t62100-cr at 0000:01:00.0, scene fresh\nport a.0: port a.1\n" in done.stderr
    assert "the guest can read /usr" in done.stderr
    assert (tmp_path / "port0.pcapng").stat().st_size > 1000
