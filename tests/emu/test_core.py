"""The access core: sizes of accesses, kinds of words, runs of words, the access log."""

from __future__ import annotations

import errno
import logging

import pytest
from emucore import BAR0_BYTES, SCRATCH, R, core, read, refused, word, write
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.chip import T6
from vmcoredd.emu.access_log import AccessLog, LoggedAccess, LogKind
from vmcoredd.emu.blocks import blocks
from vmcoredd.emu.core import Core
from vmcoredd.emu.spaces import WordKind

UNDESCRIBED = 0x4
PLAIN, READ_ONLY, CLEAR = (int(r) for r in (R.SGE_CONTROL, R.PL_WHOAMI, R.PL_INT_CAUSE))


def totals(machine: Core) -> dict[LogKind, int]:
    return dict(machine.access_log.totals)


def test_a_plain_word_holds_what_is_written() -> None:
    machine = core()
    write(machine, PLAIN, 0x12345678)
    assert read(machine, PLAIN) == bytes.fromhex("78563412")
    assert not totals(machine)


def test_a_register_starts_with_its_reset_value() -> None:
    assert word(core(), int(R.SGE_CONTROL)) == R.SGE_CONTROL.reset != 0


def test_a_read_only_word_refuses_writes_and_keeps_its_value() -> None:
    machine = core()
    assert refused(machine, READ_ONLY, 1) == errno.EPERM
    assert word(machine, READ_ONLY) == R.PL_WHOAMI.reset
    assert totals(machine) == {LogKind.GUEST_READ_ONLY: 1}


def test_a_w1c_word_clears_the_bits_written_as_one() -> None:
    machine = core()
    machine.spaces.set(R.PL_INT_CAUSE, 0b1110)
    write(machine, CLEAR, 0b0110)
    assert word(machine, CLEAR) == 0b1000


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 6, 7, 9])
def test_only_whole_words_can_be_accessed(length: int) -> None:
    machine = core()
    assert refused(machine, PLAIN, length=length) == errno.EINVAL
    assert totals(machine) == {LogKind.GUEST_SIZE: 1}


@pytest.mark.parametrize("offset", [PLAIN + 1, PLAIN + 2, PLAIN + 3])
def test_an_unaligned_access_is_refused(offset: int) -> None:
    assert refused(core(), offset) == errno.EINVAL


@pytest.mark.parametrize(
    ("offset", "length"),
    [(BAR0_BYTES, 4), (BAR0_BYTES - 4, 8), (0, BAR0_BYTES + 4), (1 << 40, 4), (2**64 - 4, 8)],
)
def test_an_access_past_the_end_is_refused(offset: int, length: int) -> None:
    assert refused(core(), offset, length=length) == errno.ERANGE


def test_the_last_word_can_be_accessed() -> None:
    assert not refused(core(), BAR0_BYTES - 4)


def test_eight_bytes_are_two_words_lower_word_first() -> None:
    machine = core()
    write(machine, int(R.SGE_FL_BUFFER_SIZE0), 1, 2)
    assert word(machine, int(R.SGE_FL_BUFFER_SIZE0)) == 1
    assert word(machine, int(R.SGE_FL_BUFFER_SIZE1)) == 2


def test_words_are_counted_by_their_block() -> None:
    machine = core()
    read(machine, int(R.PL_WHOAMI), 4)
    read(machine, int(R.SGE_FL_BUFFER_SIZE0), 8)
    write(machine, int(R.SGE_FL_BUFFER_SIZE0), 1, 2, 3)
    assert machine.block_counts() == {"PL": (1, 0), "SGE": (2, 3)}


