"""Compares the blocks of the chip with the numbers, tables and names of Linux's driver."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from chip_facts import CHIPS
from kernel_headers import DRIVER, enum, enum_of, header, strings, text

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd.chip import T5, T6, Chip, cim, flash, le, memory, pci, sge, tp, vpd
from vmcoredd.chip.messages import Cpl, WorkRequest

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def driver() -> Path:
    return kernel_source() / DRIVER


@pytest.fixture(scope="module")
def hw(driver) -> dict[str, int]:
    """The sizes of t4_hw.h."""
    path = driver / "t4_hw.h"
    return {
        **enum_of(path, "RSS_NENTRIES"),
        **enum_of(path, "CIM_NUM_IBQ"),
        **enum_of(path, "SGE_CTXT_SIZE"),
    }


@pytest.fixture(scope="module")
def entity(driver) -> dict[str, int]:
    """The numbers of cudbg_entity.h."""
    return header(driver / "cudbg_entity.h").numbers


def arch(driver: Path, chip: Chip) -> dict[str, str]:
    """Returns the values that t4_prep_adapter() sets for a chip: `arch.name = expression`."""
    code = text(driver / "t4_hw.c")
    case = re.search(
        rf"case CHELSIO_{chip.name.upper()}:\s*adapter->params.chip(.*?)break;", code, re.S
    )
    assert case
    return dict(re.findall(r"params\.arch\.(\w+)\s*=\s*(\w+)", case[1]))


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_table_sizes_are_those_the_driver_sets(driver, hw, chip) -> None:
    said = arch(driver, chip)
    known = {**hw, **header(driver / "t4_regs.h").numbers}

    def number(name: str) -> int:
        return known[said[name]] if said[name] in known else int(said[name])

    assert number("mps_tcam_size") == chip.mps.tcam_entries
    assert number("mps_rplc_size") == chip.mps.replication_vfs
    assert number("nchan") == chip.tp.channels
    assert number("pm_stats_cnt") == chip.memory.pm_stats
    assert number("vfcount") == chip.tp.rss_vfs
    assert ("DBPRIO_F" in said["sge_fl_db"]) is chip.sge.doorbell_priority
    assert hw["T6_RSS_NENTRIES" if chip is T6 else "RSS_NENTRIES"] == 2 * chip.tp.rss_rows


def test_sizes_of_tables_are_those_of_t4_hw(hw) -> None:
    assert (hw["NMTUS"], hw["NCCTRL_WIN"], hw["NTX_SCHED"]) == (
        tp.MTUS,
        tp.CONGESTION_WINDOWS,
        tp.SCHEDULERS,
    )
    assert (hw["TPLA_SIZE"], hw["ULPRX_LA_SIZE"]) == (tp.LA_ENTRIES, tp.ULPRX_TRACE_WORDS)
    assert (hw["CIM_NUM_IBQ"], hw["CIM_NUM_OBQ_T5"]) == (len(cim.INBOUND), len(cim.OUTBOUND))
    assert 4 * hw["CIM_IBQ_SIZE"] == cim.INBOUND_WORDS
    assert (hw["CIM_PIFLA_SIZE"], hw["CIM_MALA_SIZE"]) == (cim.PIF_LA_ENTRIES, cim.MA_LA_ENTRIES)
    assert hw["CIMLA_SIZE"] == cim.LA_READS
    assert T5.cim.la_words == hw["CIMLA_SIZE"] // 8 * 8
    assert T6.cim.la_words == (hw["CIMLA_SIZE"] // 10 + 1) * 10
    assert hw["SGE_CTXT_SIZE"] == sge.CONTEXT_BYTES


def test_cim_queues_have_the_names_of_debugfs(driver) -> None:
    names = strings(driver / "cxgb4_debugfs.c", "qname")
    assert [queue.name for queue in (*cim.INBOUND, *cim.OUTBOUND)] == names


def test_pbt_tables_are_those_of_cudbg_entity(entity) -> None:
    found = {table.name: (table.address, table.words) for table in cim.PBT_TABLES}
    dynamic = entity["CUDBG_PBT_DYNAMIC_ENTRIES"]
    assert found == {
        "pbt_dynamic": (entity["CUDBG_CHAC_PBT_ADDR"], dynamic),
        "pbt_static": (
            entity["CUDBG_CHAC_PBT_ADDR"] + (1 << 6),
            entity["CUDBG_PBT_STATIC_ENTRIES"],
        ),
        "lrf_table": (entity["CUDBG_CHAC_PBT_LRF"], entity["CUDBG_LRF_ENTRIES"]),
        "pbt_data": (entity["CUDBG_CHAC_PBT_DATA"], entity["CUDBG_PBT_DATA_ENTRIES"]),
    }


def test_regions_have_the_names_and_order_of_cudbg_entity(driver) -> None:
    names = strings(driver / "cudbg_entity.h", "cudbg_region")
    assert [f"{region.name}:" for region in memory.REGIONS] == names


def test_regions_are_read_from_the_registers_of_cudbg_lib(driver) -> None:
    code = text(driver / "cudbg_lib.c")
    body = re.search(r"int cudbg_fill_meminfo\(.*?\n\}", code, re.S)
    assert body
    macros = set(re.findall(r"\b([A-Z]\w+)_A\b", body[0]))
    for pair in re.findall(r"ulp_region\((\w+)\);", body[0]):
        macros |= {f"ULP_{pair}_LLIMIT", f"ULP_{pair}_ULIMIT"}
    for region in memory.REGIONS:
        named = {region.base, region.limit, region.page_size, region.max_page} - {""}
        assert named <= macros, region.name


def test_memories_have_the_numbers_of_the_driver(driver) -> None:
    entity = header(driver / "cudbg_entity.h").numbers
    for chip in CHIPS:
        for each in chip.memory.types:
            assert entity[f"{each.name}_FLAG"] == each.meminfo_index
    numbers = enum_of(driver / "cxgb4.h", "MEM_EDC0")
    for each in (memory.EDC0, memory.EDC1, memory.MC, memory.MC1, memory.HMA):
        assert numbers[f"MEM_{each.name}"] == each.number
    debugfs = strings(driver / "cxgb4_debugfs.c", "memory")
    assert [f"{name}:" for name in memory.MEMINFO_NAMES] == debugfs


def test_the_memory_window_is_that_of_the_driver(driver) -> None:
    said = enum_of(driver / "cxgb4.h", "MEMWIN0_APERTURE")
    assert (said["MEMWIN0_BASE"], said["MEMWIN0_APERTURE"]) == (
        memory.MEMWIN0.base,
        memory.MEMWIN0.aperture,
    )
    word = T6.r.PCIE_MEM_ACCESS_BASE_WIN.reset
    window = T6.r.PCIE_MEM_ACCESS_BASE_WIN
    assert window.get(word, "PCIEOfst") << memory.WINDOW_BASE_SHIFT == memory.MEMWIN0.base
    assert 1 << window.get(word, "Window") + memory.WINDOW_BASE_SHIFT == memory.MEMWIN0.aperture


def test_lookup_engine_sizes_are_those_of_cudbg_entity(driver, entity) -> None:
    assert entity["CUDBG_MAX_TCAM_TID"] == T5.le.tcam_tids
    assert entity["CUDBG_MAX_TID_COMP_DIS"] == T6.le.tcam_tids
    assert entity["CUDBG_MAX_TID_COMP_EN"] == T6.le.tcam_tids_compressed
    assert entity["CUDBG_T6_CLIP"] == T6.le.clip_tids
    regs = header(driver / "t4_regs.h")
    assert regs.numbers["NUM_LE_DB_DBGI_REQ_DATA_INSTANCES"] == le.REQUEST_WORDS
    assert regs.numbers["NUM_LE_DB_DBGI_RSP_DATA_INSTANCES"] == le.RESPONSE_WORDS
    assert regs.fields["ASLIPCOMPEN"].shift == T6.le.compression
    assert regs.fields["HASHEN"].shift == 20
    size = regs.fields["HASHTIDSIZE"]
    assert (size.shift, size.width) == (T5.le.hash_tids_shift, T5.le.hash_tids_mask.bit_length())
    types = enum(driver / "cudbg_entity.h", "cudbg_le_entry_types")
    assert {f"LE_ET_{each.name}": each.value for each in le.LeEntryType} == types


def test_the_clock_registers_are_those_of_cudbg_lib_in_its_order(driver) -> None:
    code = text(driver / "cudbg_lib.c")
    body = re.search(r"int cudbg_collect_clk_info\(.*?\n\}", code, re.S)
    assert body
    assert tuple(re.findall(r"\b(TP_\w+)_A\b", body[0])) == tp.CLOCK_REGISTERS


def test_ulptx_reads_the_registers_of_cudbg_lib_in_its_order(driver, entity) -> None:
    code = text(driver / "cudbg_lib.c")
    body = re.search(r"int cudbg_collect_ulptx_la\(.*?\n\}", code, re.S)
    assert body
    names = [
        *dict.fromkeys(re.findall(r"\b(ULP_TX_ASIC_\w+)_A\b", body[0])),
        *re.findall(r"\bPM_RX_BASE_ADDR\b", body[0]),
    ]
    oddity = header(driver / "t4_regs.h").numbers[names[-1]]
    assert names[:-1] == list(tp.ULPTX_ASIC_REGISTERS[:-1])
    assert int(T6.r[tp.ULPTX_ASIC_REGISTERS[-1]]) == oddity
    assert (entity["CUDBG_NUM_ULPTX"], entity["CUDBG_NUM_ULPTX_READ"]) == (
        tp.ULPTX_INSTANCES,
        tp.ULPTX_READS,
    )
    assert entity["CUDBG_NUM_ULPTX_ASIC_READ"] == tp.ULPTX_ASIC_READS


def test_the_flash_is_laid_out_as_in_t4_hw(driver) -> None:
    sectors = enum_of(driver / "t4_hw.h", "FLASH_EXP_ROM_START_SEC")
    for part in flash.LAYOUT:
        assert sectors[f"FLASH_{part.name}_START_SEC"] * flash.SECTOR_BYTES == part.start
        assert sectors[f"FLASH_{part.name}_NSECS"] * flash.SECTOR_BYTES == part.size


def test_flash_sizes_are_those_the_driver_decodes(driver) -> None:
    code = text(driver / "t4_hw.c")
    body = re.search(r"static int t4_get_flash_params\(.*?\n\}", code, re.S)
    assert body
    makers = re.split(r"\n\tcase (0x\w+): \{", body[0])
    for maker, decoding in zip(makers[1::2], makers[2::2], strict=True):
        for density, size in re.findall(r"case (0x\w+):\s*size = 1 << (\d+);", decoding):
            part = int(density, 16) << 16 | int(maker, 16)
            assert flash.flash_bytes(part) == 1 << int(size), hex(part)


def test_vpd_numbers_are_those_of_t4_hw(driver, hw, entity) -> None:
    said = header(driver / "t4_hw.c").numbers
    assert (said["VPD_BASE"], said["VPD_LEN"]) == (vpd.BASE, vpd.READ_BYTES)
    assert hw["EEPROMSIZE"] == vpd.EEPROM_BYTES
    assert hw["EEPROMPFSIZE"] == vpd.FUNCTION_BYTES
    assert entity["CUDBG_VPD_VER_ADDR"] == vpd.VERSION_ADDRESS
    assert entity["CUDBG_VPD_VER_LEN"] == vpd.VERSION_BYTES
    lengths = enum_of(driver / "cxgb4.h", "SERNUM_LEN")
    assert (lengths["SERNUM_LEN"], lengths["PN_LEN"], lengths["MACADDR_LEN"]) == (
        vpd.SN_BYTES,
        vpd.PN_BYTES,
        vpd.NA_BYTES,
    )
    assert lengths["ID_LEN"] == vpd.ID_BYTES


def test_products_are_in_the_drivers_table(driver) -> None:
    table = {
        int(product, 16): name.strip()
        for product, name in re.findall(
            r"FENTRY\((0x[56]\w+)\),[ \t]*(?:/\*(.*?)\*/)?",
            (driver / "t4_pci_id_tbl.h").read_text(),
        )
    }
    for product, name in pci.PRODUCTS.items():
        assert table[product].lower() in (name.lower(), "")


def test_the_configuration_dump_has_the_words_of_cudbg_entity(entity) -> None:
    assert entity["CUDBG_NUM_PCIE_CONFIG_REGS"] == pci.CONFIG_DUMP_WORDS


def test_the_replication_maps_read_without_the_firmware_are_the_drivers(driver) -> None:
    code = text(driver / "cudbg_lib.c")
    body = re.search(r"static void cudbg_mps_rpl_backdoor\(.*?\n\}", code, re.S)
    assert body
    addresses = header(driver / "t4_regs.h").registers
    t5_high, t6_high = re.split(r"\} else \{", body[0].split("mps_rplc->rplc127_96")[0])
    low = "mps_rplc" + body[0].split("mps_rplc->rplc127_96")[1]
    for chip, high in ((T5, t5_high), (T6, t6_high)):
        macros = re.findall(r"\b(MPS_VF_RPLCT_MAP\d)_A\b", high + low)
        ours = [int(chip.r[name]) for name in chip.mps.replication_reads]
        assert ours == [addresses[macro] for macro in macros]


def test_work_requests_and_cpls_have_the_kernels_numbers(driver: Path) -> None:
    requests = {f"FW_{each.name}_WR": int(each) for each in WorkRequest}
    assert requests.items() <= enum(driver / "t4fw_api.h", "fw_wr_opcodes").items()
    cpls = {f"CPL_{each.name}": int(each) for each in Cpl}
    theirs = enum_of(driver / "t4_msg.h", "CPL_PASS_OPEN_REQ")
    assert cpls == {name: number for name, number in theirs.items() if name != "NUM_CPL_CMDS"}
