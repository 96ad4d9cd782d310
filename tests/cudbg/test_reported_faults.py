"""What a dump says of a card that reports an error: the words that change, and no others.

Registers and fields have Linux's names where it has any; the interop test below compares them with
its header. A second instance is named by its distance in bytes: `EDC_H_INT_CAUSE+0x800`.
"""

from __future__ import annotations

from functools import cache

import labelled
import pytest
from kernel_headers import DRIVER, Header, header

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd import emu
from vmcoredd.chip import T5, Chip

CAUSES: dict[str, str] = {
    "cim-access-timeout": "CIM TIMEOUTINT CIM_HOST_UPACC_INT_CAUSE",
    "cim-illegal-access": "CIM ILLTRANSINT+SGLRDPLINT CIM_HOST_UPACC_INT_CAUSE",
    "cim-memory-timeout": "CIM TIMEOUTMAINT CIM_HOST_UPACC_INT_CAUSE",
    "doorbell-dropped": "SGE ERR_DROPPED_DB SGE_INT_CAUSE3",
    "ecc-correctable-edc0": "EDC0 ECC_CE_INT_CAUSE EDC_H_INT_CAUSE",
    "ecc-correctable-edc1": "EDC1 ECC_CE_INT_CAUSE EDC_H_INT_CAUSE+0x800",
    "ecc-correctable-mc0": "MC0 ECC_CE_INT_CAUSE MC_P_INT_CAUSE",
    "ecc-correctable-mc1": "MC1 ECC_CE_INT_CAUSE MC_P_INT_CAUSE+0x8000",
    "ecc-uncorrectable-edc0": "EDC0 ECC_UE_INT_CAUSE EDC_H_INT_CAUSE",
    "ecc-uncorrectable-edc1": "EDC1 ECC_UE_INT_CAUSE EDC_H_INT_CAUSE+0x800",
    "ecc-uncorrectable-mc0": "MC0 ECC_UE_INT_CAUSE MC_P_INT_CAUSE",
    "ecc-uncorrectable-mc1": "MC1 ECC_UE_INT_CAUSE MC_P_INT_CAUSE+0x8000",
    "firmware-crash": "CIM TIMER0INT CIM_HOST_INT_CAUSE",
    "link-down-port1": "MAC1 MAC_Link_Down MAC_PORT_INT_CAUSE+0x4000",
    "link-flap-port1=200": "MAC1 MAC_Link_Down MAC_PORT_INT_CAUSE+0x4000",
    "link-local-fault-port0": "MAC0 LocalFault+MAC_Link_Down MAC_PORT_INT_CAUSE",
    "link-remote-fault-port3": "MAC3 RemoteFault+MAC_Link_Down MAC_PORT_INT_CAUSE+0xc000",
    "link-high-ber-port2": "MAC2 PCS_Link_Fail+MAC_Link_Down MAC_PORT_INT_CAUSE+0x8000",
    "ma-wrap": "MA MEM_WRAP_INT_CAUSE MA_INT_CAUSE",
    "parity-cim": "CIM IBQTP0PARERR CIM_HOST_INT_CAUSE",
    "parity-cpl-switch": "CPL_SWITCH CIM_OP_MAP_PERR CPL_INTR_CAUSE",
    "parity-edc0": "EDC0 PERR_INT_CAUSE EDC_H_INT_CAUSE",
    "parity-edc1": "EDC1 PERR_INT_CAUSE EDC_H_INT_CAUSE+0x800",
    "parity-hma": "HMA PERR_INT_CAUSE HMA_INT_CAUSE",
    "sge-bar2-size": "SGE bar2_egress_size_err SGE_INT_CAUSE4",
    "sge-tag-mismatch": "SGE fatal_tag_mismatch SGE_INT_CAUSE6",
    "parity-ma": "MA MEM_PERR_INT_CAUSE MA_INT_CAUSE",
    "parity-mac": "MAC1 RXFIFO_PRTY_ERR MAC_PORT_INT_CAUSE+0x4000",
    "parity-mc0": "MC0 PERR_INT_CAUSE MC_P_INT_CAUSE",
    "parity-mc1": "MC1 PERR_INT_CAUSE MC_P_INT_CAUSE+0x8000",
    "parity-mps-cls": "MPS MATCHTCAM MPS_CLS_INT_CAUSE",
    "parity-mps-rx": "MPS PPM0 MPS_RX_PERR_INT_CAUSE",
    "parity-mps-stat": "MPS Rxport MPS_STAT_PERR_INT_CAUSE_SRAM",
    "parity-mps-trc": "MPS MISCPERR MPS_TRC_INT_CAUSE",
    "parity-mps-tx": "MPS Ncsi MPS_TX_INT_CAUSE",
    "parity-ncsi": "NCSI CIM_DM_PRTY_ERR NCSI_INT_CAUSE",
    "parity-pcie": "PCIE MSTGRPPERR PCIE_INT_CAUSE",
    "parity-pl": "PL FATALPERR PL_PL_INT_CAUSE",
    "parity-pm-rx": "PM_RX e_pcmd_par_error PM_RX_INT_CAUSE",
    "parity-pm-tx": "PM_TX c_pcmd_par_error PM_TX_INT_CAUSE",
    "parity-sge": "SGE perr_flm_CreditFifo SGE_INT_CAUSE1",
    "parity-sge-contexts": "SGE perr_egr_ctxt_cache SGE_INT_CAUSE2",
    "parity-sge-payload": "SGE perr_payload_fifo0 SGE_INT_CAUSE5",
    "parity-smb": "SMB MSTTXFIFOPARINT SMB_INT_CAUSE",
    "parity-tp": "TP CmCachePerr TP_INT_CAUSE",
    "parity-ulp-rx": "ULP_RX CAUSE_PCMDF_0 ULP_RX_INT_CAUSE",
    "parity-ulp-tx": "ULP_TX cmd_fifo_perr_set0 ULP_TX_INT_CAUSE",
    "cpl-switch-framing": "CPL_SWITCH TP_FRAMING_ERROR CPL_INTR_CAUSE",
    "le-unknown-command": "LE UnknownCmd LE_DB_INT_CAUSE",
    "ma-timeout": "MA MEM_TO_INT_CAUSE MA_INT_CAUSE",
    "mps-tx-framing": "MPS FRMERR MPS_TX_INT_CAUSE",
    "mps-tx-underflow": "MPS BUBBLE MPS_TX_INT_CAUSE",
    "pl-timeout": "PL Timeout PL_PL_INT_CAUSE",
    "pm-rx-framing": "PM_RX iespi0_Rx_framing_error PM_RX_INT_CAUSE",
    "pm-tx-empty-command": "PM_TX ZERO_C_CMD_ERROR PM_TX_INT_CAUSE",
    "sge-payload-checksum": "SGE ERR_T_RXCRC SGE_INT_CAUSE5",
    "ulp-rx-context": "ULP_RX CAUSE_CTX_0 ULP_RX_INT_CAUSE",
    "ulp-tx-out-of-bounds": "ULP_TX PBL_BOUND_ERR_CH0 ULP_TX_INT_CAUSE",
    "pcie-completion-timeout": "PCIE RdRspErr+NonFatalErr PCIE_INT_CAUSE",
    "pcie-read-error": "PCIE RdRspErr PCIE_INT_CAUSE",
    "sge-bad-cidx": "SGE ERR_INVALID_CIDX_INC SGE_INT_CAUSE3",
    "sge-bad-pidx": "SGE ERR_BAD_DB_PIDX0 SGE_INT_CAUSE3",
    "sge-cpl-too-big": "SGE ERR_CPL_EXCEED_IQE_SIZE SGE_INT_CAUSE3",
    "sge-egress-size": "SGE EGRESS_SIZE_ERR SGE_INT_CAUSE3",
    "sge-ingress-size": "SGE INGRESS_SIZE_ERR SGE_INT_CAUSE3",
    "tp-out-of-pages": "TP FLMTXFLSTEMPTY TP_INT_CAUSE",
}
"""For faults that raise an interrupt: the block's bit of PL_INT_CAUSE, bits, cause register."""
SHOWN: dict[str, dict[str, int]] = {
    "cim-access-timeout": {"CIM_HOST_INT_CAUSE": 1, "CIM_DEBUG_ADDR_TIMEOUT": 0x4000_7E74},
    "cim-illegal-access": {"CIM_HOST_INT_CAUSE": 1, "CIM_DEBUG_ADDR_ILLEGAL": 0x1FFF_FFF0},
    "cim-memory-timeout": {"CIM_HOST_INT_CAUSE": 1},
    "ecc-correctable-edc0": {"EDC_H_ECC_STATUS": 37 << 16},
    "ecc-correctable-edc1": {"EDC_H_ECC_STATUS+0x800": 37 << 16},
    "ecc-correctable-mc0": {"MC_P_ECC_STATUS": 37 << 16},
    "ecc-correctable-mc1": {"MC_P_ECC_STATUS+0x8000": 37 << 16},
    "ecc-uncorrectable-edc0": {"EDC_H_ECC_STATUS": 1},
    "ecc-uncorrectable-edc1": {"EDC_H_ECC_STATUS+0x800": 1},
    "ecc-uncorrectable-mc0": {"MC_P_ECC_STATUS": 1},
    "ecc-uncorrectable-mc1": {"MC_P_ECC_STATUS+0x8000": 1},
    "firmware-crash": {"PCIE_FW": 0xC000_C000},
    "firmware-preparation": {"PCIE_FW": 0x8100_C000},
    "firmware-configuration": {"PCIE_FW": 0x8200_C000},
    "firmware-initialization": {"PCIE_FW": 0x8300_C000},
    "firmware-unexpected": {"PCIE_FW": 0xC400_C000},
    "firmware-overheat": {"PCIE_FW": 0xC500_C000},
    "firmware-shutdown": {"PCIE_FW": 0xC600_C000},
    "firmware-halted": {"PCIE_FW": 0x6000_C000, "CIM_BOOT_CFG": 1},
    "link-down-port1": {"MAC_PORT_LINK_STATUS+0x4000": 0b0001},
    "link-flap-port1=200": {"MAC_PORT_LINK_STATUS+0x4000": 0b0001},
    "link-local-fault-port0": {"MAC_PORT_LINK_STATUS": 0b0101},
    "link-remote-fault-port3": {"MAC_PORT_LINK_STATUS+0xc000": 0b1001},
    "link-high-ber-port2": {
        "MAC_PORT_LINK_STATUS+0x8000": 1,
        "MAC_PORT_MTIP_PCS_BASER_STATUS1+0x8000": 2,
    },
    "ma-wrap": {"MA_INT_WRAP_STATUS": 0x30_2007},
    "parity-ma": {"MA_PARITY_ERROR_STATUS1": 1 << 18},
    "parity-mps-cls": {"MPS_INT_CAUSE": 1 << 1},
    "parity-mps-rx": {"MPS_INT_CAUSE": 1 << 3},
    "parity-mps-stat": {"MPS_INT_CAUSE": 1 << 5},
    "parity-mps-trc": {"MPS_INT_CAUSE": 1 << 2},
    "parity-mps-tx": {"MPS_INT_CAUSE": 1 << 4},
    "mps-tx-framing": {"MPS_INT_CAUSE": 1 << 4},
    "mps-tx-underflow": {"MPS_INT_CAUSE": 1 << 4},
    "rx-drops": {
        "MPS_STAT_RX_BG_0_MAC_DROP_FRAME_L": 0x1000,
        "MPS_STAT_RX_BG_0_MAC_DROP_FRAME_H": 3,
    },
    "rx-length-errors": {"MPS_PORT_STAT_RX_PORT_LEN_ERROR_L+0x4000": 0x12345},
    "rx-symbol-errors": {"MPS_PORT_STAT_RX_PORT_SYM_ERROR_L+0x4000": 0x12345},
    "rx-truncations": {"MPS_STAT_RX_BG_0_MAC_TRUNC_FRAME_L": 0x12345},
    "sge-bad-cidx": {"SGE_ERROR_STATS": 3 << 24 | 21 << 19 | 1 << 17 | 40},
    "sge-bad-pidx": {"SGE_ERROR_STATS": 3 << 24 | 12 << 19 | 1 << 17 | 82},
    "sge-cpl-too-big": {"SGE_ERROR_STATS": 3 << 24 | 22 << 19 | 1 << 17 | 33},
    "sge-egress-size": {"SGE_ERROR_STATS": 3 << 24 | 4 << 19 | 1 << 17 | 0x10123},
    "sge-ingress-size": {"SGE_ERROR_STATS": 3 << 24 | 5 << 19 | 1 << 17 | 0x10123},
    "tp-out-of-pages": {"TP_FLM_FREE_TX_CNT": 0},
    "tp-page-count-wrong": {"TP_FLM_FREE_RX_CNT": 0x1F_FFFF},
}
"""Other registers that the fault changes, with their words."""
DATA = {
    "EDC_H_ECC_ERR_ADDR",
    "EDC_H_ECC_ERR_DATA_RDATA",
    *(f"MC_{kind}_{what}" for kind in ("CE", "UE") for what in ("ADDR", "ERR_DATA_RDATA")),
}
"""Registers whose words follow from the memory."""
REPORTS = [fault.example for fault in emu.faults().values() if fault.reports]


