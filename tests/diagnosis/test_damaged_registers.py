"""A register dump of which only a part is left: what is left is judged, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest
from carddump import collected
from doctored import doctored
from verdicts import asked

from vmcoredd import cudbg
from vmcoredd.chip import T6, Chip
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.model import CHIPS
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.remains import Remains
from vmcoredd.diagnosis import Severity, Verdict, diagnose

PCIE_FW, BOOT, EDC0_CAUSE, EDC1_CAUSE = 0x30B8, 0x7B00, 0x50078, 0x50878
SGE_CAUSE3, SGE_ENABLE3, SGE_ERRORS = 0x103C, 0x1040, 0x1100


class Cut(cudbg.Dump):
    """A dump of which REG_DUMP has other bytes, and only some of them are left."""

    raw_bytes: bytes
    left: tuple[range, ...]

    def blob(self, name: str) -> Bytes:
        """Of REG_DUMP not everything can be read."""
        if name == "REG_DUMP":
            raise cudbg.DumpFormatError("REG_DUMP", len(self.raw_bytes), sum(map(len, self.left)))
        return super().blob(name)

    def remains(self, name: str) -> Remains:
        """What is left of REG_DUMP."""
        if name != "REG_DUMP":
            return super().remains(name)
        parts = [(part.start, self.raw_bytes[part.start : part.stop]) for part in self.left]
        return Remains(name, parts, len(self.raw_bytes))


def judged(words: Mapping[int, int], *left: range, chip: Chip = T6) -> Verdict:
    """The verdict on a dump with these words, of which these bytes of REG_DUMP are left."""
    dump = Cut(collected(chip).data)
    dump.raw_bytes, dump.left = bytes(doctored(words, chip).blob("REG_DUMP")), left
    return diagnose(dump)


def rules(verdict: Verdict) -> list[str]:
    return [finding.rule for finding in verdict.alarming]


END = 1 << 24


def test_a_register_that_is_left_is_judged_and_one_that_is_not_is_lost() -> None:
    verdict = judged({PCIE_FW: 0x80000000, EDC0_CAUSE: 4}, range(0x10000))
    assert rules(verdict) == ["firmware-crash"]
    assert verdict.card.state == "crashed"
    assert any(
        line.startswith("REG_DUMP: need")
        and ": not judged: " in line
        and "card-off-the-bus" in line
        for line in verdict.lost
    )
    assert not any("firmware-crash" in line for line in verdict.lost)
    assert verdict.damage == tuple(line for line in verdict.damage if line.startswith("REG_DUMP"))


def test_what_is_behind_a_gap_is_judged() -> None:
    verdict = judged({EDC0_CAUSE: 4, PCIE_FW: 0x80000000}, range(0x2000), range(0x4000, END))
    assert rules(verdict) == ["edc-ecc-uncorrectable"]
    assert verdict.card.state == ""
    assert any(
        line.startswith("REG_DUMP: need") and ": not judged: " in line for line in verdict.lost
    )


def test_of_two_instances_the_one_that_is_left_is_judged_and_the_rule_is_named() -> None:
    verdict = judged({EDC0_CAUSE: 4, EDC1_CAUSE: 4}, range(0x50800))
    (finding,) = verdict.alarming
    assert finding.evidence[0].instance == "EDC0"
    assert any("judged in part: " in line and "edc-ecc" in line for line in verdict.lost)


def test_a_port_keeps_its_number_where_the_one_before_is_lost() -> None:
    first, second = _links()
    words = {second.offset: second.value | T6.r.MAC_PORT_LINK_STATUS.mask("remflt")}
    verdict = judged(words, range(first.offset), range(first.offset + 4, END))
    (finding,) = verdict.alarming
    assert finding.rule == "link-remote-fault"
    assert finding.meaning.startswith("port 1: ")


def _links() -> list[cudbg.words.Word]:
    return cudbg.words.find(collected(T6).dump, "MAC_PORT_LINK_STATUS")[:2]


def test_a_state_without_the_boot_register_says_what_is_not_known() -> None:
    verdict = judged({}, range(BOOT))
    assert verdict.card.state == (
        "initialized, no error reported; whether it is held in reset is not in the dump"
    )


def test_a_cause_whose_enable_register_is_lost_counts_and_says_so() -> None:
    verdict = judged({SGE_CAUSE3: 1 << 22}, range(SGE_ENABLE3))
    (finding,) = verdict.alarming
    assert (finding.rule, finding.severity) == ("sge-message-too-big", Severity.FATAL)
    assert finding.meaning.startswith("raised; whether it is enabled is not in the dump: ")
    assert len(finding.evidence) == 1


def test_what_only_adds_to_the_evidence_may_be_lost() -> None:
    (finding,) = judged({0x77E0: 1, 0x77E4: 0x00C02007}, range(0x77E4)).alarming
    assert finding.meaning.endswith("by client (not in the dump) to address (not in the dump)")


def test_ones_before_a_cut_are_no_card_that_fell_off_the_bus() -> None:
    at = next(start for start, count in T6.ranges("reg_dump") if count > 64)
    few = dict.fromkeys(range(at, at + 16, 4), U32_MASK)
    whoami = range(int(T6.r.PL_WHOAMI), int(T6.r.PL_WHOAMI) + 4)
    assert "card-lost-during-dump" not in rules(judged(few, range(at + 16), whoami))
    gone = dict.fromkeys(range(0x30000, 0x40000, 4), U32_MASK)
    assert "card-lost-during-dump" in rules(judged(gone, range(0x40000)))


@pytest.mark.parametrize("chip", CHIPS)
def test_a_missing_word_is_never_taken_for_a_value(chip: Chip) -> None:
    random, registers = Random(chip.version), asked(chip)
    for _ in range(6):
        words = {int(r): 1 << random.randrange(32) for r in random.sample(registers, 60)}
        whole = {f.rule for f in judged(words, range(END), chip=chip).findings}
        cuts = sorted(random.sample(range(0, 0x52000, 4), 2))
        for left in ((range(cuts[0]),), (range(cuts[0]), range(cuts[1], END))):
            found = {f.rule for f in judged(words, *left, chip=chip).findings}
            assert found <= whole


@pytest.mark.parametrize("chip", CHIPS)
def test_a_healthy_card_raises_no_alarm_wherever_its_dump_is_cut(chip: Chip) -> None:
    for end in range(4, 0x52000, 0x9A34):
        assert rules(judged({}, range(end), chip=chip)) == []
