"""Faults that wait: for a time, an access, a mailbox command; and what they cost."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from emumail import Mailbox, NoReply

from pyvfio_user import library_version
from vmcoredd import emu
from vmcoredd.chip.firmware import Devlog, Hello, Initialize
from vmcoredd.emu import AccessError, triggers
from vmcoredd.emu.errors import BadArgument, NoSuchFault
from vmcoredd.emu.firmware import Mode
from vmcoredd.emu.server import served
from vmcoredd.emu.spaces import WordKind
from vmcoredd.emu.triggers import Trigger, TriggerError, parse

WAIT = 20.0


@pytest.fixture
def card(strict_card: emu.Card) -> Iterator[emu.Card]:
    yield strict_card
    for text in strict_card.triggers.armed:
        strict_card.triggers.disarm(text)


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("le-busy", {}),
        ("le-busy@5s", {"seconds": 5.0}),
        ("le-busy@0.25s", {"seconds": 0.25}),
        ("le-busy@read:PL_WHOAMI", {"event": "read", "name": "PL_WHOAMI"}),
        ("le-busy@write:SF_OP:30", {"event": "write", "name": "SF_OP", "count": 30}),
        (
            "le-busy@read:PCIE_FW_PF[7]:2",
            {"event": "read", "name": "PCIE_FW_PF[7]", "count": 2},
        ),
        ("le-busy@command:VI_MAC", {"event": "command", "name": "VI_MAC"}),
        ("le-busy,for=2s", {"lasts": 2.0}),
        ("le-busy@5s,for=0.5s", {"seconds": 5.0, "lasts": 0.5}),
        ("le-busy@command:VI,p=0.1", {"event": "command", "name": "VI", "chance": 0.1}),
    ],
)
def test_a_text_says_what_a_fault_waits_for(text: str, trigger: dict[str, object]) -> None:
    assert parse(text, emu.faults()) == Trigger(text, "le-busy", **trigger)  # type: ignore[arg-type]


def test_the_argument_of_a_fault_is_a_part_of_its_name() -> None:
    text = "firmware-retval=EBUSY@command:VI:2,for=0.5s"
    expected = Trigger(text, "firmware-retval=EBUSY", None, "command", "VI", 2, lasts=0.5)
    assert parse(text, emu.faults()) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("le-bussy@5s", "no fault le-bussy; did you mean le-busy?"),
        ("le-busy=5", "le-busy=5: le-busy takes no argument; type le-busy"),
        ("le-busy=@5s", "le-busy takes no argument"),
        (
            "firmware-retval@5s",
            "firmware-retval: its argument is missing; type firmware-retval=RETVAL, a return value "
            "of the firmware, as in firmware-retval=EBUSY",
        ),
        ("firmware-retval=,for=2s", "firmware-retval: its argument is missing"),
        ("firmware-retval=ebusi", "firmware-retval=ebusi: no retval ebusi; did you mean EBUSY"),
        ("firmware-retval=" + "E" * 100, "not a fault"),
        (
            "le-busy@",
            "le-busy@: not a fault; type FAULT or FAULT=ARGUMENT, then @5s, @read:REGISTER",
        ),
        ("le-busy@5", "not a fault"),
        ("le-busy@5s,p=2", "not a fault"),
        ("le-busy,for=2", "not a fault"),
        ("le-busy@5s,p=0.1", "a chance is that of an event"),
        ("le-busy,p=0.1", "a chance is that of an event"),
        ("le-busy@reads:PL_WHOAMI", "no event reads; there is read, write, command"),
        ("le-busy@read:PL_WHOAMI:0", "events are counted from 1"),
        ("le-busy@read:PL_WHOAMY", "did you mean PL_WHOAMI"),
        ("le-busy@read:PCIE_FW_PF[8]", "has no PCIE_FW_PF[8]; did you mean PCIE_FW_PF[7]?"),
        ("le-busy@read:PCIE_FW_PF[x]", "not a fault"),
        ("le-busy@command:HALLO", "no command HALLO; did you mean HELLO?"),
        ("le-busy@read:" + "9" * 5000, "has no 999"),
    ],
    ids=lambda text: text[:30],
)
def test_a_wrong_text_says_what_is_meant(text: str, error: str) -> None:
    with pytest.raises((NoSuchFault, BadArgument, TriggerError), match=re.escape(error)):
        parse(text, emu.faults())


def test_a_fault_comes_before_the_read_that_it_waits_for(card: emu.Card) -> None:
    whoami = card.chip.r.PL_WHOAMI
    card.fail("firmware-slow@read:PL_WHOAMI:3")
    values = []
    for _ in range(4):
        values.append((card.read(whoami), [*card.faults]))
        card.write(card.chip.r.PL_PERR_ENABLE, 0)
    first = values[0][0]
    assert values == [
        (first, []),
        (first, []),
        (first, ["firmware-slow"]),
        (first, ["firmware-slow"]),
    ]
    assert card.triggers.armed == []


def test_the_read_itself_sees_the_fault(card: emu.Card) -> None:
    card.fail("firmware-error@read:PCIE_FW:2")
    error = card.chip.r.PCIE_FW.mask("ERR")
    assert [bool(card.read(card.chip.r.PCIE_FW) & error) for _ in range(3)] == [False, True, True]


def test_a_write_is_counted_apart_and_has_its_effect(card: emu.Card) -> None:
    register = card.chip.r.CIM_HOST_ACC_DATA
    card.fail("firmware-slow@write:CIM_HOST_ACC_DATA:2")
    card.read(register)
    card.write(register, 5)
    assert (card.read(register), [*card.faults]) == (5, [])
    card.write(register, 6)
    assert (card.read(register), [*card.faults]) == (6, ["firmware-slow"])


@pytest.mark.parametrize(
    "name", ["PL_WHOAMI", "PL_INT_CAUSE", "SF_OP", "TP_PIO_ADDR", "TP_PIO_DATA", "SGE_PF_GTS"]
)
def test_a_watched_word_behaves_as_before_and_has_its_kind_back(card: emu.Card, name: str) -> None:
    """Read-only, write-to-clear, a hook, a command, a lookup's data, a doorbell."""
    register = card.chip.r[name]
    space, index = card.core.spaces.where(register)
    kind = space.kinds[index]

    def seen() -> list[object]:
        found: list[object] = []
        for value in (0, 0x10, 0xFFFF):
            try:
                card.write(space_offset, value)
            except AccessError as error:
                found.append(error.errno)
            found.append(card.read(space_offset))
        return found

    space_offset = int(register)
    before = card.snapshot()
    expected = seen()
    card.restore(before)
    card.fail(f"firmware-slow@read:{name}:999")
    assert space.kinds[index] == WordKind.HOOK
    assert seen() == expected
    card.triggers.disarm(f"firmware-slow@read:{name}:999")
    assert space.kinds[index] == kind