def registers(made: labelled.Labelled) -> memoryview:
    return memoryview(made.dump.raw("REG_DUMP")).cast("I")


def split(place: str) -> tuple[str, int]:
    """Returns the name of a register and the distance of its instance, in bytes."""
    name, _, distance = place.partition("+")
    return name, int(distance or "0", 16)


def offset(chip: Chip, place: str) -> int:
    name, distance = split(place)
    return int(chip.r[name]) + distance


def expected(fault: str, chip: Chip) -> dict[int, int]:
    """Returns the words of the fault's registers, by offset."""
    words = {offset(chip, place): word for place, word in SHOWN.get(fault, {}).items()}
    if fault in CAUSES:
        block, bits, place = CAUSES[fault].split()
        words[chip.r.PL_INT_CAUSE] = chip.r.PL_INT_CAUSE.mask(block)
        words[offset(chip, place)] = chip.r[split(place)[0]].mask(*bits.split("+"))
        if fault.startswith("parity"):
            words[chip.r.PL_PERR_CAUSE] = chip.r.PL_PERR_CAUSE.mask(
                "MAC" if "MAC" in block else block
            )
    return words


def changed(made: labelled.Labelled) -> dict[int, int]:
    """Returns the registers that differ from those of the healthy card, by offset."""
    sound = registers(labelled.healthy(made.card))
    found = enumerate(zip(sound, registers(made), strict=True))
    return {4 * i: word for i, (before, word) in found if word != before}


