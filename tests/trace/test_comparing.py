"""What two traces have in common: polls are one step, and volatile words may differ."""

from __future__ import annotations

from vmcoredd.chip import T6, pci
from vmcoredd.trace.comparing import Step, Words, steps
from vmcoredd.trace.records import CONFIG_SPACE, WINDOW, Kind, Record, Source

WORDS = Words(T6)
OWNED = 2


def access(kind: Kind, address: int, value: int = 0, length: int = 4, **other: int) -> Record:
    """An access by a client."""
    empty = dict.fromkeys(Record._fields[:-1], 0) | {"data": b""}
    given = {"kind": int(kind), "source": int(Source.CLIENT), "length": length}
    return Record(**(empty | given | {"address": address, "value": value} | other))  # type: ignore[arg-type]


def read(address: int, value: int = 0, length: int = 4, **other: int) -> Record:
    return access(Kind.READ, address, value, length, **other)


def write(address: int, value: int = 0, **other: int) -> Record:
    return access(Kind.WRITE, address, value, **other)


def found(*records: Record) -> list[Step]:
    return list(steps(WORDS, records))


CTRL = int(T6.r.CIM_PF_MAILBOX_CTRL[4])
FW = int(T6.r.PCIE_FW)


def test_a_poll_is_one_step_with_its_last_value() -> None:
    (poll,) = found(read(CTRL, 1), read(CTRL, 1), read(CTRL, OWNED))
    assert (poll.record.value, poll.turns, poll.is_poll, poll.moved) == (OWNED, 3, True, True)
    assert poll.index == 0


def test_words_that_are_polled_by_turns_are_one_step_each() -> None:
    once = found(read(CTRL, 1), read(FW), read(CTRL, OWNED))
    often = found(read(CTRL, 1), *[read(FW), read(CTRL, 1)] * 9, read(FW), read(CTRL, OWNED))
    assert [step.key for step in once] == [step.key for step in often]
    assert [step.turns for step in often] == [11, 10]


def test_another_access_ends_a_poll() -> None:
    steps_ = found(read(CTRL, 1), write(CTRL), read(CTRL, OWNED))
    assert [step.turns for step in steps_] == [1, 1, 1]


def test_what_is_not_polled_is_a_step_for_each_access() -> None:
    assert [step.is_poll for step in found(*[read(int(T6.r.PL_WHOAMI))] * 3)] == [False] * 3


def test_the_flag_of_the_vpd_is_polled_in_configuration_space() -> None:
    flag = pci.CAP_AT[pci.Cap.VPD] + 2
    (poll,) = found(*[read(flag, value, 2, space=CONFIG_SPACE) for value in (0, 0, 0x8000)])
    assert poll.turns == 3


def test_only_a_drivers_accesses_are_steps() -> None:
    engine = {"source": int(Source.ENGINE)}
    assert found(access(Kind.DMA_READ, 0, **engine), access(Kind.ATTACHED, 0)) == []


def test_a_writes_key_has_its_value_and_a_reads_has_not() -> None:
    assert found(read(FW, 1))[0].key == found(read(FW, 2))[0].key
    assert found(write(FW, 1))[0].key != found(write(FW, 2))[0].key


def test_a_volatile_word_may_differ_and_is_named() -> None:
    clock = read(int(T6.r.SGE_TIMESTAMP_LO), 1)
    assert WORDS.differing(clock, b"\2\0\0\0") == (False, ["SGE_TIMESTAMP_LO"])
    assert WORDS.differing(clock, b"\1\0\0\0") == (False, [])


def test_in_a_run_only_the_volatile_words_may_differ() -> None:
    first = int(T6.r.SGE_TIMESTAMP_LO) - 4
    run = read(first, length=12, carried=12)._replace(data=bytes(12))
    clocks = bytes(4) + b"\1" * 8
    assert WORDS.differing(run, clocks) == (False, ["SGE_TIMESTAMP_LO", "SGE_TIMESTAMP_HI"])
    assert WORDS.differing(run, b"\1" + clocks[1:])[0]


def test_nothing_in_a_memory_window_is_volatile() -> None:
    shown = read(int(T6.r.SGE_TIMESTAMP_LO), 1, detail=WINDOW)
    assert WORDS.differing(shown, b"\2\0\0\0") == (True, [])


def test_an_answer_of_another_length_differs() -> None:
    assert WORDS.differing(read(FW, 0), b"")[0]
