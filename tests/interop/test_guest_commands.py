"""What the commands of a stock kernel must show of our cards: a table.

The rows run in their order, between the ports of a card: of the T6, with VMCOREDD_THOROUGH of the
T5 too. docs/how-to/live-adapter.md tells what of this the driver itself gets wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import recorded
from stock import FEW, Stock, Wire, pings

from vmcoredd.chip import T5, T6
from vmcoredd.chip.transceiver import BASE_DEVICE, Identifier, Qsfp, Sfp
from vmcoredd.emu import Card
from vmcoredd.qemu.guest import Result

pytestmark = [pytest.mark.guest, pytest.mark.interop]
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
    namespace of the far one; `names()` has the rest.
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


FAR, VLAN = "10.9.{number}.2", "10.8.{number}.2"
"""The far interface, and its VLAN 9."""
FOREIGN = 3
"""How many frames `heard` sends to an address that no interface has."""
USED_QUEUES = "head -16 {debugfs}/rss | cut -d: -f2 | tr -s ' ' '\\n' | sort -u | grep -c ."
"""How many queues the near interface's part of the RSS table names (128 entries, 8 a line)."""


def heard(promiscuous: str, count: int) -> str:
    """Returns a command that shows the first so many requests that the near interface hears.

    The far one sends some to a foreign MAC address, then one to the near one's own. A tcpdump that
    asks for no promiscuous mode itself sees what the card lets through.
    """
    return (
        f"ip link set {{near}} promisc {promiscuous}; rm -f /tmp/says; "
        "{space} ip neigh replace {foreign} lladdr 02:00:00:00:00:77 dev {far}; "
        f"timeout 10 tcpdump -p -n -i {{near}} -c {count} 'icmp[0] = 8' >/tmp/heard 2>/tmp/says & "
        "until grep -q listening /tmp/says; do sleep 0.1; done; "
        f"{{space}} ping -q -c {FOREIGN} -i 0.01 -W 0.1 {{foreign}}; "
        "{space} ping -q -c 1 {right} && wait && cat /tmp/heard"
    )


