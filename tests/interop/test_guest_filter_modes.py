"""Filters of a stock driver on cards with other filter modes: of VLANs, and of an interface.

The mode is the card's own or, in the end, that of a configuration file which the driver loads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from importlib.resources import files

import pytest
from stock import Setup, Stock, Wire, booted

from vmcoredd.chip.le import filter_mode
from vmcoredd.emu.silicon.mailbox import Mailboxes

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="boots a guest of its own: VMCOREDD_THOROUGH=1, make test-long",
    ),
]
CARDS = {"v": ("t62100-cr", "vlan"), "i": ("t520-cr", "vnic_id")}
"""By name: the card, and the field that its filter mode has beside port and EtherType."""
CONFIG = "[global]\n\tfilterMode = ethertype, vnic_id, port\n\tfilterMask = port\n"
ETHERNET = "ether proto 0x800 vlan 9 m 0xf000"
"""The kernel makes other types of rule for TCP and UDP only, whose protocol the mode lacks."""
TRIES = 40


def fields(one: str) -> list[str]:
    return ["port", one, "ethertype"]


@pytest.fixture(scope="module")
def stock(
    tmp_path_factory: pytest.TempPathFactory, progress: Callable[[str, float | None], None]
) -> Iterator[Stock]:
    """A guest whose cards have these modes."""
    folder = tmp_path_factory.mktemp("modes")
    profiles = {}
    for name, (card, one) in CARDS.items():
        text = (files("vmcoredd.emu") / "cards" / f"{card}.toml").read_text()
        path = folder / f"{card}-{one}.toml"
        path.write_text(f"{text}\n[tables]\nfilter_mode = {fields(one)}\n")
        profiles[name] = str(path)
    wires = [f"{name}.0={name}.1" for name in CARDS]
    with booted(Setup(cards=profiles, wires=wires), folder, progress) as guest:
        guest.join()
        yield guest


def wire_of(stock: Stock, card: str) -> Wire:
    return next(wire for wire in stock.wires if wire.card == card)


def answers(stock: Stock, wire: Wire, target: str) -> bool:
    """Whether a request from the far end is answered; a busy guest may lose some."""
    command = f"{wire.space} ping -q -c 1 -w 3 -i 0.2 {target} || true"
    return " 0 received" not in stock.run(command).replace("packets ", "")


def hardware_packets(stock: Stock, wire: Wire) -> int:
    said = stock.run(f"tc -s filter show dev {wire.near} ingress")
    return sum(map(int, re.findall(r"Sent hardware \d+ bytes (\d+) pkt", said)))


@pytest.fixture
def tagged(stock: Stock) -> Iterator[Wire]:
    """The wire of the card that matches VLANs, with VLANs 8 and 9 between its ends."""
    wire = wire_of(stock, "v")
    for tag in (8, 9):
        for name, space, end in ((wire.near, "", 1), (wire.far, wire.space, 2)):
            stock.run(
                f"{space} ip link add link {name} name v{end}.{tag} type vlan id {tag}\n"
                f"{space} ip addr add 10.{tag}.0.{end}/24 dev v{end}.{tag}\n"
                f"{space} ip link set v{end}.{tag} up"
            )
    yield wire
    for tag in (8, 9):
        stock.run(f"ip link del v1.{tag}\n{wire.space} ip link del v2.{tag}")


def answered(stock: Stock, wire: Wire) -> list[bool]:
    """Whether requests are answered on VLANs 8 and 9, and without a tag."""
    targets = ("10.8.0.1", "10.9.0.1", f"10.9.{wire.number}.1")
    return [answers(stock, wire, target) for target in targets]


def test_the_driver_learns_the_cards_filter_mode(stock: Stock) -> None:
    said = stock.run("dmesg")
    for _, one in CARDS.values():
        mode = filter_mode(*fields(one))
        assert f"Current filter mode/mask {mode:#x}:{mode:#x}" in said


def test_ethtool_drops_what_is_in_a_vlan(stock: Stock, tagged: Wire) -> None:
    assert answered(stock, tagged) == [True, True, True]
    stock.run(f"ethtool -N {tagged.near} flow-type {ETHERNET} action -1 loc 0")
    assert answered(stock, tagged) == [True, False, True]
    stock.run(f"ethtool -N {tagged.near} delete 0")
    assert answered(stock, tagged) == [True, True, True]


def test_tc_flower_drops_what_is_in_a_vlan_and_counts_it(stock: Stock, tagged: Wire) -> None:
    stock.run(
        f"tc qdisc add dev {tagged.near} ingress\n"
        f"tc filter add dev {tagged.near} ingress protocol 802.1q pref 1 flower skip_sw vlan_id 9 "
        "action drop"
    )
    assert answered(stock, tagged) == [True, False, True]
    assert any(hardware_packets(stock, tagged) for _ in range(TRIES))  # ARP, perhaps
    stock.run(f"tc qdisc del dev {tagged.near} ingress")
    assert answered(stock, tagged) == [True, True, True]


def drops_all(stock: Stock, card: str) -> None:
    """Checks that matchall drops all that comes to an interface, and counts it."""
    wire = wire_of(stock, card)
    target = f"10.9.{wire.number}.1"
    assert answers(stock, wire, target)
    stock.run(
        f"tc qdisc add dev {wire.near} ingress\n"
        f"tc filter add dev {wire.near} ingress pref 2 matchall skip_sw action drop"
    )
    assert not answers(stock, wire, target)
    assert any(hardware_packets(stock, wire) >= 3 for _ in range(TRIES))
    stock.run(f"tc qdisc del dev {wire.near} ingress")
    assert answers(stock, wire, target)


def test_tc_matchall_drops_what_comes_to_an_interface(stock: Stock) -> None:
    drops_all(stock, "i")


def test_tc_matchall_mirrors_what_comes_to_an_interface(stock: Stock) -> None:
    """An interface of the driver's own gets what the host gets, the first one's goes out again."""
    wire = wire_of(stock, "i")
    stock.run(
        f"tc qdisc add dev {wire.near} ingress\n"
        f"tc filter add dev {wire.near} ingress pref 2 matchall skip_sw "
        f"action mirred egress mirror dev {wire.near}"
    )
    said = stock.run(
        f": >/tmp/started\n{wire.space} timeout 20 tcpdump -i {wire.far} -Q in -nn -c 5 "
        "--immediate-mode 'icmp[0] == 8' >/tmp/seen 2>/tmp/started &\n"
        "until grep -q listening /tmp/started; do sleep 0.05; done\n"
        f"{wire.space} ping -q -c 5 -i 0.1 -W 1 10.9.{wire.number}.1\nwait $!\ncat /tmp/seen"
    )
    assert re.search(r"5 (packets )?received", said)
    assert said.count("ICMP echo request") == 5
    assert any(hardware_packets(stock, wire) >= 5 for _ in range(TRIES))
    stock.run(f"tc qdisc del dev {wire.near} ingress")


def test_a_driver_gets_the_filter_mode_of_its_configuration_file(stock: Stock) -> None:
    """Firmware has forgotten that it was initialised, so that the driver does that."""
    card = stock.cards["v"]
    stock.run("rmmod cxgb4")
    card.model(Mailboxes).firmware.state.initialised = False
    (stock.guest.share / "config").write_text(CONFIG)
    name = f"{card.chip!r}-config.txt".lower()
    stock.run(
        f"mkdir -p /run/firmware/cxgb4; cp /share/config /run/firmware/cxgb4/{name}\n"
        "printf /run/firmware >/sys/module/firmware_class/parameters/path\n"
        "dmesg -C; modprobe cxgb4"
    )
    said = stock.run("dmesg")
    assert re.search(rf'configured using Firmware Configuration File "\S*cxgb4/{name}"', said)
    assert f"Current filter mode/mask {filter_mode(*fields('vnic_id')):#x}:0x2" in said
    stock.join()
    drops_all(stock, "v")
