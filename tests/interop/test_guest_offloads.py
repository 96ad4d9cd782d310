"""What a stock kernel leaves to our cards: datagrams to cut, tunnels, interrupts, pauses.

`guest_frames.py` runs in the guest, at both ends of a wire: of the T6; with VMCOREDD_THOROUGH, or
where the chips differ, of the T5 too.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import guest_frames
import pytest
from stock import FEW, SHARED, Stock, Wire

from vmcoredd.chip import T6

pytestmark = [pytest.mark.guest, pytest.mark.interop]
SECONDS = 120.0
FLOOD = 2000
PROGRAM = "python3 /share/guest_frames.py"


@pytest.fixture(scope="module")
def joined(stock: Stock) -> Stock:
    """The guest, its wires joined, with the program that has the other end of each."""
    stock.join()
    shutil.copy(Path(guest_frames.__file__), stock.guest.share / "guest_frames.py")
    return stock


@pytest.fixture(params=FEW)
def wire(request: pytest.FixtureRequest, joined: Stock) -> Iterator[Wire]:
    """A wire that carries frames; it does so in the end."""
    (found,) = [wire for wire in joined.wires if wire.card == request.param]
    yield found
    joined.ping()


def is_t6(stock: Stock, wire: Wire) -> bool:
    return stock.cards[wire.card].chip is T6


def in_background(taking: str) -> str:
    """Returns a script that starts the program, and waits until it is ready."""
    wait = "until grep -q ready /tmp/took; do sleep 0.05; done"
    return f": >/tmp/took\n{taking} >/tmp/took &\n{wait}"


def between(stock: Stock, taking: str, sending: str) -> list[str]:
    """Runs the program at both ends; returns what the one that takes says after "ready"."""
    script = f"{in_background(taking)}\n{sending}\nwait $!\ncat /tmp/took"
    ready, *said = stock.run(script, SECONDS).splitlines()
    assert ready == "ready"
    return said


def counts(stock: Stock, wire: Wire, interface: str) -> dict[str, int]:
    """Returns `ethtool -S` of an end."""
    said = stock.run(f"{wire.ends[interface]} ethtool -S {interface}")
    return {name: int(value) for name, value in re.findall(r"(\S+)\s*: (\d+)$", said, re.MULTILINE)}


def growth(after: dict[str, int], before: dict[str, int], *names: str) -> list[int]:
    return [after[name] - before[name] for name in names]


# Sending


@pytest.mark.parametrize("address", ["10.9.{}.2", "fd09:{}::2"], ids=["IPv4", "IPv6"])
def test_the_card_cuts_a_datagram(joined: Stock, wire: Wire, address: str) -> None:
    target = address.format(wire.number)
    before = counts(joined, wire, wire.near)
    taking = f"{wire.space} {PROGRAM} take {target} 13"
    lengths, right = between(joined, taking, f"{PROGRAM} cut {target}")
    assert lengths.split() == ["1000"] * 12 + ["345"]
    assert right == "right"
    assert growth(counts(joined, wire, wire.near), before, "uso") == [1]


# Tunnels

TUNNELS = {
    "vxlan": ("MPS_RX_VXLAN_TYPE", "dstport 4789", 4789),
    "geneve": ("MPS_RX_GENEVE_TYPE", "", 6081),
}
MAKE = """
ip link add t{number} type {kind} id 42 remote 10.9.{number}.2 {options}
{space} ip link add t{number} type {kind} id 42 remote 10.9.{number}.1 {options}
ip addr add 10.7.{number}.1/24 dev t{number}
{space} ip addr add 10.7.{number}.2/24 dev t{number}
ip link set t{number} up
{space} ip link set t{number} up
ping -q -c 5 -i 0.01 10.7.{number}.2
"""
REMOVE = "ip link del t{number}; {space} ip link del t{number}"


@pytest.mark.parametrize("kind", TUNNELS)
@pytest.mark.parametrize("wire", SHARED.cards, indirect=True)
def test_a_t6_segments_checks_and_merges_what_is_in_a_tunnel(
    joined: Stock, wire: Wire, kind: str
) -> None:
    """On a T5, the kernel does all that."""
    name, options, port = TUNNELS[kind]
    names = {"number": wire.number, "kind": kind, "options": options, "space": wire.space}
    card, offloaded = joined.cards[wire.card], is_t6(joined, wire)
    joined.run(MAKE.format(**names))
    before = counts(joined, wire, wire.near), counts(joined, wire, wire.far)
    said = joined.run(f"traffic send 10.7.{wire.number}.2 7007 2 0 1", SECONDS)
    after = counts(joined, wire, wire.near), counts(joined, wire, wire.far)
    assert len(re.findall(r"(?m)^tcp \d: sent [1-9].* wrong 0$", said)) == 2
    for end_before, end_after in zip(before, after, strict=True):
        cut, merged, checked = growth(end_after, end_before, "tso", "gro_merged", "rx_csum_good")
        assert (cut > 0, merged > 0) == (offloaded, offloaded)
        assert checked > 0
    if offloaded:
        register = card.chip.r[name]
        assert card.read(register) == 1 << 16 | port
        joined.run(REMOVE.format(**names))
        assert card.read(register) == 0
    else:
        joined.run(REMOVE.format(**names))


# Interrupts


def interrupts(stock: Stock, wire: Wire) -> int:
    """Returns how many the near end's receive queues have raised."""
    lines = stock.run(f"grep '{wire.near}-Rx' /proc/interrupts").splitlines()
    return sum(int(count) for line in lines for count in re.findall(r" (\d+)(?= )", line))


