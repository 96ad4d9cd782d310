"""A rule that looks at several words judges by those that are left, and says so."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from carddump import collected
from doctored import Doctored, doctored
from labelled import labelled

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.remains import Remains
from vmcoredd.diagnosis import Verdict, diagnose
from vmcoredd.diagnosis.card import Card


class Without(Doctored):
    """A dump of which nothing is left of one entity, or of which REG_DUMP has a hole."""

    lost: str
    hole: range

    def blob(self, name: str) -> Bytes:
        """The lost entity cannot be read."""
        if name == self.lost:
            raise cudbg.DumpFormatError(name, 4, 0)
        return super().blob(name)

    def remains(self, name: str) -> Remains:
        """What is before and behind the hole."""
        if name != self.lost:
            return super().remains(name)
        raw = bytes(super().blob(name))
        parts = [(0, raw[: self.hole.start]), (self.hole.stop, raw[self.hole.stop :])]
        return Remains(name, parts if self.hole else [], len(raw))


def without(data: Bytes, lost: str, hole: range = range(0), **other: bytes) -> Verdict:
    """The verdict on a dump that lacks an entity, or a hole in it."""
    dump = Without(data)
    dump.lost, dump.hole, dump.other = lost, hole, other
    return diagnose(dump)


def judged(words: Mapping[int, int], hole: range, chip: Chip = T6) -> Verdict:
    """The verdict on a healthy card's dump with these words, and a hole in REG_DUMP."""
    whole = bytes(doctored(words, chip).blob("REG_DUMP"))
    return without(collected(chip).data, "REG_DUMP", hole, REG_DUMP=whole)


def extent(verdict: Verdict, rule: str) -> set[str]:
    """How far a rule was judged, as `lost` says it; empty if wholly."""
    return {line.split(": ")[-2] for line in verdict.lost if rule in line}


@pytest.mark.parametrize("lost", ["PCIE_INDIRECT", "TP_INDIRECT", "REG_DUMP"])
def test_full_places_are_found_where_the_words_of_others_are_lost(lost: str) -> None:
    verdict = without(labelled("receive-blocked", card="t62100-cr").made.data, lost)
    (found,) = (one for one in verdict.findings if one.rule == "receive-blocked")
    assert {one.entity for one in found.evidence} == {
        "PCIE_INDIRECT",
        "TP_INDIRECT",
        "REG_DUMP",
    } - {lost}
    assert extent(verdict, "receive-blocked") == {"judged in part"}


def at(name: str, chip: Chip = T6) -> range:
    """The bytes of a register's first instance."""
    return range(int(chip.r[name]), int(chip.r[name]) + 4)


TICKS = ("SGE_DEBUG_DATA_HIGH_INDEX_13", "SGE_DEBUG_DATA_LOW_INDEX_13")
LONG = 4_000_000_000
WAITS = T6.sge.idma_states.index("FL_REQ_DATA_FL")


@pytest.mark.parametrize(
    ("rule", "words", "lost"),
    [
        (
            "dump-impossible-pages",
            {"TP_FLM_FREE_PS_CNT": 1001, "TP_CMM_MM_MAX_PSTRUCT": 1000},
            "TP_FLM_FREE_TX_CNT",
        ),
        ("dump-impossible-buffers", {"MPS_RX_MAC_BG_PG_CNT3": 101 << 16}, "MPS_RX_MAC_BG_PG_CNT0"),
        ("tp-no-free-pages", {"TP_FLM_FREE_RX_CNT": 0}, "TP_FLM_FREE_TX_CNT"),
        (
            "sge-idma-stuck",
            {TICKS[1]: LONG, "SGE_DEBUG_DATA_LOW_INDEX_0": WAITS << 9},
            TICKS[0],
        ),
        ("memory-switched-off", {"MA_TARGET_MEM_ENABLE": 0}, "MA_EXT_MEMORY0_BAR"),
    ],
)
def test_one_lost_word_leaves_the_others_judged(
    rule: str, words: dict[str, int], lost: str
) -> None:
    verdict = judged({int(T6.r[name]): value for name, value in words.items()}, at(lost))
    assert rule in [one.rule for one in verdict.findings]
    assert extent(verdict, rule) == {"judged in part"}


