"""The engine against the reference (`SingleIo`), on a card of memory with an index register."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ramcard import RamCard

from vmcoredd.chip.layout import u32s
from vmcoredd.chip.pci import WHOAMI
from vmcoredd.driver.engine import EngineIo
from vmcoredd.hw.errors import AdapterGone, DeadDevice, DeviceError
from vmcoredd.hw.io import Cell, Check, Counts, Each, Op, Poll, Put, Read, SingleIo, Write

INDEX, DATA, BUSY, FIFO, PLAIN = 0x100, 0x104, 0x108, 0x10C, 0x200


class IndexCard(RamCard):
    """DATA shows three times INDEX; BUSY stays 1 for `delays[index]` reads after that index."""

    def __init__(self, delays: dict[int, int] | None = None) -> None:
        super().__init__(0x1000)
        self.delays = dict(delays or {})
        self.waits = 0
        self.on_write[INDEX] = self._index
        self.on_read[BUSY] = self._busy
        self.on_read[FIFO] = lambda value: value + 1

    def _index(self, value: int) -> None:
        self.put(DATA, value * 3 & 0xFFFFFFFF)
        self.waits = self.delays.get(value, 0)

    def _busy(self, value: int) -> int:
        self.waits -= self.waits > 0
        return self.waits + 1 if self.waits else 0


class GoneCard(IndexCard):
    """Reads all ones once `gone_at` was written to INDEX; PL_WHOAMI stays if `whoami` is given."""

    def __init__(self, gone_at: int, whoami: int | None = None) -> None:
        super().__init__()
        self.memory += bytes(WHOAMI + 4 - len(self.memory))
        self.gone_at, self.whoami, self.gone = gone_at, whoami, False

    def _index(self, value: int) -> None:
        super()._index(value)
        self.gone = self.gone or value == self.gone_at

    def _read(self, offset: int, length: int) -> bytes:
        if offset == WHOAMI and self.whoami is not None:
            return self.whoami.to_bytes(4, "little")
        return b"\xff" * length if self.gone else super()._read(offset, length)


class Reference(SingleIo):
    """One access at a time, directly to the card's memory and hooks."""

    def __init__(self, card: RamCard) -> None:
        self.card = card
        self.counts = Counts()

    def read(self, offset: int, width: int = 4) -> int:
        self.counts.r32 += width == 4
        self.counts.r64 += width == 8
        return int.from_bytes(self.card._read(offset, width), "little")

    def check_alive(self) -> None:
        if self.card._read(WHOAMI, 4) == b"\xff" * 4:
            raise AdapterGone(-errno.EIO, "PL_WHOAMI")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self.counts.w32 += 1
        self.card._written(offset, value.to_bytes(width, "little"))


def indexed(attempts: int = 3, error: int = -errno.EAGAIN, *, keep: bool = False) -> list[Op]:
    """Selects a row, waits for it and reads it."""
    poll = Poll(BUSY, 0xFF, 0, attempts, 0, error, keep)
    return [Write(INDEX, Cell(0)), poll, Read(DATA)]


def outcome(io: EngineIo | Reference, ops: list[Op], rows: object) -> tuple[object, ...]:
    """Returns the output of a program, or its error."""
    out = memoryview(bytearray(1 << 20))
    try:
        return ("good", bytes(io.run(ops, rows, out)))  # type: ignore[arg-type]
    except DeviceError as error:
        return (error.code, error.rows, bytes(out[: error.used]))


def test_engine_reads_through_an_index_register() -> None:
    kept = IndexCard().io().run([Write(INDEX, Each(5)), Read(DATA)], rows=3)
    assert u32s(kept) == (15, 18, 21)


def test_engine_reads_a_run_of_registers_at_once() -> None:
    card = IndexCard()
    assert len(card.io().read_run(PLAIN, 64)) == 256
    assert card.log == [("r", PLAIN, 256)]


def test_engine_reads_an_advancing_register_repeatedly() -> None:
    card = IndexCard()
    assert u32s(card.io().run([Read(FIFO, count=4, again=True)])) == (1, 2, 3, 4)
    assert card.log == [("r", FIFO, 4)] * 4


def test_engine_writes_a_run_of_registers_at_once() -> None:
    card = IndexCard()
    io = card.io()
    io.run([Write(PLAIN, Each(7), count=3)], rows=2)
    assert card.log == [("w", PLAIN, 12)] * 2
    assert u32s(card.memory[PLAIN : PLAIN + 16]) == (8, 8, 8, 0)
    assert io.counts == Counts(w32=6)


def test_engine_without_pipelining_writes_a_run_one_by_one() -> None:
    card = IndexCard()
    card.io(pipelined=False).run([Write(PLAIN, 7, count=3)])
    assert card.log == [("w", PLAIN + 4 * i, 4) for i in range(3)]


