"""Every fault of a card gives the kernel's codes for the entities it affects, and no others.

The codes are those of the kernel's driver, which the interop tests check again. A fault is a switch
of the emulator (`emu.faults()`). All faulty cards are compared with one that has no fault. Faults
that only report something are in test_reported_faults.py.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from carddump import CARDS, CardDump, Codes, collect, rows, small
from labelled import INVISIBLE

from vmcoredd import driver, emu
from vmcoredd.chip import T6, Chip

GOOD = (0, 0, 0)
PARTIAL = (0, 0, -41)
ABSENT = (-29, -24, 0)
INBOUND = [f"CIM_IBQ_{name}" for name in ("TP0", "TP1", "ULP", "SGE0", "SGE1", "NCSI")]
OUTBOUND = [f"CIM_OBQ_{name}" for name in ("ULP0", "ULP1", "ULP2", "ULP3", "SGE", "NCSI")]
OUTBOUND += ["CIM_OBQ_RXQ0", "CIM_OBQ_RXQ1"]
MEMORIES = ["EDC0", "EDC1", "MC0"]
LA_CONFIG = {"CIM_QCFG": GOOD, "UP_CIM_INDIRECT": GOOD}
"""Entities that also show the configuration of the processor's analyser."""


def host(error: int) -> dict[str, Codes]:
    """Returns the entities that fail with the processor: all but one hold the error in sys_err."""
    failed = dict.fromkeys(["CIM_LA", "CIM_QCFG", "PBT_TABLE"], (-29, error, 0))
    return failed | {"UP_CIM_INDIRECT": (error, 0, 0)}


HIT: dict[str, dict[str, Codes]] = {
    "bit-flip=TP_OUT_CONFIG:3": {},
    "busy-once": {},
    "cim-host-busy": host(-16),
    "cim-host-hangs": host(-16) | {"CIM_LA": (-29, -11, 0)},
    "cim-interface-la-runs": {},
    "cim-la-hangs": {"CIM_LA": (-29, -110, 0), **LA_CONFIG},
    "cim-la-runs": {"CIM_LA": GOOD, **LA_CONFIG},
    "cim-obq-busy": dict.fromkeys(OUTBOUND, (-29, -11, 0)),
    "cim-obq-empty": {"CIM_QCFG": GOOD, **dict.fromkeys(OUTBOUND, (-29, -29, 0))},
    "context-busy": {"DUMP_CONTEXT": GOOD},
    "dma-read-refused": {},
    "dma-write-refused": {},
    "firmware-asserts": {},
    "firmware-dead": {},
    "firmware-error": {},
    "firmware-loses-command": {},
    "firmware-other-master": {},
    "firmware-retval=EBUSY": {},
    "firmware-slow": {},
    "firmware-uninitialised": {},
    "flash-busy": {"VPD_DATA": (-16, 0, 0)},
    "flash-hangs": {"VPD_DATA": (-11, 0, 0)},
    "flash-slow": {},
    "interrupt-late=500": {},
    "interrupt-lost": {},
    "interrupt-twice": {},
    "le-busy": {"LE_TCAM": PARTIAL},
    "le-status": {"LE_TCAM": PARTIAL},
    "mailbox-taken": {},
    "memory-bit-flip=EDC0+0x1000:3": {"EDC0": GOOD},
    "no-context-bases": {"MEMINFO": GOOD, "DUMP_CONTEXT": GOOD},
    "no-devlog-pointer": {},
    "no-edc1": {"MEMINFO": GOOD, "EDC1": ABSENT},
    "no-mc0": {"MEMINFO": GOOD, "MC0": ABSENT},
    "no-memory": {
        "MEMINFO": ABSENT,
        "DUMP_CONTEXT": (-24, 0, 0),
        **dict.fromkeys(MEMORIES, ABSENT),
    },
    "no-payload-regions": {"MEMINFO": GOOD, **dict.fromkeys(MEMORIES, GOOD)},
    "no-vpd": {"VPD_DATA": (-19, 0, 0), "PCIE_CONFIG": GOOD},
    "receive-completion-lost": {},
    "rss-row-not-valid": {"RSS": (-29, -11, 0)},
    "send-completion-lost": {},
    "tp-la-runs": {},
    "vpd-bad-checksum": {"VPD_DATA": (-22, 0, 0)},
    "vpd-no-version": {"VPD_DATA": (-22, 0, 0)},
    "vpd-silent": {"VPD_DATA": (-110, 0, 0)},
    "vpd-slow": {},
    "window-all-ones": dict.fromkeys(["DEV_LOG", *MEMORIES], GOOD),
    "window-unusable": dict.fromkeys(["DEV_LOG", *MEMORIES], (-29, -6, 0)),
}
"""The entities whose status or content each fault changes, with their status.

REG_DUMP also shows the registers that a fault changes."""
SLOW = "cim-ibq-busy"
"""The fault takes six million polls; a test here polls one queue, the interop tests all six."""
NO_DUMP = {
    "device-gone": "cxgb4_pci_tbl: no device answers: its configuration space is all ones",
    "flash-busy": "t4_get_flash_params: .*-EBUSY",
    "flash-hangs": "t4_get_flash_params: .*-EAGAIN",
    "other-function": "init_one: function 0 is not the driver's, which is 4",
}
"""The error of the driver's bring-up for faults that prevent a dump."""
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)