@pytest.mark.parametrize(
    ("name", "offset"), [("EDC_H_INT_CAUSE[1]", 0x50878), ("CIM_PF_MAILBOX_CTRL[4]", 0x1F280)]
)
def test_one_word_of_several_is_waited_for(card: emu.Card, name: str, offset: int) -> None:
    every = [one.register[one.element] for one in card.chip.r.words(name.partition("[")[0])]
    card.fail(f"firmware-slow@read:{name}")
    for other in {*every} - {offset}:
        card.read(other)
    assert [*card.faults] == []
    card.read(offset)
    assert [*card.faults] == ["firmware-slow"]


def test_every_instance_of_a_register_is_waited_for(card: emu.Card) -> None:
    card.fail("firmware-slow@read:EDC_H_INT_CAUSE:2")
    for register in card.chip.r.instances("EDC_H_INT_CAUSE"):
        card.read(register)
    assert [*card.faults] == ["firmware-slow"]


def test_two_faults_wait_at_one_register(card: emu.Card) -> None:
    whoami = card.chip.r.PL_WHOAMI
    space, index = card.core.spaces.where(whoami)
    kind = space.kinds[index]
    card.fail("firmware-slow@read:PL_WHOAMI:2")
    card.fail("firmware-error@read:PL_WHOAMI:3")
    card.read(whoami)
    assert [*card.faults] == []
    card.read(whoami)
    assert [*card.faults] == ["firmware-slow"]
    card.read(whoami)
    assert [*card.faults] == ["firmware-slow", "firmware-error"]
    assert space.kinds[index] == kind


def test_a_word_of_a_run_is_watched_too(card: emu.Card) -> None:
    whoami = card.chip.r.PL_WHOAMI
    card.fail("firmware-slow@read:PL_WHOAMI")
    card.bar_read(0, int(whoami) - 8, 16)
    assert [*card.faults] == ["firmware-slow"]


def test_a_command_is_counted_by_its_kind_and_may_be_swallowed(
    card: emu.Card, mail: Mailbox
) -> None:
    card.fail("firmware-dead@command:HELLO:2")
    mail.do(Hello(mbmaster=4))
    mail.do(Devlog())
    assert [*card.faults] == []
    with pytest.raises(NoReply):
        mail.do(Hello(mbmaster=4))
    assert card.firmware.state.mode is Mode.DEAD


