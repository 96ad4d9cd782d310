"""Faults that are undone: the card is as before, but for what others did meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from vmcoredd import emu
from vmcoredd.chip import T6
from vmcoredd.chip.devlog import DevlogEntry
from vmcoredd.driver import ProbeError
from vmcoredd.driver.adapter import Adapter
from vmcoredd.driver.transports import Inproc
from vmcoredd.emu.errors import NoSuchFault, NotUndone
from vmcoredd.emu.firmware import Mode
from vmcoredd.emu.silicon.slot import REMOVAL
from vmcoredd.emu.undo import bits, difference, merged

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}


@pytest.fixture(scope="module", params=["t62100-cr", "t520-cr"])
def made(request: pytest.FixtureRequest) -> tuple[emu.Card, emu.Snapshot]:
    card = emu.Card.load(request.param, memory=SMALL)
    return card, card.snapshot()


@pytest.fixture
def card(made: tuple[emu.Card, emu.Snapshot]) -> Iterator[emu.Card]:
    card, before = made
    yield card
    card.restore(before)


def left(card: emu.Card, before: emu.Snapshot) -> object:
    """What of a card differs from a snapshot, but for the firmware's log."""
    found = difference(before, card.snapshot())
    log = card.firmware.log
    place = [*card.memories].index(log.memory)
    memories = {
        number: [
            word for word in words if number != place or not log.holds(log.memory, 4 * word.place)
        ]
        for number, words in found.memories.items()
    }
    models = {type(card.models[number]).__name__: pair for number, pair in found.models.items()}
    models.pop("PacketEngine", None)  # counts interrupts
    if "Mailboxes" in models:
        one, other = models["Mailboxes"]
        (state, _), (later, _) = one[-1], other[-1]
        history = {name: getattr(later, name) for name in ("ticks", "logged", "last_command")}
        state.__dict__.update(history)
        if one == other:
            del models["Mailboxes"]
    changed = found.commands[0] != found.commands[1]
    return found.tables, found.bars, {k: v for k, v in memories.items() if v}, changed, models


NOTHING: object = ({}, {}, {}, False, {})


def test_every_fault_can_be_undone_alone(card: emu.Card) -> None:
    before, tried, wrong = card.snapshot(), 0, {}
    names = [fault.example for fault in emu.faults().values() if fault.name != REMOVAL]
    for name in names if card.chip is T6 else names[::4]:
        try:
            card.fail(name, undoable=True)
        except NoSuchFault:
            continue
        finally:
            tried += 1
        card.undo(name)
        assert card.faults == {}
        if (differs := left(card, before)) != NOTHING:
            wrong[name] = differs
            card.restore(before)
    assert wrong == {}
    assert tried > 30


def test_many_faults_together_can_be_undone(card: emu.Card) -> None:
    before = card.snapshot()
    for fault in [*emu.faults().values()][::5]:
        assert fault.name != REMOVAL  # after which nothing is put back
        try:
            card.fail(fault.example, undoable=True)
        except NoSuchFault:
            continue
    assert len(card.faults) > 20
    card.undo(*card.faults)
    assert left(card, before) == NOTHING


@pytest.mark.parametrize(
    "name",
    [
        *("cim-host-hangs", "cim-la-hangs", "cim-obq-busy", "flash-busy", "flash-hangs"),
        *("le-busy", "rss-row-not-valid", "vpd-silent"),
    ],
)
def test_what_hung_when_a_driver_used_it_goes_on(card: emu.Card, name: str) -> None:
    """The driver's own access is what made it hang."""
    healthy = dumped(card)
    card.fail(name, undoable=True)
    assert dumped(card) != healthy
    card.undo(name)
    assert dumped(card) == healthy


def dumped(card: emu.Card) -> object:
    """What became of the entities in a driver's dump, or why there is none."""
    try:
        adapter = Adapter(Inproc(card), sleep=lambda seconds: None)
    except ProbeError as error:
        return str(error)
    entities = adapter.collect(memoryview(bytearray(32 << 20))).entities
    return [(one.name, one.code, one.sys_warn) for one in entities]


def test_what_a_driver_wrote_meanwhile_stays(card: emu.Card) -> None:
    cause = card.chip.r.PL_INT_CAUSE
    card.fail("parity-tp", undoable=True)
    set_by_it = card.read(cause)
    assert set_by_it
    card.core.spaces.set_bits(cause, "SF")
    card.write(card.chip.r.PL_PERR_ENABLE, 0x1234)
    card.undo("parity-tp")
    assert card.read(cause) == cause.mask("SF")
    assert card.read(card.chip.r.PL_PERR_ENABLE) == 0x1234


