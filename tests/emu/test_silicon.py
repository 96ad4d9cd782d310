"""PL, MA, regions, CIM queues, TP registers and ports: registers agree with the card's state."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vmcoredd.chip.cim import INBOUND, INBOUND_WORDS, OUTBOUND, QUEUE_UNIT_BYTES
from vmcoredd.chip.memory import HMA, REGIONS
from vmcoredd.emu import Card
from vmcoredd.emu.access_log import LogKind


@pytest.fixture(scope="module", params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> Card:
    return Card.load(request.param, strict=True)


def select(card: Card, direction: str, number: int) -> int:
    """CIM_QUEUE_CONFIG_CTRL of a queue."""
    ref = card.chip.r.CIM_QUEUE_CONFIG_REF
    card.write(ref, ref.of(**{direction: 1, "QueNumSelect": number}))
    return card.read(card.chip.r.CIM_QUEUE_CONFIG_CTRL)


def cim(card: Card, address: int) -> int:
    """A word of the processor's address space, as t4_cim_read() reads it."""
    ctrl = card.chip.r.CIM_HOST_ACC_CTRL
    assert not ctrl.get(card.read(ctrl), "HostBusy")
    card.write(ctrl, address)
    assert not ctrl.get(card.read(ctrl), "HostBusy")
    return card.read(card.chip.r.CIM_HOST_ACC_DATA)


def indexed(card: Card, space: str, index: int) -> int:
    address, data = {
        "tp_pio": ("TP_PIO_ADDR", "TP_PIO_DATA"),
        "tp_mib": ("TP_MIB_INDEX", "TP_MIB_DATA"),
    }[space]
    card.write(card.chip.r[address], index)
    return card.read(card.chip.r[data])


# PL


def test_the_card_is_seen_by_pf4(card: Card) -> None:
    whoami = card.chip.r.PL_WHOAMI
    assert whoami.get(card.read(whoami), "SourcePF") == 4
    assert card.read(card.chip.r.PL_REV) & 0xF == card.profile.card.revision


def test_a_function_sees_its_own_registers_twice(card: Card) -> None:
    r = card.chip.r
    card.write(r.MYPF_PL_PF_INT_ENABLE, 3)
    assert card.read(r.PL_PF_INT_ENABLE[4]) == 3
    card.write(r.PL_PF_INT_ENABLE[4], 0)
    assert card.read(r.MYPF_PL_PF_INT_ENABLE) == 0


# MA and regions


@pytest.mark.parametrize(
    ("fault", "left"), [("no-memory", 0), ("no-edc1", 0b101), ("no-mc0", 0b011)]
)
def test_memories_can_be_disabled(fault: str, left: int) -> None:
    card = Card.load("t62100-cr", faults=[fault])
    assert card.read(card.chip.r.MA_TARGET_MEM_ENABLE) == left


def test_host_memory_is_enabled_where_there_is_some() -> None:
    card = Card.load("t6225-so-cr")
    enable = card.chip.r.MA_TARGET_MEM_ENABLE
    assert enable.get(card.read(enable), HMA.enable)
    assert not enable.get(card.read(enable), "EXT_MEM0_ENABLE")


def test_every_region_lies_in_memory_and_apart_from_the_others(card: Card) -> None:
    regions = sorted(card.scenario.memory_map, key=lambda region: region.base)
    for one, following in pairwise(regions):
        assert one.last < following.base
    assert regions[-1].last < card.memories.end


@pytest.mark.parametrize("mc0", [0, 1, 8])
@pytest.mark.parametrize("edc", [1, 2, 8])
def test_regions_fit_memories_of_any_size(edc: int, mc0: int) -> None:
    card = Card.load("t520-cr", memory={"edc0": edc, "edc1": edc, "mc0": mc0})
    bases = [region.base for region in card.scenario.memory_map]
    assert len(set(bases)) == len(bases)
    assert max(region.last for region in card.scenario.memory_map) < card.memories.end