def test_each_memory_and_port_is_a_block_of_its_own_and_functions_share_theirs() -> None:
    names, words = blocks(T6, BAR0_BYTES // 4)

    def block(offset: int) -> str:
        return names[words[offset // 4]]

    edc = R.instances("EDC_H_INT_CAUSE")
    assert [block(int(one)) for one in edc] == ["EDC0", "EDC1"]
    port = R.MPS_PORT_STAT_TX_PORT_BYTES_L
    assert [block(port[number]) for number in (0, 1)] == ["MPS port 0", "MPS port 1"]
    assert block(R.CIM_PF_MAILBOX_CTRL[4]) == "CIM"
    assert block(BAR0_BYTES - 4) == "undescribed"


def test_accesses_are_counted_by_size() -> None:
    machine = core()
    read(machine, SCRATCH, 4)
    read(machine, SCRATCH, 8)
    read(machine, SCRATCH, 4096)
    write(machine, PLAIN, 1)
    counts = machine.counts()
    assert (counts["read4"], counts["read8"], counts["read_runs"]) == (1, 1, 1)
    assert counts["read_run_words"] == 1024
    assert counts["write4"] == 1


def test_a_refused_access_is_not_counted() -> None:
    machine = core()
    refused(machine, 1)
    assert not any(machine.counts().values())


def test_a_run_stops_at_the_first_refused_word() -> None:
    machine = core()
    machine.bar0.kinds[SCRATCH // 4 : SCRATCH // 4 + 4] = bytes([WordKind.PLAIN] * 4)
    machine.bar0.set_kind(SCRATCH // 4 + 2, WordKind.READ_ONLY)
    assert refused(machine, SCRATCH, 1, 2, 3, 4) == errno.EPERM
    assert list(machine.bar0.words[SCRATCH // 4 : SCRATCH // 4 + 4]) == [1, 2, 0, 0]


def test_reads_and_writes_of_an_undescribed_word_are_logged() -> None:
    machine = core()
    write(machine, UNDESCRIBED, 7)
    assert word(machine, UNDESCRIBED) == 7
    assert totals(machine) == {LogKind.UNDESCRIBED: 2}


def test_a_read_of_an_unimplemented_word_is_logged() -> None:
    machine = core()
    machine.bar0.set_kind(SCRATCH // 4, WordKind.UNIMPLEMENTED)
    word(machine, SCRATCH)
    assert totals(machine) == {LogKind.UNIMPLEMENTED: 1}


def test_a_word_of_a_register_dump_can_be_read_but_its_writes_are_logged() -> None:
    machine = core()
    word(machine, int(R.MPS_TRC_CFG))
    assert not totals(machine)
    write(machine, int(R.MPS_TRC_CFG), 1)
    assert totals(machine) == {LogKind.UNIMPLEMENTED: 1}


def test_a_strict_core_allows_reads_of_every_word_of_a_register_dump() -> None:
    machine = core(strict=True)
    for start, words in machine.spaces.chip.ranges("reg_dump"):
        read(machine, start, words * 4)


def test_a_strict_core_refuses_words_without_behaviour() -> None:
    machine = core(strict=True)
    assert refused(machine, UNDESCRIBED) == errno.EIO
    assert refused(machine, int(R.MPS_TRC_CFG), 1) == errno.EIO
    assert word(machine, int(R.MPS_TRC_CFG)) == 0


def test_an_access_is_logged_once_with_the_registers_name(caplog: pytest.LogCaptureFixture) -> None:
    machine = core()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            write(machine, int(R.MPS_TRC_CFG), 1)
    assert [r.getMessage() for r in caplog.records] == [
        "write of MPS_TRC_CFG (0x9800): unimplemented: the register has no behaviour here"
    ]
    assert list(machine.access_log.counts.values()) == [3]


def test_the_access_log_holds_a_limited_number_of_accesses() -> None:
    access_log = AccessLog()
    for number in range(AccessLog.LIMIT + 10):
        access_log.add(LoggedAccess(LogKind.GUEST_SIZE, "read of", str(number)))
    assert len(access_log.counts) == AccessLog.LIMIT
    assert access_log.totals[LogKind.GUEST_SIZE] == AccessLog.LIMIT + 10


def test_the_access_log_shows_a_few_accesses_of_each_kind_and_the_number_of_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    access_log = AccessLog()
    for kind in (LogKind.GUEST_SIZE, LogKind.UNDESCRIBED):
        for number in range(AccessLog.SHOWN + 10):
            access_log.add(LoggedAccess(kind, "read of", str(number)))
    access_log.add(LoggedAccess(LogKind.GUEST_MEMORY, "read of", "adapter memory"))
    assert len(caplog.records) == 2 * (AccessLog.SHOWN + 1) + 1
    caplog.clear()
    access_log.log_totals()
    assert caplog.messages == [
        f"{AccessLog.SHOWN + 10} accesses in all: {kind.meaning}"
        for kind in (LogKind.GUEST_SIZE, LogKind.UNDESCRIBED)
    ]


def test_an_alias_is_the_same_word_at_another_address() -> None:
    machine = core()
    machine.bar0.set_kind(SCRATCH // 4, WordKind.ALIAS, PLAIN // 4)
    write(machine, SCRATCH, 5)
    assert word(machine, PLAIN) == word(machine, SCRATCH) == 5


def machine_of_all_kinds() -> Core:
    """Returns a core with a word of every kind that needs no Python, from SCRATCH on."""
    machine = core()
    table = machine.spaces.table("table", rows=8)
    table.fill(0, range(100, 108))
    names = ("MPS_TRC_CFG", "MPS_TRC_RSS_HASH")
    command, data = (R[name] for name in names)
    kinds = [
        WordKind.PLAIN,
        WordKind.READ_ONLY,
        WordKind.CLEAR,
        WordKind.DUMPED,
        WordKind.UNDESCRIBED,
    ]
    first = SCRATCH // 4
    for index, kind in enumerate(kinds * 6, first):
        machine.bar0.set_kind(index, kind)
        machine.bar0.words[index] = 0xFFFF0000 | index
    machine.lookups.index(command, data, table, mask=7)
    for index in range(first + 30, first + 40):
        machine.bar0.set_kind(index, WordKind.ALIAS, int(data if index % 2 else command) // 4)
    return machine


@given(start=st.integers(0, 39), count=st.integers(1, 40))
def test_a_run_of_reads_returns_what_single_reads_return(start: int, count: int) -> None:
    one, many = machine_of_all_kinds(), machine_of_all_kinds()
    count = min(count, 40 - start)
    singles = b"".join(read(one, SCRATCH + 4 * (start + i)) for i in range(count))
    assert read(many, SCRATCH + 4 * start, 4 * count) == singles


@given(st.integers(0, 39), st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=40))
def test_a_run_of_writes_does_what_single_writes_do(start: int, words: list[int]) -> None:
    one, many = machine_of_all_kinds(), machine_of_all_kinds()
    words = words[: 40 - start]
    first = next(
        (e for i, w in enumerate(words) if (e := refused(one, SCRATCH + 4 * (start + i), w))), 0
    )
    assert refused(many, SCRATCH + 4 * start, *words) == first
    assert bytes(one.bar0.words) == bytes(many.bar0.words)
    assert bytes(one.spaces.space("table").words) == bytes(many.spaces.space("table").words)
    assert one.access_log.counts == many.access_log.counts
