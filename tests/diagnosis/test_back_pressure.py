"""Back-pressure: the ways of data, the channel, and the place that takes no more."""

from __future__ import annotations

import pytest
from carddump import collected
from doctored import doctored
from labelled import labelled

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.model import CHIPS
from vmcoredd.cudbg.entities.indirect import IndirectEntity
from vmcoredd.cudbg.entity import entities
from vmcoredd.diagnosis import Finding, Severity, diagnose

SGE_WORD = 0x12A8
T5_BITS = {
    "tp_pio 0x148": {"receive": 16},
    "tp_pio 0x23f": {"receive": 20, "send": 24},
    "tp_pio 0x6b": {"receive": 28},
    "tp_pio 0x6a": {"send": 28},
    "pcie_cdbg 0x2": {"receive": 0, "send": 16},
}
"""The bits of channel 0, as view_full() of Chelsio's viewer shifts the words of a T5."""


def blocked(words: dict[str, int], chip: Chip, bar0: int = 0) -> list[Finding]:
    """The findings on a healthy card with these words, by space and index, and the SGE's."""
    there = entities()
    more: dict[str, dict[int, int]] = {"TP_INDIRECT": {}, "PCIE_INDIRECT": {}}
    for place, value in words.items():
        space, index = place.split()
        for name, changes in more.items():
            holder = there[name]
            assert isinstance(holder, IndirectEntity)
            position = holder.position(space, int(index, 16), chip)
            changes.update({} if position is None else {position: value})
    verdict = diagnose(doctored({SGE_WORD: bar0}, chip, **more))
    return [finding for finding in verdict.findings if finding.rule.endswith("-blocked")]


@pytest.mark.parametrize("place", T5_BITS)
@pytest.mark.parametrize("channel", [0, 1])
def test_one_full_place_is_a_note_that_names_way_and_channel(place: str, channel: int) -> None:
    for way, shift in T5_BITS[place].items():
        (found,) = blocked({place: 1 << shift + channel}, T5)
        assert (found.rule, found.severity) == (f"{way}-blocked", Severity.NOTE)
        assert f"on channel {channel} wait" in found.meaning


def test_several_full_places_of_a_channel_are_a_note_that_names_the_last() -> None:
    words = {"tp_pio 0x148": 1 << 17, "tp_pio 0x6b": 1 << 21}
    (found,) = blocked(words, T5, bar0=1 << 19)
    assert found.severity is Severity.NOTE
    assert found.meaning.endswith("MPS to TP, TP's receive scheduler, the SGE to PCIE")
    assert "behind the last place, the SGE to PCIE" in found.to_do


def test_places_of_different_channels_are_different_findings() -> None:
    found = blocked({"tp_pio 0x148": 1 << 16, "tp_pio 0x23f": 1 << 21}, T6)
    assert [one.severity for one in found] == [Severity.NOTE] * 2


@pytest.mark.parametrize(
    ("register", "bit", "rule"), [(2, 0, "receive"), (3, 2, "receive"), (2, 4, "send")]
)
def test_pcie_of_a_t6_has_a_word_for_each_channel(register: int, bit: int, rule: str) -> None:
    (found,) = blocked({f"pcie_cdbg {register:#x}": 1 << bit}, T6)
    assert found.rule == f"{rule}-blocked"
    assert f"on channel {register - 2} wait" in found.meaning


def test_the_sge_of_a_t6_has_its_bits_elsewhere() -> None:
    assert blocked({}, T6, bar0=0b11 << 30) == []
    (found,) = blocked({}, T6, bar0=1 << 9)
    assert "the CPL switch to the SGE" in found.meaning


@pytest.mark.parametrize("chip", CHIPS)
def test_no_data_wait_in_a_healthy_card(chip: Chip) -> None:
    rules = [finding.rule for finding in diagnose(collected(chip).dump).findings]
    assert not {"receive-blocked", "send-blocked"} & set(rules)


@pytest.mark.parametrize("card", ["t520-cr", "t62100-cr"])
def test_the_faults_block_the_whole_way(card: str) -> None:
    for way, last in (("receive", "PCIE to the host"), ("send", "TP's transmit scheduler")):
        one = labelled(f"{way}-blocked", card=card)
        verdict = diagnose(one.dump)
        (found,) = (each for each in verdict.findings if each.rule == f"{way}-blocked")
        assert verdict.alarming == ()
        hops = getattr(one.dump.chip.back_pressure, way)
        assert {each.field for each in found.evidence} == {
            hop.field for hop in hops if hop.channel == 0
        }
        assert found.meaning.endswith(last)
