"""DUMP_CONTEXT, collected from emulated cards whose queues are known."""

from __future__ import annotations

import struct
from functools import cache

import pytest
from carddump import CARDS, CardDump, collect, collected
from carddump import rows as rows_of

from vmcoredd import emu
from vmcoredd.chip import T6, Chip
from vmcoredd.chip.sge import ContextType
from vmcoredd.cudbg.decoded import Decoded, Text
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.cudbg.entities.dump_context import Record
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.emu.silicon.sge import QUEUES, Contexts
from vmcoredd.hw.device import AdapterFlag
from vmcoredd.hw.io import Counts

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
PER_CONTEXT = 8
"""Accesses: the command, the busy bit, six words."""
FREE_LISTS = 1024
SIZE = 32


def card_of(chip: Chip, *faults: str, per_port: int = 4) -> emu.Card:
    return emu.Card.load(CARDS[chip], 5, faults=faults, queues={"per_port": per_port}, strict=True)


def dumped(card: emu.Card, *others: str, compress: str = "zlib") -> CardDump:
    return collect(card, compress, entities=("DUMP_CONTEXT", *others))


def records(found: CardDump) -> list[Record]:
    blob = found.dump.raw("DUMP_CONTEXT")
    return [Record.from_bytes(blob[at : at + SIZE]) for at in range(0, len(blob), SIZE)]


def rows(found: CardDump, title: str) -> dict[int, dict[str, object]]:
    table = next(p for p in found.dump.decode("DUMP_CONTEXT") if p.title == title)
    return {row["queue"]: row for row in table.json()["rows"]}


@cache
def seen(chip: Chip) -> CardDump:
    """Returns the dump of a card, for tests that only read it."""
    return dumped(card_of(chip))


@cache
def meminfo_accesses(chip: Chip) -> int:
    return collect(card_of(chip), entities=("MEMINFO",)).entity("MEMINFO").counts.total


@CHIPS
@pytest.mark.parametrize("per_port", [1, 16])
def test_every_queue_is_found_with_its_ring(chip: Chip, per_port: int) -> None:
    card = card_of(chip, per_port=per_port)
    found, queues = dumped(card), card.scenario.queues
    ingress = rows(found, "ingress contexts")
    assert ingress.keys() == {queue.id for queue in queues.ingress}
    for queue in queues.ingress:
        row = ingress[queue.id]
        assert (row["BaseAddress"], row["QueueSize"], row["QueueEntrySize"]) == (
            queue.address,
            1024,
            64,
        )
        assert (row["PIDX"], row["CIDX"]) == (queue.produced, queue.consumed)
    egress = rows(found, "egress contexts")
    assert egress.keys() == {queue.id for queue in queues.egress}
    for sent in queues.egress:
        row = egress[sent.id]
        assert row["BaseAddress"] == sent.address
        assert (row["kind"] == "free list") == (sent.flm is not None)


@CHIPS
def test_every_free_list_is_followed_by_its_congestion_context(chip: Chip) -> None:
    card = card_of(chip)
    dump = dumped(card)
    found = [(r.cntxt_type, r.cntxt_id) for r in records(dump) if any(bytes(r))]
    lists = [queue.flm for queue in card.scenario.queues.free_lists]
    pairs = [(kind, flm) for flm in lists for kind in (ContextType.FLM, ContextType.CNM)]
    assert found[-len(pairs) :] == pairs
    shown = rows(dump, "free list contexts")
    assert all(shown[queue.flm]["EQid"] == queue.id for queue in card.scenario.queues.free_lists)


@CHIPS
def test_dump_context_makes_the_kernels_accesses(chip: Chip) -> None:
    card = card_of(chip)
    contexts = 2 * 256 + FREE_LISTS + len(card.scenario.queues.free_lists)
    sizes = 2 * (meminfo_accesses(chip) + 1)
    total = dumped(card).entity("DUMP_CONTEXT").counts.total
    assert total == sizes + PER_CONTEXT * contexts