def entities(made: labelled.Labelled) -> set[str]:
    """Returns the entities whose bytes differ from those of the healthy card; not memories, of
    which each region that the firmware or the SGE keeps there has an entity of its own."""
    sound = labelled.healthy(made.card).dump
    good = [entity.name for entity in sound.entities if entity.good]
    shown = [name for name in good if name[:2] not in ("ED", "MC")]
    return {name for name in shown if made.dump.raw(name) != sound.raw(name)}


@pytest.mark.parametrize("fault", REPORTS)
def test_a_card_that_reports_an_error_is_dumped_like_a_healthy_one(fault: str) -> None:
    """Statuses and accesses are the same, some bytes are not, and these registers differ."""
    made = labelled.labelled(fault)
    sound = labelled.healthy(made.card).made
    ours, theirs = (each.dump.entities for each in (made, sound))
    assert [entity.code for entity in ours] == [entity.code for entity in theirs]
    for one, other in zip(made.made.report.entities, sound.report.entities, strict=True):
        assert one.counts == other.counts, one.name
    assert entities(made)
    if fault in CAUSES or fault in SHOWN:
        chip, words = made.made.card.chip, changed(made)
        edc = {offset for offset in words if (at := chip.r.at(offset)) and at.register.name in DATA}
        assert {at: word for at, word in words.items() if at not in edc} == expected(fault, chip)


