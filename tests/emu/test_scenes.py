"""The scenes: a fresh card is what firmware leaves after power-on, a crashed one was in use."""

from __future__ import annotations

import pytest
from carddump import SMALL, collect
from emumail import Mailbox
from labelled import SIZE

from vmcoredd.chip.firmware import RssIndTbl, Vi
from vmcoredd.chip.sge import VALID_BIT
from vmcoredd.diagnosis import diagnose
from vmcoredd.emu import Card, EmuError, profiles
from vmcoredd.emu.errors import NoSuchFault
from vmcoredd.emu.silicon.mps import SIZE_CLASSES
from vmcoredd.emu.silicon.sge import QUEUES, Contexts

CARDS = pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
HOST = {"mc0": 0, "hma": 1}


def small(name: str, **options: str) -> Card:
    memory = SMALL["memory"] | {"t580-mc1": {"mc1": 1}, "t6225-so-cr": HOST}.get(name, {})
    return Card.load(name, strict=True, memory=memory, scene="fresh", **options)


@pytest.mark.parametrize("name", profiles())
def test_a_fresh_card_is_dumped_completely_and_is_healthy(name: str) -> None:
    dump = collect(small(name), "none", size=SIZE).dump
    for entity in dump.entities:
        if str(entity.condition) == "good":
            dump.decode(entity.name)
    lost = {
        entity.name for entity in dump.entities if str(entity.condition) in ("missing", "partial")
    }
    assert lost <= {"QDESC"}  # the driver's own, which this driver lacks room for
    assert [finding.rule for finding in diagnose(dump).alarming] == []


@CARDS
def test_a_fresh_card_has_no_queues_connections_or_counts(name: str) -> None:
    card = small(name)
    contexts = card.model(Contexts).table.words
    for kind, bit in VALID_BIT.items():
        first = kind * QUEUES * 6 + bit // 32
        assert not any(word >> bit % 32 & 1 for word in contexts[first::6][:QUEUES])
    assert not any(card.core.spaces.space("tp_rss_lkp_table").words)
    assert not any(card.core.spaces.space("tp_mib").words)
    for size in ("BYTES", "FRAMES", *SIZE_CLASSES):
        for way in ("TX", "RX"):
            counter = card.chip.r[f"MPS_PORT_STAT_{way}_PORT_{size}_L"]
            assert card.core.spaces.get(counter, 0) == 0
    assert [mac.address.hex() for mac in card.scenario.mac_table.entries] == ["0180c200000e"]


def test_scenes_differ_in_use_and_not_in_identity() -> None:
    fresh, crashed = Card.load("t62100-cr", 3, scene="fresh"), Card.load("t62100-cr", 3)
    assert fresh.scenario.identity == crashed.scenario.identity
    assert fresh.scenario.tid_table.regions == crashed.scenario.tid_table.regions
    assert fresh.scenario.queues.functions == crashed.scenario.queues.functions
    assert list(fresh.scenario.memory_map) == list(crashed.scenario.memory_map)


@pytest.mark.parametrize(
    "fault", ["free-list-empty", "sge-idma0-stuck", "sge-bad-pidx", "sge-cpl-too-big"]
)
def test_a_fresh_card_refuses_faults_of_queues_that_it_has_not(fault: str) -> None:
    with pytest.raises(NoSuchFault, match="no queue yet"):
        Card.load("t62100-cr", scene="fresh", faults=[fault])


def test_firmware_of_a_fresh_card_can_fail_in_all_ways() -> None:
    for kind in ("crash", "unexpected", "overheat", "configuration"):
        Card.load("t62100-cr", scene="fresh", faults=[f"firmware-{kind}"])


def test_an_unknown_scene_is_refused() -> None:
    with pytest.raises(EmuError, match="no scene burnt; there are crashed, fresh"):
        Card.load("t62100-cr", scene="burnt")


@CARDS
def test_the_rss_table_is_what_the_drivers_commands_leave(name: str) -> None:
    """Sends what t4_config_rss_range() sends: 32 entries in 11 words of three ids each."""
    crashed, fresh = Card.load(name), Card.load(name, scene="fresh")
    mail, queues = Mailbox(fresh), crashed.scenario.queues
    for port in range(fresh.profile.ports.count):
        vi = mail.do(Vi(alloc=1, portid=port))
        ids = [queue.id for queue in queues.received(port)]
        wanted = [ids[i % len(ids)] for i in range(vi.rsssize)]
        for number in range(vi.rsssize // 32):
            sent = {f"iq{i}": wanted[(33 * number + i) % len(wanted)] for i in range(32)}
            mail.do(RssIndTbl(write=1, viid=vi.viid, niqid=32, startidx=32 * number, **sent))
    tables = (card.core.spaces.space("tp_rss_lkp_table") for card in (fresh, crashed))
    assert len({bytes(table.words) for table in tables}) == 1
