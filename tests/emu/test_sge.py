"""SGE: contexts, debug words, queue bases, and the queues of the scenario."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.sge import ContextType
from vmcoredd.emu.scenario.queues import Queues

CARDS = {T5: "t520-cr", T6: "t62100-cr"}
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)


def card_of(chip: Chip, *faults: str) -> emu.Card:
    return emu.Card.load(CARDS[chip], 2, faults=faults, strict=True)


@cache
def seen(chip: Chip) -> emu.Card:
    """A shared card, for tests that do not change it."""
    return card_of(chip)


def queues_of(card: emu.Card) -> Queues:
    return card.scenario.queues


def context_words(card: emu.Card, kind: ContextType, queue: int) -> list[int]:
    """Reads a context's words like the driver."""
    r = card.chip.r
    card.write(r.SGE_CTXT_CMD, r.SGE_CTXT_CMD.of(CtxtType=kind, QID=queue))
    assert not card.read(r.SGE_CTXT_CMD) & r.SGE_CTXT_CMD.mask("Busy")
    return [card.read(r.SGE_CTXT_DATA0 + 4 * word) for word in range(6)]


def decoded(card: emu.Card, kind: ContextType, queue: int, **how: bool) -> dict[str, int]:
    words = context_words(card, kind, queue)
    number = sum(word << 32 * i for i, word in enumerate(words))
    return {field.name: field.get(number) for field in card.chip.sge.context_fields(kind, **how)}


@CHIPS
def test_contexts_show_the_rings_addresses_and_indices(chip: Chip) -> None:
    card = seen(chip)
    for queue in queues_of(card).ingress:
        context = decoded(card, ContextType.INGRESS, queue.id)
        assert context["Queue_Valid"] == 1
        assert context["BaseAddress"] << 9 == queue.address
        assert context["InterruptIDX"] == queue.vector
    for sent in queues_of(card).egress:
        context = decoded(card, ContextType.EGRESS, sent.id, free_list=sent.flm is not None)
        assert context["Valid"] == 1
        assert (context["PIDX"], context["CIDX"]) == (sent.produced, sent.consumed)
        assert context["QueueType"] == (sent.flm is not None)


@CHIPS
def test_egress_and_flm_contexts_of_a_free_list_refer_to_each_other(chip: Chip) -> None:
    card = seen(chip)
    for queue in queues_of(card).free_lists:
        context = decoded(card, ContextType.EGRESS, queue.id, free_list=True)
        assert context["FLMcontextID"] == queue.flm
        assert decoded(card, ContextType.FLM, queue.flm or 0)["EQid"] == queue.id


@CHIPS
def test_congestion_applies_to_the_channels_of_the_queues_port(chip: Chip) -> None:
    card, maps = seen(chip), {T5: (0x11, 0x1100), T6: (0x1, 0x100)}[chip]
    for queue in queues_of(card).free_lists:
        context = decoded(card, ContextType.CNM, queue.flm or 0)
        assert (context["CngTPMode"], context["CngChMap"]) == (2, maps[queue.port])


@CHIPS
def test_an_unused_queue_has_no_context(chip: Chip) -> None:
    card = seen(chip)
    for kind in (ContextType.EGRESS, ContextType.INGRESS, ContextType.FLM):
        assert not any(context_words(card, kind, 200))


@CHIPS
def test_contexts_are_also_in_memory_with_each_pair_of_words_reversed(chip: Chip) -> None:
    card = seen(chip)
    base = card.scenario.memory_map["IMSG contexts"].base
    queue = queues_of(card).ingress[0].id
    words = context_words(card, ContextType.INGRESS, queue)
    stored = card.memories.read(base + 24 * queue, 24)
    # The driver reverses them: cudbg_lib.c, cudbg_collect_dump_context(), cpu_to_be64()
    reversed_back = b"".join(stored[at : at + 8][::-1] for at in (0, 8, 16))
    assert reversed_back == b"".join(word.to_bytes(4, "little") for word in words)


@CHIPS
def test_a_command_that_stays_busy_fetches_nothing(chip: Chip) -> None:
    card = card_of(chip, "context-busy")
    register = chip.r.SGE_CTXT_CMD
    queue = queues_of(card).ingress[0].id
    card.write(register, register.of(CtxtType=ContextType.INGRESS, QID=queue))
    assert card.read(register) & register.mask("Busy")
    assert not any(card.read(chip.r.SGE_CTXT_DATA0 + 4 * word) for word in range(6))


@CHIPS
def test_debug_words_are_behind_an_index_and_in_registers(chip: Chip) -> None:
    card, r = card_of(chip), chip.r
    for half in ("HIGH", "LOW"):
        for i in range(16):
            card.write(r.SGE_DEBUG_INDEX, i)
            name = f"SGE_DEBUG_DATA_{half}_INDEX_{i}"
            if name in r:
                assert card.read(r[f"SGE_DEBUG_DATA_{half}"]) == card.read(r[name])


def test_a_t6_has_queue_bases_for_every_function() -> None:
    card, r = card_of(T6), T6.r
    for number, function in enumerate(queues_of(card).functions):
        card.write(r.SGE_QBASE_INDEX, number if function.vf is None else 8 + function.vf)
        assert card.read(r.SGE_QBASE_MAP1) == function.egress
        bases = r.SGE_QBASE_MAP3.decode(card.read(r.SGE_QBASE_MAP3))
        assert bases["Ingress0_Base"] == function.ingress


@CHIPS
def test_pf4s_queues_are_in_its_share_and_in_what_a_dump_reads(chip: Chip) -> None:
    name = {T5: "t580-cr", T6: "t62100-cr"}[chip]
    card = emu.Card.load(name, queues={"per_port": 16})
    queues = queues_of(card)
    share = queues.unified
    egress = {queue.id for queue in queues.egress}
    ingress = {queue.id for queue in queues.ingress}
    assert len(egress) == len(queues.egress)
    assert egress <= set(range(share.egress, share.egress + share.egress_count))
    assert ingress <= set(range(share.ingress, share.ingress + share.ingress_count))
    assert max(egress | ingress) < 256


def test_shares_of_queues_do_not_overlap() -> None:
    functions = queues_of(seen(T6)).functions
    for base, count in (("egress", "egress_count"), ("ingress", "ingress_count")):
        taken = [
            getattr(function, base) + i
            for function in functions
            for i in range(getattr(function, count))
        ]
        assert len(taken) == len(set(taken))
        assert max(taken) < 1024


def test_rings_in_host_memory_do_not_overlap() -> None:
    queues = queues_of(seen(T6))
    rings = [(queue.address, 1024 * 64) for queue in queues.ingress]
    rings += [(queue.address, (queue.entries + 1) * 64) for queue in queues.egress]
    rings.sort()
    assert all(a + size <= b for (a, size), (b, _) in pairwise(rings))


@CHIPS
def test_rss_distributes_packets_over_a_ports_receive_queues(chip: Chip) -> None:
    card, table = card_of(chip), chip.r.TP_RSS_LKP_TABLE
    for port in range(2):
        found = set()
        for row in range(64 * port, 64 * (port + 1)):
            card.write(table, 0xFFF00000 | row)
            word = card.read(table)
            found |= {table.get(word, "LkpTblQueue0"), table.get(word, "LkpTblQueue1")}
        assert found == {queue.id for queue in queues_of(card).received(port)}
