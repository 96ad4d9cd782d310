"""Faults of a card that is served: what its client sees of them over the socket."""

from __future__ import annotations

import contextlib
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyvfio_user
from pyvfio_user import library_version
from vmcoredd import driver, emu
from vmcoredd.bench.hosts import at_socket
from vmcoredd.bench.rings import CARD, WIRES, Rings
from vmcoredd.bench.traffic import Traffic
from vmcoredd.chip import T6
from vmcoredd.emu import control, wires
from vmcoredd.emu.control import beside
from vmcoredd.emu.errors import NoSuchFault
from vmcoredd.emu.server import served
from vmcoredd.emu.silicon.slot import REMOVAL

pytestmark = pytest.mark.skipif(library_version() is None, reason="built without libvfio-user")

SHORT = 0.3
"""Seconds that a client waits for an answer."""
ONES = b"\xff" * 4
WHOAMI = int(T6.r.PL_WHOAMI)


@pytest.fixture
def card() -> emu.Card:
    return emu.Card.load("t62100-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})


@pytest.fixture
def path(card: emu.Card, tmp_path: Path) -> Iterator[Path]:
    """The socket of the card, with a control socket beside it."""
    with served(card, tmp_path / "t6.sock", control=beside(tmp_path / "t6.sock")):
        yield tmp_path / "t6.sock"


@pytest.fixture
def hand(path: Path) -> Iterator[control.Client]:
    with control.Client(path) as client:
        yield client


def whoami(client: pyvfio_user.Client) -> bytes:
    return client.region_read(0, WHOAMI, 4)


def ask_until_lost(client: pyvfio_user.Client) -> None:
    """The answer to the request that ends a server may have been sent already."""
    for _ in range(3):
        whoami(client)


def connect_until_refused(path: Path) -> None:
    """The thread of a server that dies may be closing its listener yet."""
    for _ in range(100):
        with contextlib.suppress(pyvfio_user.ConnectionLost):
            pyvfio_user.Client(path)


# Removal


def test_a_client_reads_all_ones_until_the_card_is_back(path: Path, hand: control.Client) -> None:
    with pyvfio_user.Client(path) as client:
        here = whoami(client)
        hand.ask("fault", on=[f"{REMOVAL}@read:PL_WHOAMI:2"])
        assert [whoami(client) for _ in range(3)] == [here, ONES, ONES]
        assert client.region_read(7, 0, 4) == ONES
        assert hand.ask("fault", off=[REMOVAL])["faults"] == []
        assert whoami(client) == here
        assert client.region_read(7, 0, 2) == b"\x25\x14"


def test_a_dump_whose_card_is_removed_keeps_what_was_collected(
    path: Path, hand: control.Client
) -> None:
    hand.ask("fault", on=[f"{REMOVAL}@read:TP_PIO_DATA:100"])
    with driver.open(path) as adapter:
        report = adapter.collect(memoryview(bytearray(8 << 20)), compress="none")
    assert report.lost_from
    assert 0 < len(report.failed) < len(report.entities)
    assert report.entities[-1] in report.failed
    with pytest.raises(driver.ProbeError, match="its configuration space is all ones"):
        driver.open(path)
    hand.ask("fault", off=[REMOVAL])
    driver.open(path).close()


# Between the card and the host


def test_traffic_goes_on_without_interrupts_and_with_two_for_one(tmp_path: Path) -> None:
    """A driver that polls needs none."""
    card = emu.Card.load(CARD, scene="fresh")
    wires.plug(WIRES, {"": card})
    path = tmp_path / "t6.sock"
    took = {}
    with served(card, path, control=beside(path)), at_socket(path) as host:
        rings = Rings(host, Traffic(60))
        with control.Client(path) as hand:
            for fault in ("", "interrupt-lost", "interrupt-late=5", "interrupt-twice"):
                hand.ask("fault", on=[fault] if fault else [])
                took[fault] = rings.run(64)
                hand.ask("fault", off=[fault] if fault else [])
    assert {one.frames for one in took.values()} == {64}
    assert took[""].interrupts > 0
    assert took["interrupt-lost"].interrupts == 0


def test_a_refused_read_halts_the_queue_and_the_card_says_so(tmp_path: Path) -> None:
    card = emu.Card.load(CARD, scene="fresh")
    wires.plug(WIRES, {"": card})
    path, doorbell, cause = tmp_path / "t6.sock", T6.r.MYPF_SGE_PF_KDOORBELL, T6.r.PL_INT_CAUSE
    with served(card, path, control=beside(path)), at_socket(path) as host:
        rings = Rings(host, Traffic(60))
        with control.Client(path) as hand:
            queues = hand.ask("state")["queues"]
            queue = next(each["queue"] for each in queues if each["kind"] == "ethernet")
            hand.ask("fault", on=["dma-read-refused"])
            host.io.write(doorbell, doorbell.of(QID=queue, PIDX=1))
            host.io.read(cause)
            halted = [each["queue"] for each in hand.ask("state")["queues"] if each["halted"]]
            causes = host.io.read(cause)
            log = hand.ask("log")["firmware"]
    assert rings
    assert halted == [queue]
    assert cause.get(causes, "SGE")
    assert cause.get(causes, "PCIE")
    assert any("reading host memory" in record["format"] for record in log)


# The server stands still


def test_a_server_stalls_for_as_long_as_it_is_told(path: Path, hand: control.Client) -> None:
    hand.ask("fault", on=["server-stalls=400@read:PL_WHOAMI"])
    with pyvfio_user.Client(path) as client:
        here = whoami(client)
        began = time.monotonic()
        assert hand.ask("fault")["faults"] == ["server-stalls=400"]
        assert whoami(client) == here
        assert 0.3 < time.monotonic() - began < 5
    assert hand.ask("fault")["faults"] == []


def test_a_client_that_waits_no_longer_is_told_and_the_next_one_is_served(
    path: Path, hand: control.Client
) -> None:
    hand.ask("fault", on=["server-stalls=800@read:PL_WHOAMI"])
    with pyvfio_user.Client(path, deadline=SHORT) as client:
        here = whoami(client)
        with pytest.raises(pyvfio_user.VfioUserError):
            whoami(client)
    with pyvfio_user.Client(path) as client:  # which waits until it is over
        assert whoami(client) == here


@pytest.mark.parametrize("ends", ["fault off", "for="])
def test_a_server_that_stops_goes_on_when_that_is_undone(
    path: Path, hand: control.Client, ends: str
) -> None:
    with pyvfio_user.Client(path, deadline=SHORT) as client:
        here = whoami(client)
        hand.ask("fault", on=["server-stops" if ends == "fault off" else "server-stops,for=0.5s"])
        with pytest.raises(pyvfio_user.VfioUserError):
            whoami(client)
    with pytest.raises(pyvfio_user.VfioUserError):
        driver.open(path, deadline=0.1)
    if ends == "fault off":
        assert hand.ask("state")["faults"] == ["server-stops"]  # the control socket answers
        hand.ask("fault", off=["server-stops"])
    with pyvfio_user.Client(path) as client:
        assert whoami(client) == here
    assert hand.ask("fault")["faults"] == []


def test_a_server_that_stands_still_can_be_ended(card: emu.Card, tmp_path: Path) -> None:
    card.fail_served("server-stops")
    assert card.faults == {}
    with served(card, tmp_path / "t6.sock"):
        assert [*card.faults] == ["server-stops"]
        with pytest.raises(pyvfio_user.VfioUserError):
            pyvfio_user.Client(tmp_path / "t6.sock", deadline=SHORT)


def test_a_server_that_dies_ends_the_connection_and_leaves_its_socket(
    card: emu.Card, path: Path, hand: control.Client
) -> None:
    hand.ask("fault", on=["server-dies@read:PL_WHOAMI:2"])
    with pyvfio_user.Client(path, deadline=5.0) as client:
        whoami(client)
        with pytest.raises(pyvfio_user.VfioUserError):
            ask_until_lost(client)
    assert stat.S_ISSOCK(path.stat().st_mode)
    with pytest.raises(pyvfio_user.ConnectError, match="refused"):
        connect_until_refused(path)


def test_another_server_takes_the_place_of_one_that_died(card: emu.Card, tmp_path: Path) -> None:
    socket = tmp_path / "t6.sock"
    card.fail_served("server-dies@read:PL_WHOAMI")
    with (
        served(card, socket),
        pyvfio_user.Client(socket) as client,
        pytest.raises(pyvfio_user.VfioUserError),
    ):
        ask_until_lost(client)
    with served(card, socket), pyvfio_user.Client(socket) as client:
        assert whoami(client) != ONES


@pytest.mark.parametrize("fault", ["server-stalls=500", "server-stops", "server-dies"])
@pytest.mark.parametrize("when", ["", "@read:PL_WHOAMI", ",for=1s"])
def test_a_card_without_a_server_refuses_the_faults_of_one(
    card: emu.Card, fault: str, when: str
) -> None:
    with pytest.raises(NoSuchFault, match="it has no server: `vmcoredd emulate` and guests"):
        card.fail(fault + when)
    assert (card.faults, card.triggers.armed) == ({}, [])