@cache
def healthy(chip: Chip) -> CardDump:
    return broken(chip)


def broken(chip: Chip, *faults: str) -> CardDump:
    """Dumps a faulty card without compression, which is slow and does not matter here."""
    return collect(small(chip, *faults), "none")


def changed(one: CardDump, other: CardDump) -> dict[str, Codes]:
    """Returns the entities of `other` whose status or content differs."""

    def state(made: CardDump, name: str) -> Any:
        codes = made.codes(name)
        return codes, made.dump.raw(name) if not codes[0] else b""

    names = [entity.name for entity in one.dump.entities]
    return {name: other.codes(name) for name in names if state(one, name) != state(other, name)}


def test_every_fault_that_changes_an_access_has_its_codes_here() -> None:
    acting = {fault.example for fault in emu.faults().values() if not fault.reports | fault.served}
    assert {*HIT, *NO_DUMP, SLOW} == acting


@CHIPS
@pytest.mark.parametrize("fault", HIT)
def test_a_fault_affects_only_its_own_entities(chip: Chip, fault: str) -> None:
    hit = changed(healthy(chip), broken(chip, fault))
    assert (not hit) == (fault in INVISIBLE)
    hit.pop("REG_DUMP", None)
    assert hit == HIT[fault]


@pytest.mark.parametrize("fault", NO_DUMP)
def test_a_card_that_cannot_be_brought_up_says_which_step_failed(fault: str) -> None:
    with pytest.raises(driver.ProbeError, match=NO_DUMP[fault]):
        driver.open_card(small(T6, fault))


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("firmware-dead", (-29, -110, 0)),
        ("firmware-error", (-29, -6, 0)),
        ("mailbox-taken", (-29, -16, 0)),
        ("firmware-slow", GOOD),
        ("firmware-uninitialised", GOOD),
    ],
)
@CHIPS
def test_without_a_pointer_the_log_depends_on_the_firmware(
    chip: Chip, fault: str, codes: Codes
) -> None:
    made = broken(chip, "no-devlog-pointer", fault)
    hit = changed(healthy(chip), made)
    hit.pop("REG_DUMP")
    assert hit == ({} if codes == GOOD else {"DEV_LOG": codes})


@CHIPS
def test_contexts_without_bases_are_too_many_to_compress(chip: Chip) -> None:
    memory = {"memory": {"edc0": 2, "edc1": 2, "mc0": 1}}
    made = collect(small(chip, "no-context-bases", **memory), entities=("DUMP_CONTEXT", "CCTRL"))
    assert made.codes("DUMP_CONTEXT") == (-19, 0, 0)
    assert made.codes("CCTRL") == GOOD


