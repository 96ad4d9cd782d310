"""LE: its debug interface, its registers, and its entries' data in adapter memory."""

from __future__ import annotations

from functools import cache

import pytest

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip, tcb
from vmcoredd.chip.le import LookupEntry, clip_address
from vmcoredd.emu.silicon.le import STARTS

CARDS = {T5: "t520-cr", T6: "t62100-cr"}
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)


def card_of(chip: Chip, *faults: str, **tables: int | bool) -> emu.Card:
    return emu.Card.load(CARDS[chip], 2, faults=faults, tables=tables, strict=True)


@cache
def seen(chip: Chip) -> emu.Card:
    """A shared card, for tests that do not change it."""
    return card_of(chip)


@cache
def hashing(chip: Chip) -> emu.Card:
    return card_of(chip, hash_filters=True, connections=40)


def entry_of(card: emu.Card, tid: int) -> tuple[int, list[int]]:
    """Reads status and words of an entry like the driver."""
    r = card.chip.r
    for word in range(17):
        card.write(r.LE_DB_DBGI_REQ_DATA + 4 * word, 0)
    card.write(r.LE_DB_DBGI_REQ_TCAM_CMD, 4 << 20 | tid)
    card.write(r.LE_DB_DBGI_CONFIG, 5)
    assert not card.read(r.LE_DB_DBGI_CONFIG) & r.LE_DB_DBGI_CONFIG.mask("DBGICMDBUSY")
    words = [card.read(r.LE_DB_DBGI_RSP_DATA + 4 * word) for word in range(17)]
    return card.read(r.LE_DB_DBGI_RSP_STATUS), words


@CHIPS
def test_the_table_holds_connections_servers_and_filters(chip: Chip) -> None:
    card = hashing(chip)
    table = card.scenario.tid_table
    for user in (*table.connections, *table.servers, *table.filters):
        status, words = entry_of(card, user.tid)
        assert (status & 1, status >> 12) == (1, user.tid)
        assert LookupEntry.of_words(words) == user.entry


@CHIPS
def test_the_table_holds_local_ipv6_addresses(chip: Chip) -> None:
    card = seen(chip)
    assert len(card.scenario.tid_table.local_ipv6) == card.profile.ports.count
    for tid, address in card.scenario.tid_table.local_ipv6:
        assert clip_address(entry_of(card, tid)[1]) == address


@CHIPS
def test_an_unused_entry_is_valid_and_zero(chip: Chip) -> None:
    card = seen(chip)
    unused = card.scenario.tid_table.regions.servers - 1
    assert entry_of(card, unused) == (unused << 12 | 1, [0] * 17)


@CHIPS
def test_nothing_happens_without_the_start_bit(chip: Chip) -> None:
    card = card_of(chip)
    before = card.read(chip.r.LE_DB_DBGI_RSP_STATUS)
    card.write(chip.r.LE_DB_DBGI_REQ_TCAM_CMD, 4 << 20 | 100)
    card.write(chip.r.LE_DB_DBGI_CONFIG, 1)
    assert card.read(chip.r.LE_DB_DBGI_RSP_STATUS) == before


@CHIPS
def test_a_busy_interface_fetches_nothing(chip: Chip) -> None:
    card = card_of(chip, "le-busy")
    before = card.read(chip.r.LE_DB_DBGI_RSP_STATUS)
    card.write(chip.r.LE_DB_DBGI_REQ_TCAM_CMD, 4 << 20 | 100)
    card.write(chip.r.LE_DB_DBGI_CONFIG, 5)
    assert card.read(chip.r.LE_DB_DBGI_CONFIG) & 8
    assert card.read(chip.r.LE_DB_DBGI_RSP_STATUS) == before


@CHIPS
def test_a_fault_invalidates_entries_from_the_middle_of_the_active_region(chip: Chip) -> None:
    card = card_of(chip, "le-status")
    first = card.scenario.tid_table.regions.servers // 2
    assert entry_of(card, first - 1)[0] & 1
    assert not entry_of(card, first)[0] & 1


@CHIPS
def test_registers_hold_the_first_tid_of_each_region(chip: Chip) -> None:
    card = hashing(chip)
    scale = 4 if chip is T5 else 1
    for region, register in chip.le.regions.items():
        if register:
            value = getattr(card.scenario.tid_table.regions, STARTS[region])
            assert card.read(chip.r[register]) == scale * value