@CHIPS
def test_the_size_follows_from_the_regions_and_the_free_lists(chip: Chip) -> None:
    card = card_of(chip)
    regions = [card.scenario.memory_map[name].size for name in ("DBQ contexts", "IMSG contexts")]
    expected = sum(size // 24 for size in regions) + FREE_LISTS
    assert dumped(card).entity("DUMP_CONTEXT").raw_bytes == SIZE * expected


@CHIPS
def test_an_invalid_context_read_last_remains_after_the_last_valid_one(chip: Chip) -> None:
    card = card_of(chip)
    table = card.model(Contexts).table
    invalid = (1, 2, 3 & ~(1 << 25), 4, 5, 6)
    table.fill((ContextType.FLM * QUEUES + FREE_LISTS - 1) * 6, invalid)
    found = dumped(card)
    kept = [record for record in records(found) if any(bytes(record))]
    assert list(kept[-1].data) == list(invalid)
    assert (kept[-1].cntxt_type, kept[-1].cntxt_id) == (0, 0)
    assert rows(found, "egress contexts").keys() == {q.id for q in card.scenario.queues.egress}


@CHIPS
@pytest.mark.parametrize("last", [False, True])
def test_the_registers_keep_the_last_context_read(chip: Chip, last: bool) -> None:
    card = card_of(chip)
    if last:  # a free list at the very end, so its congestion context is read last
        words = (0, 0, 1 << 25, 0, 0, 0)
        card.model(Contexts).table.fill((ContextType.FLM * QUEUES + FREE_LISTS - 1) * 6, words)
    dumped(card)
    kind = ContextType.CNM if last else ContextType.FLM
    expected = chip.r.SGE_CTXT_CMD.of(CtxtType=kind, QID=FREE_LISTS - 1)
    assert card.read(chip.r.SGE_CTXT_CMD) == expected


@CHIPS
def test_nothing_is_stored_while_the_command_stays_busy(chip: Chip) -> None:
    found = dumped(card_of(chip, "context-busy"), "CCTRL")
    entity = found.entity("DUMP_CONTEXT")
    assert (entity.code, entity.sys_err, entity.sys_warn) == (0, 0, 0)
    assert not any(found.dump.raw("DUMP_CONTEXT"))
    contexts = 2 * 256 + FREE_LISTS
    assert entity.counts.total == 2 * (meminfo_accesses(chip) + 1) + 4 * contexts
    assert found.entity("CCTRL").good


@CHIPS
def test_context_bases_at_zero_make_the_entity_too_big_to_compress(chip: Chip) -> None:
    found = dumped(card_of(chip, "no-context-bases"), "CCTRL")
    entity = found.entity("DUMP_CONTEXT")
    assert (entity.code, entity.sys_err, entity.sys_warn) == (-19, 0, 0)
    assert found.entity("CCTRL").good


@CHIPS
def test_a_table_too_large_to_compress_fits_uncompressed(chip: Chip) -> None:
    found = dumped(card_of(chip, "no-context-bases"), compress="none")
    assert found.entity("DUMP_CONTEXT").raw_bytes > 4 << 20


@CHIPS
def test_dump_context_is_not_found_without_memory(chip: Chip) -> None:
    found = dumped(card_of(chip, "no-memory"), "CCTRL")
    entity = found.entity("DUMP_CONTEXT")
    assert (entity.code, entity.sys_err, entity.counts) == (-24, 0, Counts(r32=1))
    assert found.entity("CCTRL").good


@CHIPS
def test_every_field_of_a_context_is_shown(chip: Chip) -> None:
    card = card_of(chip)
    table = next(p for p in dumped(card).dump.decode("DUMP_CONTEXT") if p.title == "every field")
    queue = card.scenario.queues.ingress[0]
    shown = {row[2]: row[4] for row in table.rows if row[:2] == ["ingress", queue.id]}
    assert shown["BaseAddress"] == f"{queue.address:#x}"
    assert shown["QueueEntrySize"] == "64 bytes"
    assert list(shown) == [field.name for field in chip.sge.context_fields(ContextType.INGRESS)]


@CHIPS
def test_a_ring_is_what_its_queue_was_asked_for_without_the_status_page(chip: Chip) -> None:
    found, queues = seen(chip), card_of(chip).scenario.queues
    rings = {number: row["ring"] for number, row in rows(found, "egress contexts").items()}
    assert rings == {queue.id: queue.entries for queue in queues.egress}
    sizes = {(row["kind"], row["QueueSize"]) for row in rows(found, "egress contexts").values()}
    sent = {("egress", entries + 1) for entries in (1024, 512, 8)}
    assert sizes == {("free list", 72 // 8 + 1), *sent}
    assert {row["ring"] for row in rows(found, "ingress contexts").values()} == {1023}


@CHIPS
def test_a_queue_shows_how_many_entries_are_pending(chip: Chip) -> None:
    found = [*collected(chip).table("DUMP_CONTEXT", "egress contexts")]
    found += collected(chip).table("DUMP_CONTEXT", "ingress contexts")
    assert any(row["pending"] for row in found)
    for row in found:
        pending = (row["PIDX"] - row["CIDX"]) % row["ring"]
        assert row["pending"] == pending
        assert row["remark"] == ("full" if pending == row["ring"] - 1 else "")


def one_context(kind: ContextType, **fields: int) -> bytes:
    layout = {field.name: field for field in T6.sge.context_fields(kind)}
    number = sum(layout[name].put(value) for name, value in fields.items())
    return struct.pack("<II", kind, 5) + number.to_bytes(24, "little")


def decoded(blob: bytes, **others: bytes) -> Decoded:
    return entities()["DUMP_CONTEXT"].decode_with(blob, others, T6)


@pytest.mark.parametrize(
    ("producer", "consumer", "pending", "remark"),
    [
        (1, 1023, 2, ""),
        (0, 1, 1023, "full"),
        (1024, 0, None, "index outside of the ring"),
        (0, 1024, None, "index outside of the ring"),
    ],
)
def test_indices_go_around_before_the_status_page(
    producer: int, consumer: int, pending: int | None, remark: str
) -> None:
    egress = ContextType.EGRESS
    blob = one_context(egress, Valid=1, QueueSize=1025, PIDX=producer, CIDX=consumer)
    (row,) = rows_of(decoded(blob), "egress contexts")
    assert (row["ring"], row["pending"], row["remark"]) == (1024, pending, remark)


def caveats(found: Decoded) -> str:
    text = next(part for part in found if isinstance(part, Text))
    return " ".join(text.lines)


def test_the_status_pages_size_is_taken_from_the_dump_and_else_assumed() -> None:
    blob = one_context(ContextType.EGRESS, Valid=1, QueueSize=1026)
    control = T6.r.SGE_CONTROL
    for bit, ring in ((0, 1025), (1, 1024)):
        registers = bytes(control) + control.of(EgrStatusPageSize=bit).to_bytes(4, "little")
        found = decoded(blob, REG_DUMP=registers)
        assert [row["ring"] for row in rows_of(found, "egress contexts")] == [ring]
        assert "assumed" not in caveats(found)
    for unread in (b"", bytes(control) + b"\xff" * 4):
        assert "64 bytes, assumed: SGE_CONTROL is not" in caveats(decoded(blob, REG_DUMP=unread))


def test_which_queues_were_read_stands_beside_the_tables() -> None:
    blob = one_context(ContextType.EGRESS, Valid=1)
    for values, said in (
        ({"nuotids": 1}, "all queues are here if it could read their memory"),
        ({}, "it read egress and ingress queues 0 to 255 only"),
    ):
        tid_info = bytes(TidLayout(flags=AdapterFlag.FW_OK, **values))
        assert said in caveats(decoded(blob, TID_INFO=tid_info))
    assert "If the driver did not ask the firmware" in caveats(decoded(blob))


def test_half_a_record_is_refused() -> None:
    entity = entities()["DUMP_CONTEXT"]
    with pytest.raises(DumpFormatError, match="need 32 bytes, have 31"):
        entity.decode(bytes(31), T6)
