"""What the commands of a stock kernel must show of our cards: a table, in one boot.

The rows run in their order, between the ports of a card. `make test` has a T6, `make test-kernels`
a T5 too. docs/live-adapter.md tells what of this the driver itself gets wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import recorded
from stock import Setup, Stock

from vmcoredd.qemu.guest import Result

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
ONE = Setup(cards={"a": "t62100-cr"}, wires=("a.0=a.1",))
TWO = Setup(cards={"a": "t62100-cr", "b": "t520-cr"}, wires=("a.0=a.1", "b.0=b.1"))
SETUP = TWO if THOROUGH else ONE
pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.parametrize("stock", [SETUP], indirect=True, scope="module", ids=[""]),
]
SECONDS = 120.0
DEBUGFS = "/sys/kernel/debug/cxgb4"
FILES = [
    *("blocked_fl", "cctrl", "cim_qcfg", "clip_tbl", "clk", "crypto", "dcb_info", "devlog", "l2t"),
    *("mboxlog", "meminfo", "pm_stats", "resources", "rss", "rss_config", "rss_key", "sensors"),
    *("sge_qinfo", "tids", "tp_stats", "trace0", "tx_rate", "use_backdoor"),
]
"""What of debugfs is read in a moment; others read memories and logic analysers word by word."""


@dataclass(frozen=True)
class Row:
    """A command, and patterns that its output must match; with `fails`, it must fail.

    `{near}` and `{far}` are the interfaces at the ends of a wire, `{space}` enters the network
    namespace of the far one, and `{card}` is the PCI address.
    """

    name: str
    command: str
    shows: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    fails: bool = False

    def check(self, result: Result, fill: Callable[[str], str]) -> None:
        """Raises AssertionError if the result is not what it must be."""
        assert bool(result.code) == self.fails, result
        for pattern in self.shows:
            assert re.search(fill(pattern), result.output, re.MULTILINE), (pattern, result.output)
        for pattern in self.lacks:
            assert not re.search(fill(pattern), result.output, re.MULTILINE), (
                pattern,
                result.output,
            )


def ping(options: str = "", count: int = 20) -> str:
    """Returns a command that sends requests to the far interface."""
    return f"ping -q -c {count} -i 0.01 -W 2 {options} 10.9.{{number}}.2"


ALL_ARRIVED = (r" 0% packet loss",)
"""What ping says when nothing is lost."""

ROWS = [
    # What it is
    Row("-i", "ethtool -i {near}", (r"^driver: cxgb4$", r"^firmware-version: 1\.27\.5\.0, TP")),
    Row("link", "ethtool {near}", (r"Link detected: yes", r"Speed: {speed}Mb/s", "Duplex: Full")),
    Row("-d", "ethtool -d {near} raw on | wc -c", (r"^339968$",)),
    Row("-e", "ethtool -e {near} raw on", (r"{serial}", r"{part}")),
    Row("-m", "ethtool -m {near}", (r"Identifier +: 0x",)),
    Row("-T", "ethtool -T {near}", (r"hardware-transmit", r"PTP Hardware Clock: \d")),
    # Frames
    Row("ping", ping(), ALL_ARRIVED),
    Row("ping of fragments", ping("-s 20000"), ALL_ARRIVED),
    Row("ping over IPv6", "ping -q -c 5 -i 0.01 fd09:{number}::2", ALL_ARRIVED),
    Row("flood", ping("-f", count=2000), ALL_ARRIVED),
    Row("checked load", "traffic send 10.9.{number}.2 7007 4 4 2", (r"^tcp 0: sent",)),
    Row("-t", "ethtool -t {near}", (r"result is PASS", r"Loop back test.*\s0$")),
    Row("-S", "ethtool -S {near}", (r"tx_frames_ok +: [1-9]", r"rx_frames_ok +: [1-9]")),
    # Coalescing
    Row(
        "-C",
        "ethtool -C {near} rx-usecs 50 rx-frames 4 && ethtool -c {near}",
        (r"^rx-usecs:\s+50$", r"^rx-frames:\s+4$"),
    ),
    Row("ping with -C", ping(), ALL_ARRIVED),
    Row(
        "-C back",
        "ethtool -C {near} rx-usecs 5 rx-frames 8 && ethtool -c {near}",
        (r"^rx-usecs:\s+5$", r"^rx-frames:\s+8$"),
    ),
    Row(
        "-C adaptive",
        "ethtool -C {near} adaptive-rx on && ethtool -c {near}",
        (r"Adaptive RX: on",),
    ),
    Row(
        "-C beyond the thresholds",
        "ethtool -C {near} rx-frames 1000 && ethtool -c {near}",
        (r"^rx-frames:\s+16$",),
    ),
    # Rings
    Row("-g", "ethtool -g {near}", (r"^RX:\s+64$", r"^TX:\s+1024$", r"^RX Mini:\s+1023$")),
    Row("-G while it runs", "ethtool -G {near} tx 512", fails=True),
    # Offloads
    Row(
        "-k",
        "ethtool -k {near}",
        (r"^tcp-segmentation-offload: on", r"^rx-vlan-offload: on", r"^receive-hashing: on"),
    ),
    Row(
        "-K tso off",
        "ethtool -K {near} tso off && ethtool -k {near}",
        (r"^tcp-segmentation-offload: off",),
    ),
    Row("load without tso", "traffic send 10.9.{number}.2 7007 4 0 2", (r"^tcp 0: sent",)),
    Row("-K tso on", "ethtool -K {near} tso on"),
    Row(
        "-K rx off",
        "ethtool -K {near} rx off tx off && ethtool -k {near}",
        (r"^rx-checksumming: off", r"^tx-checksumming: off"),
    ),
    Row("load without checksums", "traffic send 10.9.{number}.2 7007 4 4 2", (r"^udp 4: sent",)),
    Row("-K rx on", "ethtool -K {near} rx on tx on tso on"),
    # RSS
    Row("-x", "ethtool -x {near}", (r"with 8 RX ring", r"^ +120: +0 +1 +2 +3 +4 +5 +6 +7$")),
    Row(
        "-X",
        "ethtool -X {near} equal 2 && ethtool -x {near}",
        (r"^ +120: +0 +1 +0 +1 +0 +1 +0 +1$",),
    ),
    Row("load with -X", "traffic send 10.9.{number}.2 7007 4 4 2", (r"^tcp 0: sent",)),
    Row(
        "-X default",
        "ethtool -X {near} default && ethtool -x {near}",
        (r"^ +120: +0 +1 +2 +3 +4 +5 +6 +7$",),
    ),
    Row("-X hkey", "ethtool -X {near} hkey 00:01:02", fails=True),
    # Filters
    Row("-n", "ethtool -n {near}", (r"Total 0 rules",)),
    Row(
        "-N, whose EtherType the filter mode lacks",
        "ethtool -N {near} flow-type udp4 dst-port 5000 action 3",
        (r"Operation not supported",),
    ),
    # VLAN, multicast, long frames
    Row(
        "VLAN",
        "{space} sh -c 'ip link add link {far} name v9 type vlan id 9 && "
        "ip addr add 10.8.{number}.2/24 dev v9 && ip link set v9 up'; "
        "ip link add link {near} name v{number} type vlan id 9; "
        "ip addr add 10.8.{number}.1/24 dev v{number}; ip link set v{number} up; "
        "ping -q -c 20 -i 0.01 10.8.{number}.2",
        ALL_ARRIVED,
    ),
    Row(
        "-K rxvlan off",
        "ethtool -K {near} rxvlan off txvlan off && ping -q -c 20 -i 0.01 10.8.{number}.2",
        ALL_ARRIVED,
    ),
    Row(
        "-K rxvlan on",
        "ethtool -K {near} rxvlan on txvlan on && ping -q -c 20 -i 0.01 10.8.{number}.2",
        ALL_ARRIVED,
    ),
    Row(
        "long frames",
        "ip link set {near} mtu 9000; {space} ip link set {far} mtu 9000; "
        "ping -q -M do -s 8972 -c 20 -i 0.01 10.9.{number}.2",
        ALL_ARRIVED,
    ),
    Row("load of long frames", "traffic send 10.9.{number}.2 7007 4 4 2", (r"^tcp 0: sent",)),
    Row(
        "promiscuous",
        "ip link set {near} promisc on && {space} arping -c 1 -I {far} 10.9.99.99; "
        "ip link set {near} promisc off",
    ),
    # The rest
    Row("-a", "ethtool -a {near}", (r"^RX:\s+o", r"^TX:\s+o")),
    Row("fec", "ethtool --show-fec {near}", (r"FEC parameters",)),
    Row("-p", "ethtool -p {near} 1"),
    Row("-w", "ethtool -W {near} 2 && ethtool -w {near}", (r"^flag: 2, ",)),
    Row(
        "private flags",
        "ethtool --set-priv-flags {near} port_tx_vm_wr on && "
        "traffic send 10.9.{number}.2 7007 4 4 2",
        (r"^tcp 0: sent",),
    ),
]


@dataclass(frozen=True)
class Wire:
    """A wire between two ports of a card, and what its rows may name."""

    card: str
    near: str
    far: str
    number: int
    speed: int
    serial: str
    part: str

    def fill(self, text: str) -> str:
        """Puts the names into a command or pattern."""
        space = f"nsenter -t $(cat /run/space.{self.far}) -n"
        for name, value in {**vars(self), "space": space}.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text


def wires(stock: Stock) -> list[Wire]:
    """Returns the wire of each card."""
    return [
        Wire(
            name,
            stock.interfaces[f"{name}.0"],
            stock.interfaces[f"{name}.1"],
            number,
            card.profile.ports.speed * 1000,
            card.scenario.identity.serial,
            card.profile.vpd.part,
        )
        for number, (name, card) in enumerate(stock.cards.items(), 1)
    ]


@pytest.fixture(scope="module")
def joined(stock: Stock) -> list[Wire]:
    """The wires, with frames flowing on them."""
    join(stock)
    return wires(stock)


def join(stock: Stock) -> None:
    """Gives the interfaces addresses, and sends a few frames."""
    pairs = " ".join(f"{wire.near}={wire.far}" for wire in wires(stock))
    stock.guest.run(f"join-wires {pairs}", SECONDS)
    again = stock.guest.run(f"join-wires {pairs}", SECONDS)
    assert again.output.count("is joined already") == len(wires(stock))
    for wire in wires(stock):
        stock.run(wire.fill(ping()))


@pytest.fixture(scope="module")
def answers(stock: Stock, joined: list[Wire]) -> dict[tuple[str, str], Result]:
    """The results of all rows, by card and row."""
    return {
        (wire.card, row.name): stock.guest.run(wire.fill(row.command), SECONDS, check=False)
        for wire in joined
        for row in ROWS
    }


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
@pytest.mark.parametrize("card", SETUP.cards)
def test_a_command_shows_what_it_must(
    stock: Stock, answers: dict[tuple[str, str], Result], card: str, row: Row
) -> None:
    wire = next(one for one in wires(stock) if one.card == card)
    row.check(answers[card, row.name], wire.fill)


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize("file", FILES)
def test_a_file_of_debugfs_can_be_read(stock: Stock, file: str) -> None:
    assert stock.run(f"cat {DEBUGFS}/*/{file}", SECONDS)


@pytest.mark.usefixtures("joined")
def test_debugfs_shows_the_interfaces_addresses_and_queues(stock: Stock) -> None:
    for wire in wires(stock):
        folder = f"{DEBUGFS}/$(basename $(realpath /sys/class/net/{wire.near}/device))"
        mac = stock.run(f"cat /sys/class/net/{wire.near}/address").strip()
        assert f" {mac} ffffffffffff " in stock.run(f"cat {folder}/mps_tcam")
        queues = recorded.queues(stock.run(f"cat {folder}/sge_qinfo"), "Ethernet")
        assert sum(int(queue["RxPackets"]) for queue in queues) >= 20
        assert "link up" in stock.run(f"cat {folder}/devlog")


# The end, and again


def queues_in_use(stock: Stock) -> list[int]:
    """Returns the ingress queues of all cards that firmware has given out."""
    engines = [card.engine.c for card in stock.cards.values()]
    return [
        number for engine in engines for number in range(1024) if engine.ingress[number].entries
    ]


@pytest.mark.usefixtures("joined")
def test_the_driver_goes_and_leaves_nothing_and_comes_again(stock: Stock) -> None:
    assert queues_in_use(stock)
    stock.run("rmmod cxgb4")
    assert queues_in_use(stock) == []
    stock.run("modprobe cxgb4")
    join(stock)


@pytest.mark.usefixtures("joined")
def test_a_function_level_reset_without_the_driver_is_survived(stock: Stock) -> None:
    found = "$(cd /sys/bus/pci/drivers/cxgb4 && echo 0000:*)"
    reset = "for device in $devices; do echo 1 >/sys/bus/pci/devices/$device/reset; done"
    stock.run(f"devices={found}\nrmmod cxgb4\n{reset}\nmodprobe cxgb4")
    join(stock)


@pytest.mark.usefixtures("joined")
def test_after_a_function_level_reset_with_the_driver_it_has_to_be_loaded_again(
    stock: Stock,
) -> None:
    """The driver's own defect: its event queue asks for an interrupt that it has already."""
    device = "/sys/class/net/" + wires(stock)[0].near + "/device"
    stock.run(f"echo 1 >{device}/reset")
    assert "request_irq failed" in stock.run("dmesg | tail -40")
    stock.run("rmmod cxgb4; modprobe cxgb4")
    join(stock)


@pytest.mark.usefixtures("joined")
def test_a_reboot_stops_all_queues(stock: Stock) -> None:
    assert queues_in_use(stock)
    stock.guest.start("reboot -f")
    stock.guest.wait_for_end("the guest to reboot", SECONDS)
    assert queues_in_use(stock) == []