@CHIPS
def test_a_lookup_engine_that_fails_half_way_shows_the_earlier_entries(chip: Chip) -> None:
    whole, half = healthy(chip), broken(chip, "le-status")
    first = half.card.scenario.tid_table.regions.servers // 2
    seen = rows(half.dump.decode("LE_TCAM"), "in use")
    assert seen == [row for row in whole.table("LE_TCAM", "in use") if row["TID"] < first]
    assert half.fields("LE_TCAM")["max_tid"] == first


@CHIPS
def test_a_lookup_engine_that_is_busy_shows_nothing(chip: Chip) -> None:
    made = broken(chip, "le-busy")
    assert made.table("LE_TCAM", "in use") == []
    assert made.fields("LE_TCAM")["max_tid"] == 0


@CHIPS
def test_a_busy_context_register_leaves_the_previous_content(chip: Chip) -> None:
    made = broken(chip, "context-busy")
    assert not any(made.dump.raw("DUMP_CONTEXT"))


@CHIPS
def test_without_payload_regions_nearly_all_memory_is_left_out(chip: Chip) -> None:
    made = broken(chip, "no-payload-regions")
    assert not any(made.dump.raw("MC0"))
    assert made.entity("MC0").counts.r64 == 0


def test_a_queue_that_stays_busy_fails_after_a_million_polls() -> None:
    made = collect(small(T6, SLOW), entities=("CIM_IBQ_TP0", "CIM_OBQ_ULP0"))
    assert made.codes("CIM_IBQ_TP0") == (-29, -11, 0)
    found = made.entity("CIM_IBQ_TP0")
    # A busy host does not do them in five times their delays: a poll's deadline.
    assert found.counts.r32 == 1_000_000 or found.seconds >= 5
    assert made.codes("CIM_OBQ_ULP0") == GOOD


@CHIPS
@pytest.mark.parametrize(
    ("fault", "register", "running"),
    [("cim-interface-la-runs", 0x7B70, 1 << 12), ("tp-la-runs", 0x7ED4, 1 << 12)],
)
def test_an_analyser_that_ran_runs_again_after_the_dump(
    chip: Chip, fault: str, register: int, running: int
) -> None:
    card = collect(small(chip, fault), entities=("CIM_MA_LA", "CIM_PIF_LA", "TP_LA")).card
    assert card.read(register) & running


DELAYS = {
    "CIM_HOST_ACC_CTRL": (4, host(-11)),
    "CIM_OBQ_DBG_CFG": (1, dict.fromkeys(OUTBOUND, (-29, -11, 0))),
    "TP_RSS_LKP_TABLE": (4, {"RSS": (-29, -11, 0)}),
    "LE_DB_DBGI_CONFIG": (6, {"LE_TCAM": PARTIAL}),
    "SGE_CTXT_CMD": (2, {"DUMP_CONTEXT": GOOD}),
}
"""The polls that a register may take, and the failure if it takes one more."""


@CHIPS
@pytest.mark.parametrize("register", DELAYS)
def test_a_register_may_take_as_long_as_the_kernel_waits(chip: Chip, register: str) -> None:
    most, _ = DELAYS[register]
    delayed = small(chip)
    delayed.core.lookups.delay(most, chip.r[register])
    assert changed(healthy(chip), collect(delayed, "none")) == {}


@CHIPS
@pytest.mark.parametrize("register", DELAYS)
def test_a_register_that_takes_one_poll_too_many_fails(chip: Chip, register: str) -> None:
    most, hit = DELAYS[register]
    delayed = small(chip)
    delayed.core.lookups.delay(most + 1, chip.r[register])
    assert changed(healthy(chip), collect(delayed, "none")) == hit