def on(card: str, fault: str) -> labelled.Labelled:
    return labelled.labelled(fault, card=card)


@pytest.mark.parametrize(
    ("card", "bit"), [("t520-cr", 1 << 6), ("t62100-cr", 1 << 13)], ids=["T5", "T6"]
)
def test_each_chip_has_its_own_parity_bit_of_the_lookup_engine(card: str, bit: int) -> None:
    made = on(card, "parity-le")
    assert changed(made)[made.made.card.chip.r.LE_DB_INT_CAUSE] == bit


def test_the_fifo_of_doorbells_is_full() -> None:
    t5, t6 = (
        changed(on("t520-cr", "doorbell-fifo-full")),
        changed(on("t62100-cr", "doorbell-fifo-full")),
    )
    assert (t5[0x103C], t5[0x10A4], t5[0x1118]) == (0x180, 0x3FF, 0x3FF)
    assert (t6[0x103C], t6[0x10A4]) == (0x100, 0x3FF << 15)


@pytest.mark.parametrize(("card", "seen"), [("t520-cr", 0), ("t62100-cr", 1 << 7)])
def test_a_high_bit_error_rate_is_in_the_link_status_of_a_t6_only(card: str, seen: int) -> None:
    words = changed(on(card, "link-high-ber-port1"))
    assert words[0x34834] == 1 | seen
    pcs = {"t520-cr": 0x35E80, "t62100-cr": 0x35B80}[card]
    assert words[pcs] == 1 << 1


