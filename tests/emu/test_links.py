"""Links: they follow the settings of a port, its wire and its peer, and drivers hear of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from emumail import Mailbox
from ramhost import RamHost
from rxdriver import RxDriver

from vmcoredd.chip.firmware import (
    PortAction,
    PortCaps,
    PortInfo32,
    PortL1Config32,
    PortModule,
    Vi,
    ViEnable,
)
from vmcoredd.chip.firmware.port import LinkDown
from vmcoredd.chip.messages import Cpl, Fw6Message
from vmcoredd.emu import Card, Scene, wires
from vmcoredd.emu._cffi import lib

CARDS = ("t520-cr", "t62100-cr")


@pytest.fixture(params=CARDS)
def fresh(request: pytest.FixtureRequest) -> Card:
    """A card that no driver has used."""
    return Card.load(request.param, scene=Scene.FRESH)


@pytest.fixture
def mail(fresh: Card) -> Mailbox:
    return Mailbox(fresh)


def info(mail: Mailbox, port: int) -> PortInfo32:
    return mail.do(PortInfo32(read=1, portid=port, action=PortAction.GET_PORT_INFO32))


def configure(mail: Mailbox, port: int) -> None:
    """Asks for all that the port can do, as Linux does."""
    caps = info(mail, port).acaps32
    mail.do(PortL1Config32(exec=1, portid=port, action=PortAction.L1_CFG32, rcap32=caps))


def enable(mail: Mailbox, port: int) -> int:
    """Makes an interface and enables it."""
    viid = int(mail.do(Vi(alloc=1, exec=1, portid=port)).viid)
    mail.do(ViEnable(viid=viid, ien=1, een=1))
    return viid


def status(card: Card, port: int) -> tuple[int, int]:
    """Returns linkup and linkdn of the MAC's status."""
    register = card.chip.r.MAC_PORT_LINK_STATUS
    word = card.read(register[port])
    return register.get(word, "linkup"), register.get(word, "linkdn")


def cable(card: Card, *ends: int) -> None:
    """Connects two ports of a card."""
    for port, peer in (ends, ends[::-1]):
        wire = card.engine.c.ports[port].wire
        wire.kind, wire.peer = lib.WIRE_PORT, peer


def test_a_fresh_port_is_down_until_a_driver_configures_it(fresh: Card, mail: Mailbox) -> None:
    before = info(mail, 0)
    assert (before.lstatus32, before.linkattr32, before.lpacaps32) == (0, 0, 0)
    configure(mail, 0)
    assert info(mail, 0).lstatus32 == 1
    assert info(mail, 1).lstatus32 == 0
    assert status(fresh, 0) == (1, 0)


def test_a_link_between_two_ports_needs_both(fresh: Card, mail: Mailbox) -> None:
    cable(fresh, 0, 1)
    configure(mail, 0)
    configure(mail, 1)
    assert (info(mail, 0).lstatus32, info(mail, 0).linkdnrc32) == (0, LinkDown.NO_SIGNAL)
    enable(mail, 0)
    viid = enable(mail, 1)
    assert [info(mail, port).lstatus32 for port in (0, 1)] == [1, 1]
    mail.do(ViEnable(viid=viid))
    assert info(mail, 0).lstatus32 == 0
    assert status(fresh, 0) == (0, 1)


def test_a_function_that_is_reset_lets_its_peers_link_go(fresh: Card, mail: Mailbox) -> None:
    cable(fresh, 0, 1)
    for port in (0, 1):
        configure(mail, port)
        enable(mail, port)
    fresh.reset()
    assert not fresh.engine.c.ports[0].up


def test_a_change_of_a_link_is_an_event_with_all_of_the_port(fresh: Card, mail: Mailbox) -> None:
    configure(mail, 1)
    event = Fw6Message.from_bytes(bytes(fresh.engine.c.ports[1].event))
    assert (event.rss_opcode, event.opcode, event.type) == (Cpl.FW6_MSG, Cpl.FW6_MSG, 0)
    reply = PortInfo32.from_bytes(bytes(event.data))
    assert (reply.portid, reply.action) == (1, PortAction.GET_PORT_INFO32)
    assert (reply.lstatus32, reply.dcbxdis32) == (1, 1)
    assert bytes(reply)[8:] == bytes(info(mail, 1))[8:]