@CHIPS
@pytest.mark.parametrize("on", [False, True])
def test_registers_hold_the_size_of_the_hash_table(chip: Chip, on: bool) -> None:
    card = hashing(chip) if on else seen(chip)
    config = card.read(chip.r.LE_DB_CONFIG)
    assert chip.r.LE_DB_CONFIG.get(config, "HASHEN") == on
    size = chip.le.hash_tids(card.read(chip.r.LE_DB_HASH_CONFIG))
    assert size == (4096 if on else size)
    regions = card.scenario.tid_table.regions
    base = regions.hash_base * (4 if chip is T5 else 1)
    most = chip.le.max_tid(config, card.read(chip.r.LE_DB_HASH_CONFIG), base)
    facts = {(T5, False): 2048, (T6, False): 4608, (T5, True): 8192 + 4096, (T6, True): 8704}
    assert most == facts[chip, on]


@CHIPS
def test_connections_are_counted_by_ip_version_and_those_in_the_tcam_again(chip: Chip) -> None:
    card, r = hashing(chip), chip.r
    connections = card.scenario.tid_table.connections
    in_tcam = [c for c in connections if c.tid < card.scenario.tid_table.regions.hash_base]
    for suffix, users in (("", connections), ("_TCAM", in_tcam)):
        ipv6 = sum(1 for user in users if user.is_ipv6)
        assert card.read(r[f"LE_DB_ACT_CNT_IPV6{suffix}"]) == ipv6
        assert card.read(r[f"LE_DB_ACT_CNT_IPV4{suffix}"]) == len(users) - ipv6
    assert 0 < len(in_tcam) < len(connections)


@CHIPS
def test_every_connection_has_a_tcb_in_memory(chip: Chip) -> None:
    card = hashing(chip)
    base = card.scenario.memory_map["TCBs"].base
    for connection in card.scenario.tid_table.connections:
        block = card.memories.read(base + connection.tid * tcb.BYTES, tcb.BYTES)
        fields = tcb.decode(tcb.TCP, block)
        assert fields["t_state"] == connection.state
        assert fields["ip_version"] == connection.is_ipv6
        queues = {queue.id for queue in card.scenario.queues.received(connection.port)}
        assert fields["rss_info"] in queues


@CHIPS
def test_every_filter_has_its_counters_in_its_tcb(chip: Chip) -> None:
    card = seen(chip)
    base = card.scenario.memory_map["TCBs"].base
    assert len(card.scenario.tid_table.filters) == 8
    for item in card.scenario.tid_table.filters:
        at = base + item.tid * tcb.BYTES
        # The driver reads them here: cxgb4_filter.c, get_filter_count()
        assert int.from_bytes(card.memories.read(at + 16, 8), "big") == item.octets
        assert int.from_bytes(card.memories.read(at + 24, 4), "big") == item.packets
        fields = tcb.decode(tcb.FILTER, card.memories.read(at, tcb.BYTES))
        assert fields["drop"] == (item.queue is None)


@CHIPS
def test_connections_beyond_the_tcam_are_in_the_hash_table_in_memory(chip: Chip) -> None:
    card = hashing(chip)
    base, first = (
        card.scenario.memory_map["LE hash"].base,
        card.scenario.tid_table.regions.hash_base,
    )
    found = 0
    for connection in card.scenario.tid_table.connections:
        if connection.tid >= first:
            stored = card.memories.read(base + (connection.tid - first) * 64, 16)
            words = connection.entry.words()[:4]
            assert stored == b"".join(word.to_bytes(4, "little") for word in words)
            found += 1
    assert found == 20


@CHIPS
def test_tids_in_use_do_not_overlap(chip: Chip) -> None:
    table = hashing(chip).scenario.tid_table
    taken: list[int] = []
    for user in (*table.connections, *table.servers):
        taken += range(user.tid, user.tid + (2 if len(user.local) == 16 else 1))
    taken += [item.tid for item in table.filters]
    taken += [tid + i for tid, _ in table.local_ipv6 for i in range(4)]
    assert len(taken) == len(set(taken))


def test_the_same_seed_has_the_same_connections_and_another_seed_others() -> None:
    one, again, other = (emu.Card.load("t520-cr", seed) for seed in (8, 8, 9))
    assert one.scenario.tid_table == again.scenario.tid_table
    assert one.scenario.tid_table.connections != other.scenario.tid_table.connections


def test_a_card_can_be_full_of_connections() -> None:
    card = card_of(T5, connections=512)
    assert len(card.scenario.tid_table.connections) == 960 // 2