def test_a_fault_that_waits_can_be_called_off(card: emu.Card, mail: Mailbox) -> None:
    card.fail("firmware-dead@command:INITIALIZE")
    assert card.triggers.armed == ["firmware-dead@command:INITIALIZE"]
    with pytest.raises(TriggerError, match="le-busy@5s is not waiting; there is firmware-dead@"):
        card.triggers.disarm("le-busy@5s")
    card.triggers.disarm("firmware-dead@command:INITIALIZE")
    mail.do(Hello(mbmaster=4))
    mail.do(Initialize())
    assert ([*card.faults], card.triggers.armed) == ([], [])


def test_a_fault_that_is_called_off_ends_its_wait() -> None:
    card = emu.Card.load("t520-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
    ended = []
    card.triggers.start_clock(lambda seconds, _fire: lambda: ended.append(seconds))
    card.fail("le-busy@5s")
    card.fail("le-busy@6s")
    card.triggers.disarm("le-busy@5s")
    assert ended == [5.0]


def test_so_many_faults_wait_and_no_more(card: emu.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "MOST", 2)
    waiting = ["le-busy@command:VI", "le-busy@5s"]
    for text in [*waiting, *waiting]:
        card.fail(text)
    with pytest.raises(TriggerError, match="2 faults wait already: call one off"):
        card.fail("le-busy@6s")
    assert sorted(card.triggers.armed) == sorted(waiting)
    for text in waiting:
        card.triggers.disarm(text)


def test_a_chance_is_the_seeds() -> None:
    def reads(seed: int) -> int:
        card = emu.Card.load("t520-cr", seed, memory={"edc0": 1, "edc1": 1, "mc0": 1})
        card.fail("firmware-slow@read:PL_WHOAMI,p=0.05")
        count = 0
        while not card.faults and count < 1000:
            card.read(card.chip.r.PL_WHOAMI)
            count += 1
        return count

    counts = [reads(seed) for seed in (1, 1, 2, 3)]
    assert counts[0] == counts[1] < 1000
    assert len({*counts}) > 1


def test_a_register_that_this_chip_lacks_is_an_error(card: emu.Card) -> None:
    t5_only = next(r.name for r in emu.Card.load("t520-cr").chip.r if r.name not in card.chip.r)
    with pytest.raises(TriggerError, match=f"a T6 has no {t5_only}"):
        card.fail(f"le-busy@read:{t5_only}")


def test_a_fault_that_the_card_cannot_have_is_logged_when_its_time_comes(
    card: emu.Card, caplog: pytest.LogCaptureFixture
) -> None:
    card.fail("link-down-port3@read:PL_WHOAMI")
    card.read(card.chip.r.PL_WHOAMI)
    assert "fault link-down-port3@read:PL_WHOAMI: no such fault on a t62100-cr" in caplog.text
    assert ([*card.faults], card.triggers.armed) == ([], [])


def test_a_card_that_nobody_watches_has_no_other_kinds(card: emu.Card) -> None:
    """So that what waits for nothing costs nothing."""
    before = [bytes(space.kinds) for space in card.core.spaces.all]
    card.fail("le-busy@read:LE_DB_DBGI_CONFIG")
    card.fail("le-busy@command:VI")
    card.fail("le-busy@60s")
    for text in card.triggers.armed:
        card.triggers.disarm(text)
    assert [bytes(space.kinds) for space in card.core.spaces.all] == before


@pytest.mark.skipif(library_version() is None, reason="built without libvfio-user")
def test_a_time_passes_while_the_card_is_served(
    card: emu.Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fired, threads = threading.Semaphore(0), []
    fire = triggers.Triggers._fire

    def heard(self: triggers.Triggers, trigger: Trigger) -> None:
        fire(self, trigger)
        threads.append(threading.current_thread().name)
        fired.release()

    monkeypatch.setattr(triggers.Triggers, "_fire", heard)
    card.fail("firmware-slow@0.01s")
    assert card.triggers.armed == ["firmware-slow@0.01s"]
    with served(card, tmp_path / "t6.sock"):
        assert fired.acquire(timeout=WAIT)
        assert [*card.faults] == ["firmware-slow"]
        card.fail("le-busy@0.02s")
        assert fired.acquire(timeout=WAIT)
    assert threads == ["vfio-user server"] * 2
