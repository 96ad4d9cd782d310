"""CIM: host access to the processor's registers, its queues, and their faults."""

from __future__ import annotations

import pytest

from vmcoredd.chip.cim import INBOUND, INBOUND_WORDS, OUTBOUND, QUEUE_UNIT_BYTES
from vmcoredd.emu import Card
from vmcoredd.emu.access_log import LogKind


@pytest.fixture(scope="module", params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> Card:
    return Card.load(request.param, strict=True)


def select(card: Card, direction: str, number: int) -> int:
    """Reads CIM_QUEUE_CONFIG_CTRL of a queue."""
    ref = card.chip.r.CIM_QUEUE_CONFIG_REF
    card.write(ref, ref.of(**{direction: 1, "QueNumSelect": number}))
    return card.read(card.chip.r.CIM_QUEUE_CONFIG_CTRL)


def cim(card: Card, address: int) -> int:
    """Reads a word of the processor's address space like t4_cim_read()."""
    ctrl = card.chip.r.CIM_HOST_ACC_CTRL
    assert not ctrl.get(card.read(ctrl), "HostBusy")
    card.write(ctrl, address)
    assert not ctrl.get(card.read(ctrl), "HostBusy")
    return card.read(card.chip.r.CIM_HOST_ACC_DATA)


def test_each_queue_has_a_base_and_a_size(card: Card) -> None:
    ctrl = card.chip.r.CIM_QUEUE_CONFIG_CTRL
    for queue in card.scenario.cim_queues.outbound:
        config = select(card, "OBQSelect", queue.queue.number)
        assert ctrl.get(config, "QueSize") == card.profile.queues.obq_size
        assert ctrl.get(config, "QueBase") * QUEUE_UNIT_BYTES == queue.base
    for queue in card.scenario.cim_queues.inbound:
        config = select(card, "IBQSelect", queue.queue.number)
        assert ctrl.get(config, "QueSize") * QUEUE_UNIT_BYTES == 4 * INBOUND_WORDS


def test_a_queues_pointers_agree_with_its_free_flits(card: Card) -> None:
    r = card.chip.r
    for queue in card.scenario.cim_queues.inbound:
        prefix, status = f"UP_IBQ_{queue.queue.number}", r.UP_IBQ_0_STATUS
        read, write = (cim(card, r[f"{prefix}_{end}"]) for end in ("RDADDR", "WRADDR"))
        free = status.get(cim(card, r[f"{prefix}_STATUS"]), "QueRemFlits") * 16
        assert (write - read) % queue.size + free == queue.size


def test_an_outbound_queue_shows_its_write_address(card: Card) -> None:
    real = card.chip.r.UP_OBQ_3_REALADDR
    queue = card.scenario.cim_queues.outbound[3]
    assert queue.base <= cim(card, real) < queue.base + queue.size


def test_queue_content_is_read_word_by_word(card: Card) -> None:
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


def test_a_host_write_is_read_back(card: Card) -> None:
    r = card.chip.r
    card.write(r.CIM_HOST_ACC_DATA, 0x1234)
    card.write(r.CIM_HOST_ACC_CTRL, r.CIM_HOST_ACC_CTRL.of(HostWrite=1, HostAddr=0x2000))
    assert cim(card, 0x2000) == 0x1234


def test_an_address_past_the_cims_space_is_logged() -> None:
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
def test_a_busy_bit_can_stay_set(fault: str, register: str, field: str) -> None:
    card = Card.load("t62100-cr", faults=[fault])
    ctrl = card.chip.r[register]
    for _ in range(2):
        assert ctrl.get(card.read(ctrl), field)
        card.write(ctrl, 1)


def test_host_access_can_hang_after_the_first_access() -> None:
    card = Card.load("t62100-cr", faults=["cim-host-hangs"])
    ctrl = card.chip.r.CIM_HOST_ACC_CTRL
    assert not ctrl.get(card.read(ctrl), "HostBusy")
    card.write(ctrl, 0x10)
    assert ctrl.get(card.read(ctrl), "HostBusy")


def test_outbound_queues_can_have_size_0() -> None:
    card = Card.load("t62100-cr", faults=["cim-obq-empty"])
    ctrl = card.chip.r.CIM_QUEUE_CONFIG_CTRL
    assert not any(ctrl.get(select(card, "OBQSelect", n), "QueSize") for n in range(8))
    assert all(ctrl.get(select(card, "IBQSelect", n), "QueSize") for n in range(6))