def flood(stock: Stock, wire: Wire, settings: str) -> float:
    """Sends datagrams to the near end; returns its interrupts for each frame."""
    stock.run(f"ethtool -C {wire.near} {settings}")
    address = f"10.9.{wire.number}.1"
    before = interrupts(stock, wire), counts(stock, wire, wire.near)["rx_frames_ok"]
    stock.run(
        f"{in_background(f'{PROGRAM} hold {address}')}\n"
        f"{wire.space} {PROGRAM} flood {address} {FLOOD}; kill $!",
        SECONDS,
    )
    after = interrupts(stock, wire), counts(stock, wire, wire.near)["rx_frames_ok"]
    frames = after[1] - before[1]
    assert frames >= FLOOD
    return (after[0] - before[0]) / frames


def arming(stock: Stock, wire: Wire) -> set[tuple[int, int]]:
    """Returns how port 0's receive queues were armed: a timer, and whether entries count too."""
    engine = stock.cards[wire.card].engine.c
    queues = [queue for queue in engine.ingress if queue.entries and queue.port == 0]
    return {(q.timer, q.count_armed) for q in queues if q.free_list < len(engine.ingress)}


@pytest.mark.parametrize(
    ("settings", "armed"),
    [("rx-usecs 1 rx-frames 1", (0, 1)), ("rx-usecs 200 rx-frames 16", (5, 1))],
    ids=["at once", "late"],
)
def test_interrupts_wait_as_the_driver_says(
    joined: Stock, wire: Wire, settings: str, armed: tuple[int, int]
) -> None:
    """Without KVM a frame takes as long as the longest timer: how many an interrupt tells of is
    the kernel's doing."""
    assert 0 < flood(joined, wire, f"adaptive-rx off {settings}") <= 1
    assert armed in arming(joined, wire)


def test_adaptive_coalescing_changes_the_timers(joined: Stock, wire: Wire) -> None:
    """The driver goes up and down from the timer of 5 us, and has no entries count. A queue that
    gets one frame at a time goes down to the shortest."""
    flood(joined, wire, "rx-usecs 5 rx-frames 8 adaptive-rx on")
    joined.ping()
    adapted = {timer for timer, counts_entries in arming(joined, wire) if not counts_entries}
    joined.run(f"ethtool -C {wire.near} adaptive-rx off rx-usecs 5 rx-frames 8")
    assert 0 in adapted


# Pause frames


def test_a_pause_frame_is_counted_and_never_seen(joined: Stock, wire: Wire) -> None:
    before = counts(joined, wire, wire.near)
    promiscuous = f"ip link set {wire.near} promisc"
    joined.run(f"{promiscuous} on")
    heard = between(
        joined, f"{PROGRAM} hear {wire.near}", f"{wire.space} {PROGRAM} pause {wire.far}"
    )
    joined.run(f"{promiscuous} off")
    assert heard[-1] == "0x88b5"
    assert "0x8808" not in heard
    after = counts(joined, wire, wire.near)
    assert growth(after, before, "rx_pause_frames")[0] >= 3


def test_ethtool_sets_a_ports_flow_control(joined: Stock, wire: Wire) -> None:
    port = joined.cards[wire.card].engine.c.ports[0]
    for rx, tx in (("off", "off"), ("on", "off"), ("off", "on"), ("on", "on")):
        said = joined.run(
            f"ethtool -A {wire.near} autoneg off rx {rx} tx {tx} || :\n"
            f"until ethtool {wire.near} | grep -q 'detected: yes'; do sleep 0.05; done\n"
            f"ethtool -a {wire.near}"
        )
        assert re.search(rf"RX:\s+{rx}\nTX:\s+{tx}\n", said)
        assert (port.obeys_pauses, port.sends_pauses) == (rx == "on", tx == "on")
