"""What lay in the queues: a card with known work, a quiet one, and contexts that cannot be."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from busy_card import DESCRIPTORS, FCS, LENGTH, LONGEST, SENT, TAKEN, Busy, fresh
from carddump import collect, collected, rows
from doctored import doctored

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.model import CHIPS
from vmcoredd.chip.sge import VALID_BIT, ContextType
from vmcoredd.cudbg.entities.dump_context import Record
from vmcoredd.diagnosis import BUSY, Finding, Severity, Traffic, Verdict, diagnose
from vmcoredd.emu import Card
from vmcoredd.emu._cffi import lib

ENTITIES = ("REG_DUMP", "DUMP_CONTEXT", "TID_INFO", "CLK")


@pytest.fixture(params=["t520-cr", "t62100-cr"])
def busy(request: pytest.FixtureRequest) -> Busy:
    return Busy(request.param)


def verdict_on(card: Card) -> Verdict:
    """The verdict on a dump of a card."""
    return diagnose(collect(card, "none", entities=ENTITIES).dump)


def named(verdict: Verdict) -> dict[str, Finding]:
    """The findings on queues, by rule."""
    rules = (*BUSY, "sge-free-list-empty")
    return {one.rule: one for one in verdict.findings if one.rule in rules}


def values(finding: Finding) -> dict[str, dict[str, Any]]:
    """The fields of each queue that a finding names."""
    found: dict[str, dict[str, Any]] = {}
    for one in finding.evidence:
        assert one.entity == "DUMP_CONTEXT"
        found.setdefault(one.instance, {})[one.field] = one.value
    return found


def test_exactly_the_queues_with_work_are_named(busy: Busy) -> None:
    found = named(verdict_on(busy.card))
    assert set(found) == set(BUSY)
    assert {one.severity for one in found.values()} == {Severity.NOTE}
    sends, unread, low = (found[rule] for rule in BUSY)
    rest = DESCRIPTORS * (SENT - TAKEN)
    assert values(sends) == {
        f"egress queue {busy.sent}": {
            "PIDX": DESCRIPTORS * SENT, "CIDX": DESCRIPTORS * TAKEN, "PCIeDataChannel": 0,
        }
    }  # fmt: skip
    assert sends.meaning == (
        f"the SGE had not finished the work of 1 of 2 egress queues, {rest} descriptors in all: "
        f"{rest} in queue {busy.sent} (channel 0)"
    )
    assert values(unread) == {
        f"ingress queue {busy.full.iqid}": {
            "PIDX": TAKEN, "CIDX": 0, "InterruptArmed": 0, "InterruptIDX": 5, "PCIeChannel": 1,
        }
    }  # fmt: skip
    assert unread.meaning.endswith(
        f"1 of 2 ingress queues, {TAKEN} entries in all: {TAKEN} in queue {busy.full.iqid} "
        "(channel 1, full, not armed)"
    )
    assert low.meaning == (
        f"1 of 2 free lists had few buffers left or none: at most 8 in list {busy.full.fl0id} "
        "(channel 1)"
    )


def test_a_card_that_has_done_all_names_no_queue(busy: Busy) -> None:
    busy.receiver(1, units=8)
    busy.returned(busy.full.iqid, TAKEN)
    assert set(named(verdict_on(busy.card))) == set(BUSY) - {"sge-transmit-waits"}
    busy.returned(busy.full.iqid, SENT - TAKEN)
    busy.give(busy.full, units=7)
    assert named(verdict_on(busy.card)) == {}


def test_a_queue_without_a_remark_is_neither_full_nor_unarmed(busy: Busy) -> None:
    busy.returned(busy.full.iqid, TAKEN - 1, timer=LONGEST)  # raised at once: it was full
    busy.returned(busy.full.iqid, 0, timer=LONGEST)
    finding = named(verdict_on(busy.card))["sge-entries-unread"]
    assert finding.meaning.endswith(f"{SENT - TAKEN + 1} in queue {busy.full.iqid} (channel 1)")


def test_each_ports_traffic_is_what_was_sent(busy: Busy) -> None:
    octets = TAKEN * (LENGTH + FCS)
    assert verdict_on(busy.card).traffic == (
        Traffic(0, received=0, received_bytes=0, sent=TAKEN, sent_bytes=octets),
        Traffic(1, received=TAKEN, received_bytes=octets, sent=0, sent_bytes=0),
    )


def test_a_list_that_ran_empty_while_the_host_read_is_a_warning(busy: Busy) -> None:
    empty = busy.receiver(0, units=0)
    verdict = verdict_on(busy.card)
    (finding,) = verdict.alarming
    assert (finding.rule, finding.severity) == ("sge-free-list-empty", Severity.WARNING)
    assert f"free list {empty.fl0id} has no buffer left" in finding.meaning


def test_a_list_that_may_have_run_empty_after_the_panic_is_none(busy: Busy) -> None:
    empty = busy.receiver(1, units=0)
    found = named(verdict_on(busy.card))
    assert "sge-free-list-empty" not in found
    assert f"none in list {empty.fl0id} (channel 1), at most 8 in" in found[BUSY[2]].meaning


@pytest.mark.parametrize(("pairs", "least"), [(15, False), (16, True)])
def test_a_list_is_low_from_the_drivers_threshold_on(busy: Busy, pairs: int, least: bool) -> None:
    half = busy.receiver(1, units=4)  # 32 buffers; 16 pairs and one are 33
    threshold = {"EgrThresholdPacking": pairs, "EgrThreshold": 31 - pairs}
    busy.card.core.spaces.put(busy.card.chip.r.SGE_CONM_CTRL, **threshold)
    low = values(named(verdict_on(busy.card))["sge-free-list-low"])
    assert (f"free list {half.fl0id}" in low) == least


def test_the_busiest_come_first_and_the_rest_are_a_count(busy: Busy) -> None:
    for count in range(1, 7):
        queue, _ = busy.sender(0)
        lib.engine_kdoorbell(busy.c, queue << 15 | count)
    busy.engine.run()
    finding = named(verdict_on(busy.card))["sge-transmit-waits"]
    assert [each["PIDX"] for each in values(finding).values()] == [40, 6, 5, 4, 3, 2, 1]
    assert finding.meaning.endswith("and 3 more queues")


def test_a_fresh_card_names_no_queue_and_no_traffic() -> None:
    verdict = verdict_on(fresh("t62100-cr"))
    assert named(verdict) == {}
    assert verdict.traffic == tuple(Traffic(port, 0, 0, 0, 0) for port in (0, 1))


# Contexts that cannot be


def places(chip: Chip, kind: ContextType) -> list[int]:
    """The offsets of the contexts of a kind in a healthy card's DUMP_CONTEXT."""
    raw = collected(chip).dump.raw("DUMP_CONTEXT")
    starts = range(0, len(raw) - sizeof(Record) + 1, sizeof(Record))
    records = ((at, Record.from_bytes(raw[at : at + sizeof(Record)])) for at in starts)
    byte, bit = divmod(VALID_BIT[kind], 32)
    return [at for at, one in records if one.cntxt_type == kind and one.data[byte] >> bit & 1]


