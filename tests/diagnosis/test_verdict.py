"""A verdict: what is found, what is lost, and in which order."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest
from carddump import collect, collected, small
from doctored import doctored
from verdicts import verdict as of_faults

from vmcoredd import cudbg, diagnosis
from vmcoredd.chip import T6, Chip
from vmcoredd.chip.firmware import Op, Retval
from vmcoredd.chip.model import CHIPS
from vmcoredd.cudbg.entities.firmware_logs import MailboxRecord
from vmcoredd.diagnosis import Severity

EDC0_CAUSE, PCIE_FW = 0x50078, 0x30B8


@pytest.mark.parametrize("chip", CHIPS)
def test_a_healthy_card_has_no_finding_above_note(chip: Chip) -> None:
    verdict = diagnosis.diagnose(collected(chip).dump)
    assert verdict.alarming == ()
    assert verdict.lost == ()
    assert verdict.worst in (None, Severity.NOTE)


@pytest.mark.parametrize("chip", CHIPS)
def test_the_card_is_identified(chip: Chip) -> None:
    card = diagnosis.diagnose(collected(chip).dump).card
    assert card.serial == collected(chip).fields("VPD_DATA")["serial number"]
    assert card.state == "initialized, no error reported"


def test_an_ecc_error_comes_before_the_crash_that_it_explains() -> None:
    dump = doctored({EDC0_CAUSE: 4, PCIE_FW: 0x80000000})
    first, second = diagnosis.diagnose(dump).alarming
    assert (first.rule, first.evidence[0].instance) == ("edc-ecc-uncorrectable", "EDC0")
    assert second.rule == "firmware-crash"
    assert second.explained_by == ("edc-ecc-uncorrectable",)


def test_a_refused_command_is_named_with_its_return_value() -> None:
    record = MailboxRecord(timestamp=1, seqno=9)
    record.cmd[0] = Op.PARAMS << 56 | Retval.EINVAL << 8 | 1
    words = dict(enumerate(struct.unpack("<36I", bytes(record))))
    dump = doctored({}, MBOX_LOG={4 * index: word for index, word in words.items()})
    (finding,) = (f for f in diagnosis.diagnose(dump).findings if f.rule == "mailbox-refused")
    assert finding.evidence[-1].instance == "command 9"
    assert finding.evidence[-1].value == "PARAMS: refused: EINVAL (22)"


def test_a_card_off_the_bus_is_one_finding_and_the_rest_is_lost() -> None:
    verdict = diagnosis.diagnose(doctored({}, fill=0xFF))
    assert [finding.rule for finding in verdict.alarming] == ["card-off-the-bus"]
    assert verdict.worst == Severity.FATAL
    assert any("reads as ffffffff" in line for line in verdict.lost)


def test_a_dump_without_registers_says_what_was_not_judged() -> None:
    verdict = diagnosis.diagnose(cudbg.Dump(_without_registers()))
    assert any(line.startswith("REG_DUMP") for line in verdict.lost)


def _without_registers() -> bytes:

    return bytes(collect(small(T6), entities=("VPD_DATA",)).data)


def test_a_truncated_dump_is_judged_by_what_it_has() -> None:
    data = collected(T6).data
    verdict = diagnosis.diagnose(cudbg.Dump(data[: collected(T6).dump.entity("REG_DUMP").start]))
    assert any(line.startswith("REG_DUMP") for line in verdict.lost)
    assert verdict.card.state == ""


def test_a_damaged_entity_is_lost_and_the_others_are_judged() -> None:
    data = bytearray(collected(T6).data)
    entity = collected(T6).dump.entity("REG_DUMP")
    data[entity.start : entity.start + 12] = bytes(12)
    verdict = diagnosis.diagnose(cudbg.Dump(data))
    assert any(line.startswith("REG_DUMP") for line in verdict.lost)
    assert verdict.card.serial == diagnosis.diagnose(collected(T6).dump).card.serial


def test_no_flipped_byte_makes_a_verdict_fail() -> None:
    random, data = Random(5), bytes(collected(T6).data)
    end = max(entity.start + entity.size for entity in collected(T6).dump.entities)
    for _ in range(12):
        flipped = bytearray(data)
        for _ in range(8):
            flipped[random.randrange(60, end)] ^= 1 << random.randrange(8)
        diagnosis.diagnose(cudbg.Dump(flipped))


def test_a_chip_that_is_not_known_is_said() -> None:
    data = bytearray(collected(T6).data)
    data[type(cudbg.Dump(data).header).chip_ver.offset] = 0x70
    verdict = diagnosis.diagnose(cudbg.Dump(data))
    assert verdict.findings == ()
    assert verdict.lost[0].startswith("no rule was applied: ")


def test_a_finding_in_json_has_its_first_evidence_flat() -> None:
    (found,) = diagnosis.diagnose(doctored({EDC0_CAUSE: 4})).json()["findings"][:1]
    assert {key: found[key] for key in ("entity", "register", "offset", "instance", "field")} == {
        "entity": "REG_DUMP",
        "register": "EDC_H_INT_CAUSE",
        "offset": EDC0_CAUSE,
        "instance": "EDC0",
        "field": "ECC_UE_INT_CAUSE",
    }
    assert found["evidence"][0]["value"] == found["value"] == 1
    assert found["word"] == 4


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ({0x19400: 0xEEEEEEEE}, "function-without-access"),
        ({0x3068: 0xFFFFFFFF}, "pcie-window-unusable"),
        ({0x7B00: 1}, "firmware-held-in-reset"),
        ({0x77D8: 3}, "memory-switched-off"),
    ],
)
def test_a_state_has_its_finding(words: dict[int, int], rule: str) -> None:
    assert rule in [finding.rule for finding in diagnosis.diagnose(doctored(words)).alarming]


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ({}, "firmware-not-asked"),
        ({64: 0x83}, "back-door-used"),  # attached, and the firmware died later
        ({64: 0x93, 8: 1000}, "back-door-used"),  # the firmware lives: use_backdoor
        ({64: 0x93, 56: 1}, None),
    ],
)
def test_whether_the_driver_asked_the_firmware_is_said(
    words: dict[int, int], rule: str | None
) -> None:
    found = {f.rule for f in diagnosis.diagnose(doctored({}, TID_INFO=words)).findings}
    assert found & {"firmware-not-asked", "back-door-used"} == ({rule} if rule else set())


def test_registers_that_are_all_zero_are_no_card() -> None:
    verdict = diagnosis.diagnose(doctored({}, fill=0))
    assert verdict.alarming[0].rule == "registers-all-zero"
    assert not any(f.rule.startswith("firmware-never") for f in verdict.findings)


def test_a_block_that_reads_as_all_ones_did_not_answer() -> None:
    start, count = next(run for run in T6.ranges("reg_dump") if run[1] >= 8)
    words = {start + 4 * i: 0xFFFFFFFF for i in range(count)}
    assert "block-without-answer" in [f.rule for f in diagnosis.diagnose(doctored(words)).findings]


def test_a_card_that_fell_off_the_bus_during_the_dump_is_not_condemned() -> None:
    gone = dict.fromkeys(range(196608, 332 * 1024, 4), 4294967295)
    verdict = diagnosis.diagnose(doctored(gone))
    assert verdict.alarming[0].rule == "card-lost-during-dump"
    assert verdict.alarming[0].evidence[0].offset is not None
    assert verdict.alarming[0].evidence[0].offset >= 0x30000
    assert not [finding.rule for finding in verdict.alarming if "parity" in finding.rule]
    assert any(line.startswith("registers that read as ffffffff") for line in verdict.lost)


def test_a_word_of_all_ones_is_a_read_that_failed_if_the_register_has_not_all_bits() -> None:
    verdict = diagnosis.diagnose(doctored({0x30B8: 0xFFFFFFFF, EDC0_CAUSE: 0xFFFFFFFF}))
    assert not [f.rule for f in verdict.alarming if f.rule.startswith(("firmware", "edc"))]
    assert verdict.lost[-1] == "1 register reads as ffffffff: not judged"


def test_the_client_of_an_address_that_wrapped_is_named() -> None:
    words = {0x77E0: 1, 0x77E4: 0x00C02007}
    first = diagnosis.diagnose(doctored(words)).alarming[0]
    assert first.meaning == "MA address wrap-around error by client 7 to address 0xc02000"


def test_a_cause_at_one_port_does_not_explain_the_errors_of_another() -> None:
    parity, errors = {0x308DC: 1 << 1}, "MPS_PORT_STAT_RX_PORT_CRC_ERROR_L"
    for port, explained in ((0, ("mac-parity",)), (1, ())):
        words = {**parity, T6.r[errors] + 0x4000 * port: 5000}
        found = diagnosis.diagnose(doctored(words)).alarming
        assert [(f.rule, f.explained_by) for f in found][-1] == ("mps-receive-errors", explained)


def test_counters_of_one_kind_are_one_finding() -> None:
    names = ("MPS_STAT_RX_BG_0_MAC_DROP_FRAME_L", "MPS_STAT_RX_BG_2_LB_TRUNC_FRAME_L")
    (found,) = diagnosis.diagnose(doctored({int(T6.r[name]): 1000 for name in names})).alarming
    assert [one.register for one in found.evidence] == list(names)


def test_memories_and_the_bus_come_before_the_management_controller() -> None:
    smb, edc, pcie = {0x19090: 1 << 19}, {EDC0_CAUSE: 1}, {0x3004: 1}
    found = diagnosis.diagnose(doctored({**smb, **edc, **pcie})).alarming
    assert [one.rule for one in found] == ["edc-parity", "pcie-parity", "smb-parity"]


def test_every_file_of_rules_has_its_place() -> None:
    from vmcoredd.diagnosis import rules

    files = {path.stem for path in Path(rules.__file__).parent.glob("[a-z]*.py")}
    assert files == set(rules.ORDER)


@pytest.mark.parametrize("chip", CHIPS)
def test_all_ones_and_all_zeros_are_one_short_verdict(chip: Chip) -> None:
    for fill, rule in ((0xFF, "card-off-the-bus"), (0, "registers-all-zero")):
        verdict = diagnosis.diagnose(doctored({}, chip, fill=fill))
        assert [finding.rule for finding in verdict.alarming] == [rule]
        extents = [line.split(": ")[1] for line in verdict.lost]
        assert extents == ["not judged", "judged in part"]


def test_entities_that_one_interface_could_not_read_are_one_finding_that_names_it() -> None:
    (finding,) = of_faults("cim-host-hangs").alarming
    assert {"CIM_LA", "CIM_QCFG", "UP_CIM_INDIRECT", "PBT_TABLE"} == set(finding.lacks)
    assert finding.to_do.startswith("CIM_HOST_ACC_CTRL, ")


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("no-memory", "look whether a memory is switched off"),
        ("window-unusable", "PCIE_MEM_ACCESS_BASE_WIN, through which the driver reads it, leads"),
    ],
)
def test_the_advice_about_a_failed_entity_is_that_of_its_status(fault: str, advice: str) -> None:
    failed = [one for one in of_faults(fault).alarming if one.rule == "entity-failed"]
    assert failed
    assert all(one.to_do.startswith(advice) for one in failed)


def test_errors_of_a_channel_are_of_its_port_and_no_other() -> None:
    found = {one.rule: one for one in of_faults("link-local-fault-port0", "rx-crc-errors").alarming}
    assert found["tp-input-errors"].evidence[0].instance == "port 1"
    assert found["tp-input-errors"].explained_by == ("mps-receive-errors",)
    assert "link-local-fault" in found


def test_a_counter_of_two_words_is_said_as_one_number() -> None:
    low = T6.r["MPS_PORT_STAT_TX_PORT_DROP_L"]
    dump = doctored({int(low): 0xDFDC1C1F, int(low) + 4: 2})
    found = diagnosis.diagnose(dump).findings
    (finding,) = (one for one in found if one.rule == "mps-transmit-drops")
    assert f"{2 << 32 | 0xDFDC1C1F:,}" in finding.meaning