def test_what_a_driver_cleared_stays_cleared(card: emu.Card) -> None:
    cause = card.chip.r.PL_INT_CAUSE
    card.fail("parity-tp", undoable=True)
    card.write(cause, 0xFFFFFFFF)
    card.undo("parity-tp")
    assert card.read(cause) == 0


def test_the_firmware_answers_again_and_its_log_stays(card: emu.Card) -> None:
    card.fail("firmware-crash", undoable=True)
    logged = card.firmware.state.logged
    card.undo("firmware-crash")
    assert card.firmware.state.mode is Mode.ALIVE
    assert card.firmware.state.logged == logged
    last = DevlogEntry.from_bytes(card.firmware.log.read(logged - 1))
    assert b"crash: the firmware has stopped" in bytes(last.fmt)


def test_a_link_comes_up_again_and_the_driver_hears_of_it(card: emu.Card) -> None:
    told: list[tuple[int, bool]] = []
    hear = card.engine.on_link
    assert hear
    card.engine.on_link = lambda port, up: (told.append((port, up)), hear(port, up))[1]
    card.fail("link-down-port1", undoable=True)
    card.undo("link-down-port1")
    card.engine.on_link = hear
    assert told == [(1, False), (1, True)]
    assert card.engine.c.ports[1].up


def test_a_fault_that_another_followed_is_undone_with_it(card: emu.Card) -> None:
    for name in ("firmware-slow", "firmware-error", "vpd-slow"):
        card.fail(name, undoable=True)
    with pytest.raises(NotUndone, match="vpd-slow came after firmware-error: name that too"):
        card.undo("firmware-error")
    card.undo("firmware-error", "vpd-slow")
    assert (card.firmware.state.mode, [*card.faults]) == (Mode.SLOW, ["firmware-slow"])


def test_a_fault_that_is_not_on_or_was_not_to_be_undone_is_refused(card: emu.Card) -> None:
    with pytest.raises(NotUndone, match="firmware-slow is not on"):
        card.undo("firmware-slow")
    card.fail("firmware-slow")
    with pytest.raises(NotUndone, match="was not switched on to be undone: restore a snapshot"):
        card.undo("firmware-slow")


def test_a_fault_of_a_restored_snapshot_can_be_undone(card: emu.Card) -> None:
    card.fail("firmware-slow", undoable=True)
    slow = card.snapshot()
    card.undo("firmware-slow")
    card.restore(slow)
    card.undo("firmware-slow")
    assert card.firmware.state.mode is Mode.ALIVE


def test_a_fault_lasts_as_long_as_it_is_told(card: emu.Card) -> None:
    later = []

    def clock(seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        later.append((seconds, function))
        return lambda: None

    card.triggers.start_clock(clock)
    card.fail("firmware-slow@read:PL_WHOAMI,for=2s")
    card.read(card.chip.r.PL_WHOAMI)
    card.fail("vpd-slow,for=1.5s")
    assert [seconds for seconds, _ in later] == [2.0, 1.5]
    assert [*card.faults] == ["firmware-slow", "vpd-slow"]
    later[0][1]()  # over, but another has come after it
    assert [*card.faults] == ["firmware-slow", "vpd-slow"]
    later[1][1]()
    assert [*card.faults] == []
    assert card.firmware.state.mode is Mode.ALIVE


def test_the_time_of_a_fault_that_is_undone_is_not_that_of_the_next(card: emu.Card) -> None:
    later: list[Callable[[], None]] = []
    called_off = []

    def clock(_seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        later.append(function)
        return lambda: called_off.append(function)

    card.triggers.start_clock(clock)
    card.fail("firmware-slow,for=2s", undoable=True)
    card.undo("firmware-slow")
    assert called_off == later
    card.fail("firmware-slow", undoable=True)
    later[0]()
    assert [*card.faults] == ["firmware-slow"]


def test_bits_are_put_back_one_by_one() -> None:
    assert bits(0b0000, 0b0110, 0b0110) == 0b0000
    assert bits(0b0000, 0b0110, 0b1010) == 0b1000
    assert bits(0b1111, 0b0110, 0b0110) == 0b1111


def test_plain_data_is_put_back_part_by_part() -> None:
    before, after, now = {"a": [1, 2], "b": 3}, {"a": [1, 5], "c": 4}, {"a": [7, 5], "c": 9, "d": 1}
    assert merged(before, after, now) == {"a": [7, 2], "b": 3, "c": 9, "d": 1}