def told(words: dict[int, int], chip: Chip) -> dict[str, Finding]:
    return named(diagnose(doctored({}, chip, DUMP_CONTEXT=words)))


@pytest.mark.parametrize("chip", CHIPS)
def test_a_queue_whose_indices_are_outside_of_its_ring_is_not_named(chip: Chip) -> None:
    index = Record.data.offset + 4 * (73 // 32)  # the word with PIDX and half of CIDX
    words = {at + index: 0xFFFF_FFFF for at in places(chip, ContextType.EGRESS)}
    assert set(told(words, chip)) == {"sge-entries-unread"}


@pytest.mark.parametrize("chip", CHIPS)
def test_a_queue_without_a_size_is_not_named(chip: Chip) -> None:
    kinds = (ContextType.EGRESS, ContextType.INGRESS)
    words = {at + Record.data.offset: 0 for kind in kinds for at in places(chip, kind)}
    assert told(words, chip) == {}


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("seed", range(8))
def test_contexts_at_random_name_only_queues_whose_indices_fit(chip: Chip, seed: int) -> None:
    random = Random(seed)
    size = 60 * sizeof(Record)
    words = {at: random.getrandbits(32) for at in range(0, size, 4) if random.random() < 0.7}
    words |= {at: random.randrange(4) for at in range(0, size, sizeof(Record))}
    dump = doctored({}, chip, DUMP_CONTEXT=words)
    table = [
        row
        for kind in ("egress", "ingress")
        for row in rows(dump.decode("DUMP_CONTEXT"), f"{kind} contexts")
    ]
    fits = {row["queue"] for row in table if row["pending"] is not None}
    for finding in named(diagnose(dump)).values():
        assert {int(place.split()[-1]) for place in values(finding)} <= fits