ROWS = [
    # What it is
    Row("-i", "ethtool -i {near}", (r"^driver: cxgb4$", r"^firmware-version: 1\.27\.5\.0, TP")),
    Row("link", "ethtool {near}", (r"Link detected: yes", r"Speed: {speed}Mb/s", "Duplex: Full")),
    Row("-d", "ethtool -d {near} raw on | wc -c", (r"^339968$",)),
    Row(
        "-d of a register",
        "ethtool -d {near} raw on | od -An -tx4 -j {sge_control_at} -N 4",
        (r"^ {sge_control}$",),
    ),
    Row("-e", "ethtool -e {near} raw on", (r"{serial}", r"{part}")),
    Row("-m", "ethtool -m {near}", (r"Vendor name +: CHELSIO", r"Vendor SN +: {module}")),
    Row("-T", "ethtool -T {near}", (r"hardware-transmit", r"PTP Hardware Clock: \d")),
    # Frames
    Row("ping", pings(FAR)),
    Row("ping of fragments", pings(FAR, options="-i 0.01 -s 20000")),
    Row("ping over IPv6", pings("fd09:{number}::2", 5)),
    Row("flood", pings(FAR, 2000, "-A")),
    Row("checked load", "traffic send 10.9.{number}.2 7007 4 4 2", (r"^tcp 0: sent",)),
    Row("-t", "ethtool -t {near}", (r"result is PASS", r"Loop back test.*\s0$")),
    Row("-S", "ethtool -S {near}", (r"tx_frames_ok +: [1-9]", r"rx_frames_ok +: [1-9]")),
    # Coalescing
    Row(
        "-C",
        "ethtool -C {near} rx-usecs 50 rx-frames 4 && ethtool -c {near}",
        (r"^rx-usecs:\s+50$", r"^rx-frames:\s+4$"),
    ),
    Row("ping with -C", pings(FAR)),
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
    Row(
        "-C of completions",
        "ethtool -C {near} tx-usecs 100; ethtool -c {near}",
        (r"^tx-usecs:\s+{tx_usecs}$",),
    ),
    # Rings
    Row("-g", "ethtool -g {near}", (r"^RX:\s+64$", r"^TX:\s+1024$", r"^RX Mini:\s+1023$")),
    Row("-G while it runs", "ethtool -G {near} tx 512", fails=True),
    # Offloads
    Row(
        "-k",
        "ethtool -k {near}",
        (
            *(r"^tcp-segmentation-offload: on", r"^rx-vlan-offload: on", r"^receive-hashing: on"),
            *(r"^rx-vlan-filter: off \[fixed\]", r"^tx-udp-segmentation: on"),
            r"^tx-udp_tnl-segmentation: {tunnels}",
        ),
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
    Row("-X in the card", USED_QUEUES, (r"^2$",)),
    Row("load with -X", "traffic send 10.9.{number}.2 7007 4 4 2", (r"^tcp 0: sent",)),
    Row(
        "-X default",
        "ethtool -X {near} default && ethtool -x {near}",
        (r"^ +120: +0 +1 +2 +3 +4 +5 +6 +7$",),
    ),
    Row("-X default in the card", USED_QUEUES, (r"^8$",)),
    Row("-X hkey", "ethtool -X {near} hkey 00:01:02", fails=True),
    # Filters
    Row("-n", "ethtool -n {near}", (r"Total 0 rules",)),
    Row(
        "-N",
        "ethtool -N {near} flow-type udp4 dst-port 5000 action 3 loc 9 && ethtool -n {near}",
        (r"Total 1 rules", r"^Filter: 9$", r"Dest port: 5000 "),
    ),
    Row("-N delete", "ethtool -N {near} delete 9 && ethtool -n {near}", (r"Total 0 rules",)),
    Row(
        "-N of a VLAN, which the filter mode lacks",
        "ethtool -N {near} flow-type udp4 dst-port 5000 vlan 9 action 3",
        (r"Operation not supported",),
    ),
    # VLAN, multicast, long frames
    Row(
        "VLAN",
        "{space} sh -c 'ip link add link {far} name v9 type vlan id 9 && "
        "ip addr add 10.8.{number}.2/24 dev v9 && ip link set v9 up'; "
        "ip link add link {near} name v{number} type vlan id 9; "
        "ip addr add 10.8.{number}.1/24 dev v{number}; ip link set v{number} up; " + pings(VLAN),
    ),
    Row(
        "-K rxvlan off",
        f"ethtool -K {{near}} rxvlan off txvlan off && {pings(VLAN)}",
    ),
    Row(
        "-K rxvlan on",
        f"ethtool -K {{near}} rxvlan on txvlan on && {pings(VLAN)}",
    ),
    Row(
        "long frames",
        "ip link set {near} mtu 9000; {space} ip link set {far} mtu 9000; "
        + pings(FAR, options="-i 0.01 -M do -s 8972"),
    ),
    Row("load of long frames", "traffic send 10.9.{number}.2 7007 4 4 2", (r"^tcp 0: sent",)),
    Row("a foreign address", heard("off", 1), (r"> {right}: ICMP",), (r"> {foreign}: ICMP",)),
    Row("promiscuous", heard("on", FOREIGN + 1), (r"> {right}: ICMP", r"> {foreign}: ICMP")),
    Row("promiscuous off", heard("off", 1), (r"> {right}: ICMP",), (r"> {foreign}: ICMP",)),
    # The rest
    Row("-a", "ethtool -a {near}", (r"^RX:\s+o", r"^TX:\s+o")),
    Row("fec", "ethtool --show-fec {near}", (r"FEC parameters",)),
    Row(
        "-p",
        "ethtool -p {near} 1 && tail -n 20 {debugfs}/devlog",
        (r"port 0: LED blinks$", r"port 0: LED is still$"),
    ),
    Row("-w", "ethtool -W {near} 2 && ethtool -w {near}", (r"^flag: 2, ",)),
    Row(
        "private flags",
        "ethtool --set-priv-flags {near} port_tx_vm_wr on && "
        "traffic send 10.9.{number}.2 7007 4 4 2",
        (r"^tcp 0: sent",),
    ),
]


def names(stock: Stock, wire: Wire) -> dict[str, object]:
    """Returns what `{...}` in the rows stand for, of a wire."""
    card = stock.cards[wire.card]
    module = card.scenario.transceivers[0]
    assert module
    page = module.devices[BASE_DEVICE]
    layout = Sfp if page[0] == Identifier.SFP else Qsfp
    return {
        **vars(wire),
        "space": wire.space,
        "right": f"10.9.{wire.number}.1",
        "foreign": f"10.9.{wire.number}.77",
        "debugfs": f"{DEBUGFS}/$(basename $(realpath /sys/class/net/{wire.near}/device))",
        "tunnels": "on" if card.chip is T6 else r"off \[fixed\]",
        "tx_usecs": 100 if card.chip is T6 else "(0|n/a)",
        "speed": card.profile.ports.speed * 1000,
        "serial": card.scenario.identity.serial,
        "part": card.profile.vpd.part,
        "module": bytes(layout.from_bytes(page).vendor_sn).decode().strip(),
        "sge_control_at": int(card.chip.r.SGE_CONTROL),
        "sge_control": f"{card.read(card.chip.r.SGE_CONTROL):08x}",
    }


def filled(text: str, names: dict[str, object]) -> str:
    """Puts the names into a command or pattern."""
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


@pytest.fixture(scope="module")
def joined(stock: Stock) -> list[Wire]:
    """The wires, joined."""
    stock.join()
    assert stock.join().count("is joined already") == len(stock.wires)
    return stock.wires


@pytest.fixture(scope="module")
def answers(stock: Stock, joined: list[Wire]) -> dict[tuple[str, str], Result]:
    """The results of all rows, by card and row."""
    results = {}
    for wire in joined:
        if wire.card not in FEW:
            continue
        known = names(stock, wire)
        for row in ROWS:
            command = filled(row.command, known)
            results[wire.card, row.name] = stock.guest.run(command, SECONDS, check=False)
    return results


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
@pytest.mark.parametrize("card", FEW)
def test_a_command_shows_what_it_must(
    stock: Stock, answers: dict[tuple[str, str], Result], card: str, row: Row
) -> None:
    (wire,) = [one for one in stock.wires if one.card == card]
    row.check(answers[card, row.name], partial(filled, names=names(stock, wire)))


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("card", FEW)
def test_the_card_counts_packets_as_ethtool_said(stock: Stock, card: str) -> None:
    """`ethtool -c` shows what the driver remembers. Port 1 has what the driver chose."""
    engine, thresholds = stock.cards[card].engine.c, packet_thresholds(stock.cards[card])
    for port, count in ((0, 16), (1, 8)):
        queues = [queue for queue in engine.ingress if queue.entries and queue.port == port]
        fed = [queue for queue in queues if queue.free_list < len(engine.ingress)]
        assert {thresholds[queue.threshold] for queue in fed} == {count}


def packet_thresholds(card: Card) -> list[int]:
    """Returns the thresholds among which a queue has one."""
    register = card.chip.r.SGE_INGRESS_RX_THRESHOLD
    return [*register.decode(card.read(register)).values()]


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize("file", FILES)
def test_a_file_of_debugfs_can_be_read(stock: Stock, file: str) -> None:
    for wire in stock.wires:
        folder = names(stock, wire)["debugfs"]
        if file == "clip_tbl" and stock.cards[wire.card].chip is T5:
            continue  # the driver reads a table that it did not make: the kernel panics
        assert stock.run(f"cat {folder}/{file}", SECONDS)


@pytest.mark.usefixtures("joined")
def test_debugfs_shows_the_interfaces_addresses_and_queues(stock: Stock) -> None:
    for wire in stock.wires:
        stock.run(pings(f"10.9.{wire.number}.2", 20))
        folder = names(stock, wire)["debugfs"]
        mac = stock.run(f"cat /sys/class/net/{wire.near}/address").strip()
        assert f" {mac} ffffffffffff " in stock.run(f"cat {folder}/mps_tcam")
        queues = recorded.queues(stock.run(f"cat {folder}/sge_qinfo"), "Ethernet")
        assert sum(int(queue["RxPackets"]) for queue in queues) >= 20
        assert "link up" in stock.run(f"cat {folder}/devlog")