def test_engine_writes_nothing_where_the_count_is_0() -> None:
    card = IndexCard()
    card.io().run([Write(PLAIN, 7, count=Cell(0))], rows=[0, 1])
    assert card.log == [("w", PLAIN, 4)]


def test_engine_refuses_to_write_a_run_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="malformed"):
        IndexCard().io().run([Write(PLAIN, 7, count=65)])


def test_engine_puts_numbers_between_values_read() -> None:
    ops = [Put(Cell(0, 5)), *indexed(), Put(9)]
    assert u32s(IndexCard().io().run(ops, rows=[1, 2])) == (6, 3, 9, 7, 6, 9)


def test_engine_drops_values_that_are_not_kept() -> None:
    kept = IndexCard().io().run([Read(FIFO, keep=False), Read(FIFO)], rows=2)
    assert u32s(kept) == (2, 4)


def test_engine_reads_eight_bytes_at_a_time() -> None:
    card = IndexCard()
    io = card.io()
    card.put(PLAIN, 1)
    card.put(PLAIN + 4, 2)
    assert io.read(PLAIN, 8) == 2 << 32 | 1
    io.run([Read(PLAIN, count=4, width=8)])
    assert io.counts == Counts(r64=5)


def test_engine_drops_eight_bytes_without_overwriting_polled_values() -> None:
    ops = [Write(INDEX, Cell(0)), Poll(BUSY, 0xFF, 0, 1), Read(PLAIN, width=8, keep=False)]
    card = IndexCard()
    card.put(PLAIN, 0xFFFFFFFF)
    card.put(PLAIN + 4, 0xFFFFFFFF)
    io = card.io()
    io.run(ops, range(100))
    assert io.counts == Counts(r32=100, w32=100, r64=100)


def test_engine_sends_the_first_row_of_a_program_with_polls_alone() -> None:
    card = IndexCard(delays={0: 99})
    with pytest.raises(DeviceError) as hung:
        card.io().run(indexed(), range(2000))
    assert (hung.value.code, hung.value.rows) == (-errno.EAGAIN, 0)
    assert card.log == [("w", INDEX, 4), *[("r", BUSY, 4)] * 3]


def test_engine_waits_for_a_delayed_poll() -> None:
    io = IndexCard(delays={700: 3}).io()
    kept = io.run(indexed(), range(1500))
    assert u32s(kept) == tuple(3 * row for row in range(1500))
    assert io.counts == Counts(r32=3000 + 2, w32=1500)


def test_engine_leaves_the_registers_as_the_kernel_does_when_a_poll_times_out() -> None:
    card = IndexCard(delays={700: 9})
    with pytest.raises(DeviceError) as hung:
        card.io().run(indexed(), range(1500))
    assert (hung.value.rows, card.word(INDEX), card.word(DATA)) == (700, 700, 2100)


def test_engine_continues_where_the_kernel_ignores_a_timeout() -> None:
    kept = IndexCard(delays={2: 99}).io().run(indexed(error=0), range(4))
    assert u32s(kept) == (0, 3, 6, 9)


def test_engine_zeroes_the_output_of_rows_after_the_failed_one() -> None:
    out = memoryview(bytearray(4000))
    with pytest.raises(DeviceError) as hung:
        IndexCard(delays={40: 9}).io().run(indexed(), range(1000), out)
    assert hung.value.used == 160
    assert not any(out[160:])


def test_engine_stops_at_a_failed_check() -> None:
    card = RamCard(0x1000)
    card.on_read[BUSY] = lambda value: int(card.word(INDEX) >= 49)
    ops = [Check(BUSY, 1, 0, error=-errno.EBUSY), Write(INDEX, Cell(0)), Read(DATA)]
    with pytest.raises(DeviceError) as busy:
        card.io().run(ops, range(1000))
    assert (busy.value.code, busy.value.rows, card.word(INDEX)) == (-errno.EBUSY, 50, 49)


def test_engine_does_nothing_for_a_table_without_rows() -> None:
    card = IndexCard()
    assert bytes(card.io().run(indexed(), [])) == b""
    assert card.log == []


def test_engine_without_pipelining_makes_one_access_at_a_time() -> None:
    card = IndexCard()
    io = card.io(pipelined=False)
    assert len(io.run([Read(PLAIN, count=8, width=8), *indexed()], rows=[(1,)])) == 68
    assert [entry[2] for entry in card.log] == [8] * 8 + [4] * 3


def test_engine_reports_a_dead_card_and_stops_accessing_it() -> None:
    card = IndexCard()
    io = card.io()
    card.dies_after = 10
    with pytest.raises(DeadDevice):
        io.run(indexed(), range(100))
    with pytest.raises(DeadDevice):
        io.read(PLAIN)
    assert len(card.log) == 10