@pytest.fixture
def alarms(fresh: Card) -> dict[float, Callable[[], None]]:
    """What is to happen, by the seconds until then."""
    alarms: dict[float, Callable[[], None]] = {}

    def clock(seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        alarms[seconds] = function
        return lambda: alarms.__delitem__(seconds)

    fresh.triggers.start_clock(clock)
    return alarms


def test_a_link_that_flaps_comes_up_again_and_the_driver_hears_of_both(
    fresh: Card, mail: Mailbox, alarms: dict[float, Callable[[], None]]
) -> None:
    configure(mail, 0)
    fresh.fail("link-flap-port0=250", undoable=True)
    assert (told(fresh, 0), status(fresh, 0)) == (0, (0, 1))
    assert [*fresh.faults] == ["link-flap-port0=250"]
    alarms[0.25]()
    assert (told(fresh, 0), status(fresh, 0), [*fresh.faults]) == (1, (1, 0), [])
    cause = fresh.chip.r.MAC_PORT_INT_CAUSE
    assert cause.get(fresh.read(cause[0]), "MAC_Link_Down")


def test_a_flap_that_is_undone_has_no_end_to_come(
    fresh: Card, mail: Mailbox, alarms: dict[float, Callable[[], None]]
) -> None:
    configure(mail, 0)
    fresh.fail("link-flap-port0=250", undoable=True)
    fresh.undo("link-flap-port0=250")
    assert (told(fresh, 0), alarms) == (1, {})


def test_of_two_flaps_of_a_link_the_longer_one_ends_it(
    fresh: Card, mail: Mailbox, alarms: dict[float, Callable[[], None]]
) -> None:
    configure(mail, 0)
    for milliseconds in (250, 100):
        fresh.fail(f"link-flap-port0={milliseconds}", undoable=True)
    alarms[0.1]()
    assert (told(fresh, 0), [*fresh.faults]) == (0, ["link-flap-port0=250"])
    alarms[0.25]()
    assert (told(fresh, 0), [*fresh.faults]) == (1, [])


def told(card: Card, port: int) -> int:
    """Returns the state of a link in the last event that its driver got."""
    event = Fw6Message.from_bytes(bytes(card.engine.c.ports[port].event))
    return int(PortInfo32.from_bytes(bytes(event.data)).lstatus32)


def test_a_copper_port_negotiates(mail: Mailbox, fresh: Card) -> None:
    copper = info(mail, 0).modtype32 == PortModule.TWINAX_PASSIVE
    assert copper == (fresh.profile.name == "t62100-cr")
    assert bool(info(mail, 0).pcaps32 & PortCaps.ANEG) == copper
    configure(mail, 0)
    again = PortL1Config32(exec=1, action=PortAction.L1_CFG32, rcap32=int(PortCaps.ANEG))
    mail.do(again)
    assert info(mail, 0).lstatus32 == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("link-down-port1", LinkDown.NO_SIGNAL),
        ("link-remote-fault-port1", LinkDown.REMOTE_FAULT),
        ("link-local-fault-port1", LinkDown.UNKNOWN),
    ],
)
def test_a_fault_says_why_a_link_is_down(
    fresh: Card, mail: Mailbox, fault: str, why: LinkDown
) -> None:
    configure(mail, 1)
    fresh.fail(fault)
    assert (info(mail, 1).lstatus32, info(mail, 1).linkdnrc32) == (0, why)


FEC = PortCaps.FEC_RS | PortCaps.FEC_BASER_RS


@pytest.mark.parametrize(
    ("name", "can"),
    [
        ("t62100-cr", PortCaps.FEC_RS),
        ("t6225-cr", FEC),
        ("t580-cr", PortCaps(0)),
        ("t520-cr", PortCaps(0)),
    ],
)
def test_forward_error_correction_is_of_the_speed(name: str, can: PortCaps) -> None:
    mail = Mailbox(Card.load(name, scene=Scene.FRESH))
    assert info(mail, 0).pcaps32 & FEC == can
    assert info(mail, 0).acaps32 & FEC == can & PortCaps.FEC_RS