def test_the_registers_say_where_regions_are(card: Card) -> None:
    for description in REGIONS:
        if description.base:
            region = card.scenario.memory_map[description.name]
            assert card.read(card.chip.r[description.base]) == region.base
        if description.limit:
            assert card.read(card.chip.r[description.limit]) == region.last


def test_payload_regions_are_made_of_pages(card: Card) -> None:
    r = card.chip.r
    for side, region in (("TX", "Tx payload"), ("RX", "Rx payload")):
        pages = r[f"TP_PMM_{side}_MAX_PAGE"]
        count = pages.get(card.read(pages), f"PM{side}MaxPage")
        size = card.read(r[f"TP_PMM_{side}_PAGE_SIZE"])
        assert 0 < count * size <= card.scenario.memory_map[region].size


def test_contexts_can_lose_their_bases() -> None:
    card = Card.load("t62100-cr", faults=["no-context-bases", "no-payload-regions"])
    r = card.chip.r
    assert card.read(r.SGE_DBQ_CTXT_BADDR) == card.read(r.SGE_IMSG_CTXT_BADDR) == 0
    assert card.read(r.TP_PMM_TX_PAGE_SIZE) == card.read(r.TP_PMM_RX_PAGE_SIZE) == 0


# CIM


def test_queues_have_place_and_size(card: Card) -> None:
    ctrl = card.chip.r.CIM_QUEUE_CONFIG_CTRL
    for queue in card.scenario.cim_queues.outbound:
        config = select(card, "OBQSelect", queue.queue.number)
        assert ctrl.get(config, "QueSize") == card.profile.queues.obq_size
        assert ctrl.get(config, "QueBase") * QUEUE_UNIT_BYTES == queue.base
    for queue in card.scenario.cim_queues.inbound:
        config = select(card, "IBQSelect", queue.queue.number)
        assert ctrl.get(config, "QueSize") * QUEUE_UNIT_BYTES == 4 * INBOUND_WORDS


def test_pointers_of_a_queue_agree_with_what_waits_in_it(card: Card) -> None:
    r = card.chip.r
    for queue in card.scenario.cim_queues.inbound:
        prefix, status = f"UP_IBQ_{queue.queue.number}", r.UP_IBQ_0_STATUS
        read, write = (cim(card, r[f"{prefix}_{end}"]) for end in ("RDADDR", "WRADDR"))
        free = status.get(cim(card, r[f"{prefix}_STATUS"]), "QueRemFlits") * 16
        assert (write - read) % queue.size + free == queue.size


def test_an_outbound_queue_says_where_it_writes(card: Card) -> None:
    real = card.chip.r.UP_OBQ_3_REALADDR
    queue = card.scenario.cim_queues.outbound[3]
    assert queue.base <= cim(card, real) < queue.base + queue.size