@pytest.mark.parametrize("lost", ["SGE_DEBUG_DATA_LOW_INDEX_0", "SGE_DEBUG_DATA_LOW_INDEX_11"])
def test_a_rule_whose_only_word_of_all_places_is_lost_finds_nothing(lost: str) -> None:
    both = dict.fromkeys((int(T6.r[name]) for name in TICKS), LONG)
    verdict = judged(both, at(lost))
    assert "sge-idma-stuck" not in [one.rule for one in verdict.findings]
    assert extent(verdict, "sge-idma-stuck") == {"not judged"}


def test_pages_to_send_are_not_judged_without_the_cause_that_may_say_the_same() -> None:
    words = {int(T6.r.TP_FLM_FREE_TX_CNT): 0}
    assert "tp-no-free-pages" in [one.rule for one in diagnose(doctored(words)).findings]
    verdict = judged(words, at("TP_INT_CAUSE"))
    assert "tp-no-free-pages" not in [one.rule for one in verdict.findings]


def test_a_running_analyser_of_a_register_is_found_without_that_of_the_processor() -> None:
    verdict = without(labelled("tp-la-runs").made.data, "CIM_LA")
    assert "logic-analyser-running" in [one.rule for one in verdict.findings]
    assert extent(verdict, "logic-analyser-running") == {"judged in part"}


@pytest.mark.parametrize("chip", [T5, T6])
def test_an_instance_keeps_its_number_where_the_one_before_is_lost(chip: Chip) -> None:
    window = chip.r.PCIE_MEM_ACCESS_BASE_WIN
    verdict = judged({window[3]: 0xFFFFFFFF}, range(window[2], window[2] + 4), chip)
    (found,) = (one for one in verdict.findings if one.rule == "pcie-window-unusable")
    assert found.meaning.startswith("memory window 3 ")


def test_what_is_left_of_a_register_is_asked_for_in_one_way() -> None:
    card = Card(collected(T6).dump)
    assert card.words("NO_SUCH_REGISTER") == []
    assert card.gaps == {}
    with pytest.raises(cudbg.CudbgError, match="NO_SUCH_REGISTER is not in REG_DUMP"):
        card.word("NO_SUCH_REGISTER")


HALVES = ("VPD_DATA", "TID_INFO", "CLK")


def halved() -> Verdict:
    """The verdict on a dump of which three entities are half as long as they should be."""
    dump = doctored({})
    assert isinstance(dump, Doctored)
    whole = {name: bytes(collected(T6).dump.raw(name)) for name in HALVES}
    dump.other = {name: raw[: len(raw) // 2] for name, raw in whole.items()}
    return diagnose(dump)


def test_what_a_cut_identity_lacks_is_empty_and_lost() -> None:
    verdict = halved()
    assert (verdict.card.name, verdict.card.mac, verdict.card.firmware) == ("", "", "")
    assert verdict.card.serial
    assert extent(verdict, "the card's identity") == {"known in part"}


def test_flags_that_are_left_are_judged_and_what_is_cut_is_lost() -> None:
    verdict = halved()
    assert "firmware-not-asked" in [finding.rule for finding in verdict.findings]
    reasons = {line.split(":")[0] for line in verdict.lost if "firmware-not-asked" in line}
    assert reasons == {"TID_INFO", "CLK"}


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
def test_an_identity_that_was_not_measured_is_lost(fill: bytes) -> None:
    dump = doctored({})
    assert isinstance(dump, Doctored)
    dump.other = {"VPD_DATA": fill * len(collected(T6).dump.raw("VPD_DATA"))}
    assert extent(diagnose(dump), "the card's identity") == {"unknown"}


def test_damage_of_an_explaining_entity_is_not_that_of_the_explained_one() -> None:
    data = bytearray(collected(T6).data)
    entity = collected(T6).dump.entity("REG_DUMP")
    data[entity.start + 300 : entity.start + 340] = b"\xaa" * 40
    verdict = diagnose(cudbg.Dump(data))
    assert verdict.damage
    assert all(line.startswith("REG_DUMP: ") for line in verdict.damage)
    assert extent(verdict, "sge-free-list-empty") == set()