def test_the_driver_hears_what_it_has_set() -> None:
    """Linux takes the error correction in use from the capabilities that are advertised."""
    mail = Mailbox(Card.load("t6225-cr", scene=Scene.FRESH))
    configure(mail, 0)
    caps = info(mail, 0).acaps32 & ~FEC | PortCaps.FEC_BASER_RS
    mail.do(PortL1Config32(exec=1, action=PortAction.L1_CFG32, rcap32=int(caps)))
    event = Fw6Message.from_bytes(bytes(mail.card.engine.c.ports[0].event))
    reply = PortInfo32.from_bytes(bytes(event.data))
    assert reply.acaps32 & FEC == reply.linkattr32 & FEC == PortCaps.FEC_BASER_RS


def test_a_cable_that_is_pulled_is_an_event(fresh: Card, mail: Mailbox) -> None:
    configure(mail, 0)
    kind = info(mail, 0).modtype32
    wires.plug(["0=open"], {"": fresh})
    event = Fw6Message.from_bytes(bytes(fresh.engine.c.ports[0].event))
    reply = PortInfo32.from_bytes(bytes(event.data))
    assert (reply.modtype32, reply.lstatus32) == (PortModule.NONE, 0)
    wires.plug(["0=idle"], {"": fresh})
    assert (info(mail, 0).modtype32, info(mail, 0).lstatus32) == (kind, 1)


# The event queue


class Events:
    """A driver's firmware event queue, of `entries` entries."""

    def __init__(self, card: Card, entries: int) -> None:
        self.driver = RxDriver(RamHost(card.core), number=32, entries=entries)
        card.engine.c.ingress[32].asynchronous = 1

    def get(self) -> list[PortInfo32]:
        """The ports' states that have arrived since the last time."""
        messages = [Fw6Message.from_bytes(each.cpl) for each in self.driver.poll()]
        assert all((each.opcode, each.qid) == (Cpl.FW6_MSG, 32) for each in messages)
        return [PortInfo32.from_bytes(bytes(each.data)) for each in messages]


def test_an_event_comes_to_the_event_queue_after_the_reply(fresh: Card, mail: Mailbox) -> None:
    events = Events(fresh, 15)
    configure(mail, 1)
    assert events.get() == []
    fresh.engine.run()
    (event,) = events.get()
    assert (event.portid, event.lstatus32) == (1, 1)
    fresh.engine.run()
    assert events.get() == []


def test_an_event_queue_that_has_an_event_does_not_get_it_again(fresh: Card, mail: Mailbox) -> None:
    """Another one of its function has no room yet."""
    events = Events(fresh, 15)
    full = RxDriver(events.driver.host, number=40, free_list=65, entries=2)
    fresh.engine.c.ingress[40].asynchronous = 1
    lib.engine_cpl(fresh.engine.c, 40, bytes(16), 16)
    configure(mail, 1)
    for _ in range(4):
        fresh.engine.run()
    assert len(events.get()) == 1
    full.gts(len(full.poll()))
    fresh.engine.run()
    assert len(full.poll()) == 1
    assert events.get() == []


def test_an_event_waits_for_room_and_tells_of_the_last_state(fresh: Card, mail: Mailbox) -> None:
    events = Events(fresh, 2)  # room for one
    configure(mail, 0)
    fresh.engine.run()
    configure(mail, 1)
    fresh.engine.run()
    fresh.fail("link-down-port1")
    fresh.engine.run()
    assert [event.portid for event in events.get()] == [0]
    events.driver.gts(1)
    fresh.engine.run()
    (event,) = events.get()
    assert (event.portid, event.lstatus32, event.linkdnrc32) == (1, 0, LinkDown.NO_SIGNAL)


def test_a_driver_without_an_event_queue_hears_of_no_old_event(fresh: Card, mail: Mailbox) -> None:
    configure(mail, 0)
    fresh.engine.run()
    events = Events(fresh, 15)
    fresh.engine.run()
    assert events.get() == []