def test_the_content_of_queues_is_read_word_by_word(card: Card) -> None:
    r = card.chip.r
    for direction, data in (("IBQ", INBOUND), ("OBQ", OUTBOUND)):
        config = r[f"CIM_{direction}_DBG_CFG"]
        name = direction.capitalize()
        queues = card.scenario.cim_queues
        queue = (queues.inbound if direction == "IBQ" else queues.outbound)[data[2].number]
        for i in (0, 1, queue.size // 4 - 1):
            address = queue.base // 4 + i
            card.write(config, config.of(**{f"{name}DbgAddr": address, f"{name}DbgEn": 1}))
            assert not config.get(card.read(config), f"{name}DbgBusy")
            assert card.read(r[f"CIM_{direction}_DBG_DATA"]) == queue.content[i]
        card.write(config, 0)


def test_a_write_through_the_host_access_is_read_back(card: Card) -> None:
    r = card.chip.r
    card.write(r.CIM_HOST_ACC_DATA, 0x1234)
    card.write(r.CIM_HOST_ACC_CTRL, r.CIM_HOST_ACC_CTRL.of(HostWrite=1, HostAddr=0x2000))
    assert cim(card, 0x2000) == 0x1234


def test_an_address_beyond_the_processors_space_is_odd() -> None:
    card = Card.load("t62100-cr")
    card.write(card.chip.r.CIM_HOST_ACC_CTRL, 0xFFFC)
    assert card.read(card.chip.r.CIM_HOST_ACC_DATA) == 0
    assert card.access_log.totals == {LogKind.UNDESCRIBED: 1}


@pytest.mark.parametrize(
    ("fault", "register", "field"),
    [
        ("cim-host-busy", "CIM_HOST_ACC_CTRL", "HostBusy"),
        ("cim-ibq-busy", "CIM_IBQ_DBG_CFG", "IbqDbgBusy"),
        ("cim-obq-busy", "CIM_OBQ_DBG_CFG", "ObqDbgBusy"),
    ],
)
def test_a_busy_bit_can_stick(fault: str, register: str, field: str) -> None:
    card = Card.load("t62100-cr", faults=[fault])
    ctrl = card.chip.r[register]
    for _ in range(2):
        assert ctrl.get(card.read(ctrl), field)
        card.write(ctrl, 1)


def test_the_host_access_can_hang_behind_the_first_access() -> None:
    card = Card.load("t62100-cr", faults=["cim-host-hangs"])
    ctrl = card.chip.r.CIM_HOST_ACC_CTRL
    assert not ctrl.get(card.read(ctrl), "HostBusy")
    card.write(ctrl, 0x10)
    assert ctrl.get(card.read(ctrl), "HostBusy")


def test_outbound_queues_can_be_of_no_size() -> None:
    card = Card.load("t62100-cr", faults=["cim-obq-empty"])
    ctrl = card.chip.r.CIM_QUEUE_CONFIG_CTRL
    assert not any(ctrl.get(select(card, "OBQSelect", n), "QueSize") for n in range(8))
    assert all(ctrl.get(select(card, "IBQSelect", n), "QueSize") for n in range(6))


# TP and ports


def test_every_index_the_driver_reads_is_there(card: Card) -> None:
    for group in ("tp_pio", "tp_mib"):
        for part in card.chip.indirect(group):
            for index in part.indices:
                indexed(card, group, index)


def test_counters_agree_with_the_traffic(card: Card) -> None:
    r, traffic = card.chip.r, card.scenario.traffic
    assert indexed(card, "tp_mib", r.TP_MIB_TCP_IN_SEG_LO) == traffic.tcp4.received & 0xFFFFFFFF
    assert indexed(card, "tp_mib", r.TP_MIB_TNL_CNG_DROP_1) == traffic.ports[1].received.drops


def test_the_macs_count_every_frame_once(card: Card) -> None:
    r = card.chip.r
    for port in range(card.profile.ports.count):

        def count(name: str, port: int = port) -> int:
            low, high = (r[f"MPS_PORT_STAT_RX_PORT_{name}_{end}"][port] for end in "LH")
            return card.read(low) | card.read(high) << 32

        sizes = ("64B", "65B_127B", "128B_255B", "256B_511B", "512B_1023B")
        sizes += ("1024B_1518B", "1519B_MAX")
        assert sum(count(size) for size in sizes) == count("FRAMES") > 0
        assert sum(count(kind) for kind in ("UCAST", "MCAST", "BCAST")) == count("FRAMES")


@pytest.mark.parametrize(("name", "logarithm"), [("t520-cr", 1), ("t540-cr", 2), ("t62100-cr", 1)])
def test_the_packet_switch_knows_the_number_of_ports(name: str, logarithm: int) -> None:
    card = Card.load(name)
    ctl = card.chip.r.MPS_CMN_CTL
    assert ctl.get(card.read(ctl), "NumPorts") == logarithm