def test_engine_refuses_output_that_is_too_small() -> None:
    with pytest.raises(ValueError, match="output buffer is too small"):
        IndexCard().io().run([Read(DATA)], rows=3, out=memoryview(bytearray(11)))


def test_engine_refuses_a_column_outside_the_table() -> None:
    with pytest.raises(ValueError, match="malformed"):
        IndexCard().io().run([Read(Cell(1))], rows=[3])


def test_engine_refuses_rows_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        IndexCard().io().run([Read(Cell(0))], rows=[(4, 8), (4,)])


@settings(max_examples=60)
@given(
    rows=st.lists(st.integers(0, 90), min_size=1, max_size=150),
    delays=st.dictionaries(st.integers(0, 90), st.integers(1, 5), max_size=4),
    attempts=st.integers(1, 4),
    error=st.sampled_from([0, -errno.EAGAIN]),
    keep=st.booleans(),
    pipelined=st.booleans(),
)
def test_engine_does_what_single_accesses_do(
    rows: list[int],
    delays: dict[int, int],
    attempts: int,
    error: int,
    keep: bool,
    pipelined: bool,
) -> None:
    record = [Put(Cell(0, 7)), Write(PLAIN, Each(3), count=2)]
    ops = [*record, *indexed(attempts, error, keep=keep)]
    fast, slow = IndexCard(delays), IndexCard(delays)
    engine, reference = fast.io(pipelined=pipelined), Reference(slow)
    assert outcome(engine, ops, rows) == outcome(reference, ops, rows)
    assert engine.counts == reference.counts
    assert fast.memory[:BUSY] == slow.memory[:BUSY]
    assert fast.memory[PLAIN:] == slow.memory[PLAIN:]


def patient() -> list[Op]:
    """Selects a row and waits for it for up to a quarter of an hour."""
    return [Write(INDEX, Cell(0)), Poll(BUSY, 0xFF, 0, 1_000_000, 1000), Read(DATA)]


@pytest.mark.parametrize("pipelined", [True, False])
def test_engine_does_not_wait_for_an_adapter_that_is_gone(pipelined: bool) -> None:
    card = GoneCard(gone_at=0)
    io = card.io(pipelined=pipelined)
    with pytest.raises(AdapterGone, match="the adapter reads all ones: it is gone"):
        io.run(patient(), range(2000))
    made = [("w", INDEX, 4), ("r", BUSY, 4), *[("r", WHOAMI, 4)] * 32]
    assert card.log == made
    assert io.counts == Counts(r32=1, w32=1)
    with pytest.raises(AdapterGone):
        io.read(PLAIN)
    assert card.log == made


@pytest.mark.parametrize("gone_at", [0, 1, 31, 32, 700, 1999])
def test_engine_notices_an_adapter_that_goes_where_the_reference_does(gone_at: int) -> None:
    engine, reference = (GoneCard(gone_at).io(), Reference(GoneCard(gone_at)))
    first, second = (outcome(io, patient(), range(2000)) for io in (engine, reference))
    assert first == second
    assert first[:2] == (-errno.EIO, gone_at)
    assert engine.counts == reference.counts


def test_engine_waits_as_before_for_a_register_of_ones_of_an_adapter_that_is_there() -> None:
    card, plain = GoneCard(gone_at=0, whoami=0x800), GoneCard(gone_at=0, whoami=0x800)
    io, reference = card.io(), Reference(plain)
    assert outcome(io, indexed(attempts=3), [0]) == outcome(reference, indexed(attempts=3), [0])
    assert io.counts == reference.counts
    assert card.log.count(("r", WHOAMI, 4)) == 1


def test_engine_goes_on_if_a_single_read_shows_that_the_adapter_is_there() -> None:
    card = GoneCard(gone_at=0)
    reads = iter([*[b"\xff" * 4] * 31, b"\0\x08\0\0"])
    others = card._read
    card._read = lambda at, size: next(reads) if at == WHOAMI else others(at, size)  # type: ignore[method-assign]
    assert outcome(card.io(), indexed(attempts=3), [0])[0] == -errno.EAGAIN
    assert next(reads, None) is None


def test_check_alive_reads_a_register_only_after_all_ones() -> None:
    card = GoneCard(gone_at=0)
    io = card.io()
    card.put(PLAIN, 0xFFFFFFFF)
    io.read(PLAIN + 4)
    io.check_alive()
    assert ("r", WHOAMI, 4) not in card.log
    for read in (lambda: io.read(PLAIN), lambda: io.run([Read(PLAIN)])):
        read()
        io.check_alive()
        io.check_alive()
    assert card.log.count(("r", WHOAMI, 4)) == 2
    assert io.counts == Counts(r32=3)
    io.write(INDEX, 0)
    io.read(PLAIN)
    with pytest.raises(AdapterGone):
        io.check_alive()