@pytest.mark.parametrize("port", range(4))
@pytest.mark.parametrize("kind", ["down", "local-fault", "remote-fault", "high-ber"])
def test_each_link_can_be_down(kind: str, port: int) -> None:
    words = changed(labelled.labelled(f"link-{kind}-port{port}"))
    assert words[0x30834 + 0x4000 * port] & 1
    assert words[0x308DC + 0x4000 * port] & 1 << 5
    assert words[0x1940C] == 1 << 9 + port


@pytest.mark.parametrize("memory", ["edc0", "edc1", "mc0", "mc1"])
@pytest.mark.parametrize(("kind", "bits"), [("correctable", 1 << 11), ("uncorrectable", 0x8001)])
def test_a_memory_shows_where_its_error_was(memory: str, kind: str, bits: int) -> None:
    """The kernel reads those of an EDC (t4_edc_err_read()); an MC has a pair for each kind."""
    made = labelled.labelled(f"ecc-{kind}-{memory}")
    of, number = made.made.card.chip.r.instances, int(memory[-1])
    each = "EDC_H_ECC_ERR_" if memory[:3] == "edc" else f"MC_{kind[0].upper()}E_"
    address = of(each + "ADDR")[number]
    data = of(each.removesuffix("ERR_") + "ERR_DATA_RDATA")[number]
    words, corrected = registers(made), memory[:3] == "edc" and kind == "correctable"
    at = words[address // 4] // 4
    line = memoryview(made.dump.raw(memory.upper())).cast("I")[at : at + data.count]
    first = data // 4
    shown = list(words[first : first + data.count])
    assert [shown[0] ^ (0 if corrected else bits), *shown[1:]] == list(line)


@pytest.mark.parametrize("card", ["t520-cr", "t62100-cr"])
@pytest.mark.parametrize("engine", [0, 1])
def test_a_stuck_ingress_dma_shows_time_state_and_queue(card: str, engine: int) -> None:
    """As t4_idma_monitor() reads them; SGE_INDIRECT has the same words behind the index."""
    made = on(card, f"sge-idma{engine}-stuck")
    words, clock = registers(made), made.made.card.profile.card.core_clock
    assert words[(0x12B4, 0x12F4)[engine] // 4] == 5 * 1000 * clock
    assert words[(0x12F4, 0x12B4)[engine] // 4] == 0
    assert words[0x12C0 // 4] >> 9 * engine & 0x3F == {"t520-cr": 9, "t62100-cr": 7}[card]
    queue = words[0x12EC // 4] >> 16 * engine & 0xFFFF
    assert queue in [one.id for one in made.made.card.scenario.queues.ingress]
    assert entities(made) == {"REG_DUMP", "SGE_INDIRECT"}


@pytest.mark.parametrize("card", ["t520-cr", "t62100-cr"])
def test_a_free_list_runs_empty(card: str) -> None:
    made = on(card, "free-list-empty")
    assert entities(made) == {"DUMP_CONTEXT"}
    number = made.made.card.scenario.queues.free_lists[0].id
    rows = {row["queue"]: row for row in made.made.table("DUMP_CONTEXT", "egress")}
    assert rows[number]["PIDX"] == rows[number]["CIDX"]


@pytest.mark.parametrize(
    ("fault", "register", "more"),
    [
        ("rx-crc-errors", "MPS_PORT_STAT_RX_PORT_CRC_ERROR", 0x12345),
        ("tx-drops", "MPS_PORT_STAT_TX_PORT_DROP", 0x3_0000_1000),
    ],
)
def test_frames_that_fail_are_added_to_those_before(fault: str, register: str, more: int) -> None:
    made = labelled.labelled(fault)
    low, high = (made.made.card.chip.r[f"{register}_{half}"][1] // 4 for half in "LH")
    before, after = (
        words[high] << 32 | words[low]
        for words in map(registers, (labelled.healthy(made.card), made))
    )
    assert after - before == more


def test_tp_counts_frames_that_it_drops_by_channel() -> None:
    made = labelled.labelled("tp-drops")
    assert entities(made) == {"TP_INDIRECT"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("pcie-completion-timeout", {0x104: 1 << 14, 0x118: 14, 0x78: 0x0002_2010}),
        ("pcie-correctable", {0x110: 0x1041, 0x78: 0x0001_2010}),
        (
            "pcie-malformed-packet",
            {0x104: 1 << 18, 0x118: 18, 0x78: 0x0004_2010, 0x11C: 0x6000_0001},
        ),
        ("pcie-narrow-link", {0x80: 0x0013_0000}),
        ("pcie-slow-link", {0x80: 0x0081_0000}),
    ],
)
def test_configuration_space_reports_errors_of_the_bus(fault: str, words: dict[int, int]) -> None:
    rows = labelled.labelled(fault).made.table("PCIE_CONFIG")
    config = {row["offset"]: row["value"] for row in rows}
    assert {at: config[at] for at in words} == words


@pytest.mark.parametrize("kind", [name for name in REPORTS if name.startswith("firmware-")])
def test_a_firmware_that_stops_says_why_in_its_log(kind: str) -> None:
    rows = labelled.labelled(kind).made.table("DEV_LOG")
    levels = [row["level"] for row in rows]
    worst = "NOTICE" if kind == "firmware-halted" else "EMERG"
    assert levels[-1] == worst
    assert "EMERG" not in levels[:-1]


def test_the_owner_of_a_taken_mailbox_can_be_seen() -> None:
    made = labelled.labelled("mailbox-taken")
    shadow = made.made.card.chip.r.CIM_PF_MAILBOX_CTRL_SHADOW_COPY
    assert registers(made)[shadow[4] // 4] & 3 == 1


def test_the_trace_of_the_processor_ends_with_its_illegal_read() -> None:
    rows = labelled.labelled("cim-illegal-access").made.table("CIM_PIF_LA", "requests")
    assert rows[-1]["Addr"] == 0x1FFF_FFF0


def test_of_two_queues_in_error_the_first_is_named() -> None:
    words = changed(labelled.labelled("sge-bad-pidx", "sge-egress-size"))
    assert words[0x103C] == 1 << 12 | 1 << 4
    assert words[0x1100] == 3 << 24 | 12 << 19 | 1 << 18 | 1 << 17 | 82


PAIRS = [pair for pair in labelled.pairs() if all(name in REPORTS for name in pair)]


@pytest.mark.parametrize("pair", PAIRS, ids="-and-".join)
def test_two_faults_set_the_causes_of_both(pair: tuple[str, str]) -> None:
    card = labelled.fitting(*pair)[0]
    one, other, both = (causes(card, *faults) for faults in ((pair[0],), (pair[1],), pair))
    assert both == [a | b for a, b in zip(one, other, strict=True)]


@cache
def causes(name: str, *faults: str) -> list[int]:
    """Returns the words of all registers that hold causes."""
    card = labelled.broken(name, *faults)
    return [card.core.bar0.words[offset // 4] for offset in cause_registers(card.chip)]


@cache
def cause_registers(chip: Chip) -> list[int]:
    """Returns their offsets, each instance and element."""
    found = [each for each in chip.r if "CAUSE" in each.name and each.space == "bar0"]
    return [int(each) + each.stride * i for each in found for i in range(each.count)]


def test_the_bus_keeps_the_first_of_two_errors() -> None:
    faults = ("pcie-malformed-packet", "pcie-completion-timeout")
    rows = labelled.labelled(*faults).made.table("PCIE_CONFIG")
    config = {row["offset"]: row["value"] for row in rows}
    assert (config[0x104], config[0x118]) == (1 << 18 | 1 << 14, 18)
    assert config[0x78] >> 16 == 1 << 2 | 1 << 1


@pytest.mark.parametrize("fault", ["parity-hma", "sge-tag-mismatch"])
def test_a_cause_that_a_chip_lacks_is_refused(fault: str) -> None:
    assert labelled.fitting(fault) == ("t62100-cr",)


def test_every_pair_of_the_labelled_dumps_fits_a_card() -> None:
    named = {name for pair in labelled.pairs() for name in pair}
    assert named == {name for (name,) in labelled.singles()}
    assert len(labelled.pairs()) >= len(labelled.singles())
    assert all(labelled.fitting(*pair) for pair in labelled.pairs())


@pytest.mark.interop
def test_causes_are_where_linux_has_them(t4_regs: Header) -> None:
    wrong = []
    for fault in CAUSES:
        _, bits, place = CAUSES[fault].split()
        name, _ = split(place)
        chip = T5
        if name in t4_regs.registers:
            wrong += [
                f"{name} {bit}"
                for bit in bits.split("+")
                if (macro := t4_regs.fields.get(bit))
                and chip.r[name].field(bit).shift != macro.shift
            ]
            assert int(chip.r[name]) % 0x4000 == t4_regs.registers[name] % 0x4000
    assert wrong == []


@pytest.fixture(scope="module")
def t4_regs() -> Header:
    return header(kernel_source() / DRIVER / "t4_regs.h")
