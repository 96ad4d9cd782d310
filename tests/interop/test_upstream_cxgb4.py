"""Defects of Linux's cxgb4 driver, shown by its own code: docs/upstream/cxgb4.md tells them.

The code of Debian's 6.1 runs in this process; with VMCOREDD_THOROUGH=1 also that of 6.12, and the
functions of the newest kernel are compared with those of 6.12. What needs a whole kernel is in
test_upstream_guest.py.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from findings import stands
from kernel_headers import DRIVER, text

from tests.interop.kernel_driver import dump
from tests.interop.kernel_driver.build import build
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness, Oops, Options
from tests.interop.kernel_driver.source import cache, kernel_source
from vmcoredd import emu
from vmcoredd.chip import T6
from vmcoredd.emu.silicon.pl import Pl

pytestmark = pytest.mark.interop

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
KERNELS = ("6.1", "6.12") if THOROUGH else ("6.1",)
CARDS = ("t520-cr", "t62100-cr")
PATCH = next((Path(__file__).resolve().parents[2] / "docs/upstream").glob("0001-*.patch"))
MC1, MA_INDIRECT, HMA_INDIRECT, HMA = 21, 61, 67, 68
CIM_MA_LA, CIM_QCFG, DUMP_CONTEXT, MPS_TCAM, SGE_INDIRECT, ULPTX_LA = 4, 5, 56, 57, 37, 62
"""Numbers of entities (cudbg_if.h)."""


class Linux(NamedTuple):
    """The driver of one kernel, built for user space, and the kernel's version."""

    library: Path
    version: str


@pytest.fixture(scope="module", params=KERNELS)
def linux(request: pytest.FixtureRequest, progress: Any) -> Linux:
    source = kernel_source(request.param, progress)
    return Linux(build(source, cache(), progress), version_of(source))


def version_of(source: Path) -> str:
    """Returns a kernel source's version, such as `Linux 6.1.176`."""
    numbers = re.findall(r"(?m)^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)", text(source / "Makefile"))
    return f"Linux {'.'.join(numbers)}"


class Up(NamedTuple):
    """A fresh card whose driver runs, its first interface up."""

    card: emu.Card
    driver: Harness

    def told(self, *faults: str) -> str:
        """What the driver says at the interrupt that faults of the card raise."""
        before = len(self.driver.log)
        for fault in faults:
            self.card.fail(fault)
        self.driver.interrupt()
        return self.driver.log[before:]


@contextmanager
def running(linux: Linux, name: str, **options: bool) -> Iterator[Up]:
    """All blocks of the card may interrupt."""
    card = emu.Card.load(name, 1, scene="fresh")
    card.write(card.chip.r.PL_INT_ENABLE, 0xFFFFFFFF)
    with Harness(linux.library, emulated(card), Options(**options)) as driver:
        assert driver.bring_up() == 0
        assert driver.interface_up(0) == 0
        yield Up(card, driver)


# Oopses


@pytest.mark.parametrize("name", CARDS)
def test_the_collector_of_a_crash_kernel_reads_a_net_device_that_is_not_there(
    linux: Linux, name: str
) -> None:
    card = emu.Card.load(name, 1, memory={"mc0": 1})
    with Harness(linux.library, emulated(card), Options(port_without_device=True)) as driver:
        driver.probe()
        with (
            stands("cxgb4-oops", linux.version),
            pytest.raises(Oops, match=rf"address 0x\w+, entity {SGE_INDIRECT}\b"),
        ):
            driver.collect()


@pytest.mark.skipif(not THOROUGH, reason="builds the driver once more: VMCOREDD_THOROUGH=1")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", CARDS)
def test_with_our_patch_the_dump_is_complete(
    kernel: str, name: str, tmp_path: Path, progress: Any
) -> None:
    source = patched(kernel_source(kernel, progress), tmp_path)
    card = emu.Card.load(name, 1, memory={"mc0": 1})
    library = build(source, cache(), progress)
    with Harness(library, emulated(card), Options(port_without_device=True)) as driver:
        driver.probe()
        found = dump.read(driver.collect()).entities
    lacking = {MA_INDIRECT, HMA_INDIRECT} if card.chip is not T6 else set()
    assert {number for number, entity in found.items() if not entity.good} == lacking | {MC1, HMA}


def patched(source: Path, folder: Path) -> Path:
    """Returns a kernel source with our patch: links to `source`, and a copy of the driver."""
    shutil.copytree(source / DRIVER.parent, folder / DRIVER.parent)
    (folder / "drivers/pci").symlink_to(source / "drivers/pci")
    for path in source.iterdir():
        if path.name != "drivers":
            (folder / path.name).symlink_to(path)
    subprocess.run(["git", "apply", PATCH], cwd=folder, check=True)
    return folder


def test_a_table_of_addresses_that_was_not_made_is_read(linux: Linux) -> None:
    with running(linux, "t62100-cr") as up:
        assert up.driver.read_clip_table() == 0
    with running(linux, "t520-cr") as up:
        assert "CLIP not enabled in hardware" in up.driver.log
        with (
            stands("cxgb4-clip-table", linux.version),
            pytest.raises(Oops, match="Segmentation fault at address 0x4,"),
        ):
            up.driver.read_clip_table()


# The function's reset


@pytest.mark.parametrize("name", CARDS)
def test_after_a_reset_two_handlers_want_the_first_interrupt(linux: Linux, name: str) -> None:
    with running(linux, name) as up:
        assert "request_irq failed" not in up.driver.log
        up.driver.reset()
        with stands("cxgb4-reset", linux.version):
            assert "request_irq failed, err -16" in up.driver.log
            assert up.driver.interface_up(0) == -16


# Interrupts


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize(
    "fault", ["ecc-uncorrectable-edc{}", "ecc-correctable-edc{}", "parity-edc{}"]
)
@pytest.mark.parametrize("number", [0, 1])
def test_errors_of_edc_are_looked_for_where_a_t4_has_them(
    linux: Linux, name: str, fault: str, number: int
) -> None:
    with running(linux, name, tracing=True) as up:
        before = len(up.driver.trace)
        said = up.told(fault.format(number))
        reads = {access.offset for access in up.driver.trace[before:] if not access.is_write}
        cause = up.card.chip.r.instances("EDC_H_INT_CAUSE")[number]
        with stands("cxgb4-edc-errors", linux.version):
            assert said == ""
            assert cause not in reads
            assert up.card.read(cause) != 0


@pytest.mark.parametrize("name", CARDS)
def test_the_same_errors_of_mc_are_told(linux: Linux, name: str) -> None:
    with running(linux, name) as up:
        assert "MC/MC0 uncorrectable ECC data error" in up.told("ecc-uncorrectable-mc0")


UNSEEN = {
    "parity-ncsi": ("t62100-cr", "NC-SI CIM parity error"),
    "parity-smb": ("t62100-cr", "SMB master Tx FIFO parity error"),
    "parity-mac": ("t62100-cr", "XGMAC 1 Rx FIFO parity error"),
    "ecc-uncorrectable-mc1": ("t580-mc1", "MC1 uncorrectable ECC data error"),
}
"""A fault, a card that can have it, and what the driver's handler of that block says."""


@pytest.mark.parametrize("fault", UNSEEN)
def test_some_blocks_are_heard_only_beside_another(linux: Linux, fault: str) -> None:
    name, message = UNSEEN[fault]
    with running(linux, name) as up:
        with stands("cxgb4-unheard-blocks", linux.version):
            assert up.told(fault) == ""
        assert message in up.told("parity-le")


def test_a_macs_cause_is_cleared_where_a_t4_has_it(linux: Linux) -> None:
    with running(linux, "t62100-cr", tracing=True) as up:
        assert "XGMAC 1 Rx FIFO parity error" in up.told("parity-mac", "parity-le")
        cause = up.card.chip.r.MAC_PORT_INT_CAUSE[1]
        with stands("cxgb4-unheard-blocks", linux.version):
            assert cause not in {a.offset for a in up.driver.trace if a.is_write}
            assert up.card.read(cause) != 0


def test_a_time_out_of_the_memory_arbiter_stops_the_card_without_a_reason(linux: Linux) -> None:
    with running(linux, "t62100-cr") as up, stands("cxgb4-unheard-blocks", linux.version):
        assert up.told("ma-timeout") == "encountered fatal error, adapter stopped\n"


def test_a_fatal_error_of_a_t6_is_taken_for_a_full_fifo(linux: Linux) -> None:
    with running(linux, "t62100-cr") as up:
        r, spaces = up.card.chip.r, up.card.model(Pl).spaces
        assert up.card.chip is T6
        spaces.set_bits(r.SGE_INT_CAUSE3, "fatal_wre_len")
        spaces.set_bits(r.PL_INT_CAUSE, "SGE")
        with stands("cxgb4-t6-wre-len", linux.version):
            assert up.told() == ""
            assert up.card.read(r.SGE_INT_CAUSE3) == 0


# RSS


@pytest.mark.parametrize("name", CARDS)
def test_each_32_entries_of_the_rss_table_shift_the_next_by_one(linux: Linux, name: str) -> None:
    queues = list(range(64, 64 + 128))
    with running(linux, name) as up:
        assert up.driver.configure_rss(0, queues) == 0
        table = rss_table(up.card, len(queues))
    with stands("cxgb4-rss-table", linux.version):
        assert table == [queues[(entry + entry // 32) % 128] for entry in range(128)]
        assert table != queues


def rss_table(card: emu.Card, entries: int) -> list[int]:
    """Returns the first entries of the table, read as the driver does."""
    register = card.chip.r.TP_RSS_LKP_TABLE
    table: list[int] = []
    for row in range(entries // 2):
        card.write(register, 0xFFF00000 | row)
        word = card.read(register)
        table += [register.get(word, "LkpTblQueue0"), register.get(word, "LkpTblQueue1")]
    return table


# The dump


class Collected(NamedTuple):
    """A dump of a crashed card, by the driver, and its reads by entity."""

    card: emu.Card
    raw: dict[int, bytes]
    reads: dict[int, list[int]]


@pytest.fixture(scope="module", params=CARDS)
def collected(linux: Linux, request: pytest.FixtureRequest) -> Collected:
    card = emu.Card.load(request.param, 1, memory={"mc0": 1})
    with Harness(linux.library, emulated(card), Options(tracing=True)) as driver:
        driver.probe()
        found = dump.read(driver.collect())
        reads: dict[int, list[int]] = {}
        for access in driver.trace:
            if access.bar == 0 and not access.is_write:
                reads.setdefault(access.entity, []).append(access.offset)
    return Collected(card, {n: entity.raw for n, entity in found.entities.items()}, reads)


def words(raw: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4])


def test_requests_of_the_memory_analyser_overwrite_responses(
    linux: Linux, collected: Collected
) -> None:
    found = words(collected.raw[CIM_MA_LA])
    requests, responses = found[:320], found[320:]
    assert len(responses) == len(requests)
    with stands("cxgb4-dump", linux.version):
        assert set(responses[80:]) == {0}  # of 320, the last 80 are there


def test_the_state_of_two_queues_is_read_from_no_queue(linux: Linux, collected: Collected) -> None:
    """SGE0-RX and SGE1-RX: queues 12 and 13, four words each at the end of the entity."""
    r = collected.card.chip.r
    state = words(collected.raw[CIM_QCFG][-4 * 4 * 14 :])
    assert r.UP_IBQ_0_SHADOW_RDADDR != r.UP_IBQ_0_RDADDR
    with stands("cxgb4-dump", linux.version):
        assert state[48:] == (0,) * 8
        assert any(state[:48])


def test_a_t6_replication_map_is_read_at_a_t5s_place(linux: Linux, collected: Collected) -> None:
    r = collected.card.chip.r
    right = {int(r[f"MPS_VF_RPLCT_MAP{number}"]) for number in range(4)}
    read = {offset for offset in collected.reads[MPS_TCAM] if 0x11100 <= offset < 0x11200}
    if collected.card.chip is not T6:
        assert read == right
        return
    with stands("cxgb4-dump", linux.version):
        assert read
        assert right - read == {int(r.MPS_VF_RPLCT_MAP0), int(r.MPS_VF_RPLCT_MAP1)}


def test_a_register_of_another_block_is_read_as_a_debug_word(
    linux: Linux, collected: Collected
) -> None:
    reads = collected.reads[ULPTX_LA]
    with stands("cxgb4-dump", linux.version):
        assert reads.count(collected.card.chip.r.PM_RX_CFG) == 128


def test_the_compressor_works_in_the_last_bytes_of_what_it_compresses(linux: Linux) -> None:
    """An entity of almost 4 MiB, most of it zeros: contexts, with their regions so large."""
    raw = [contexts(linux, compress) for compress in (False, True)]
    assert len(raw[0]) == len(raw[1]) == 4_179_968
    workspace = (4 << 20) - 30_536
    assert raw[0][:workspace] == raw[1][:workspace]
    assert not any(raw[0][workspace:])
    with stands("cxgb4-dump", linux.version):
        assert any(raw[1][workspace:])


def contexts(linux: Linux, compress: bool) -> bytes:
    """Returns DUMP_CONTEXT of a card whose regions of contexts together have 3,110,400 bytes."""
    card = emu.Card.load("t62100-cr", 1, memory={"mc0": 32})
    r, spaces = card.chip.r, card.model(Pl).spaces
    end, size = card.read(r.TP_PMM_RX_BASE), 3_110_400
    spaces.set(r.SGE_DBQ_CTXT_BADDR, end - size)
    spaces.set(r.SGE_IMSG_CTXT_BADDR, end - size // 2)
    with Harness(linux.library, emulated(card)) as driver:
        driver.probe()
        return dump.read(driver.collect(compress=compress)).entities[DUMP_CONTEXT].raw


# Other versions

FUNCTIONS = {
    "cxgb4-oops": {"cudbg_lib.c": "cudbg_collect_sge_indirect"},
    "cxgb4-clip-table": {"clip_tbl.c": "clip_tbl_show"},
    "cxgb4-reset": {
        "cxgb4_main.c": "eeh_reset_prepare eeh_reset_done setup_fw_sge_queues cxgb_up",
    },
    "cxgb4-edc-errors": {"t4_hw.c": "mem_intr_handler"},
    "cxgb4-unheard-blocks": {"t4_hw.c": "t4_slow_intr_handler xgmac_intr_handler ma_intr_handler"},
    "cxgb4-t6-wre-len": {"t4_hw.c": "sge_intr_handler"},
    "cxgb4-rss-table": {"t4_hw.c": "t4_config_rss_range"},
    "cxgb4-hash-type": {"sge.c": "t4_ethrx_handler do_gro"},
    "cxgb4-filter-queue": {"cxgb4_ethtool.c": "cxgb4_fill_filter_rule cxgb4_ntuple_get_filter"},
    "cxgb4-interrupt-names": {"cxgb4_main.c": "setup_non_data_intr setup_fw_sge_queues"},
    "cxgb4-dump": {
        "cudbg_lib.c": "cudbg_collect_cim_ma_la cudbg_collect_cim_qcfg cudbg_mps_rpl_backdoor "
        "cudbg_collect_ulptx_la",
        "cxgb4_cudbg.c": "cudbg_alloc_compress_buff",
    },
}
"""Of each finding the functions that it is in, by file."""
RENAMED = {r"cnt > 1 \? \"s\" : \"\"": "str_plural(cnt)"}
"""What newer kernels write in another way."""


@pytest.mark.skipif(not THOROUGH, reason="unpacks three kernels: VMCOREDD_THOROUGH=1")
@pytest.mark.parametrize("finding", FUNCTIONS)
@pytest.mark.parametrize("kernel", ["6.12", "newest"])
def test_the_functions_of_a_finding_are_those_of_6_1(
    finding: str, kernel: str, progress: Any
) -> None:
    old, new = (kernel_source(name, progress) / DRIVER for name in ("6.1", kernel))
    with stands(finding, version_of(kernel_source(kernel))):
        for file, names in FUNCTIONS[finding].items():
            for name in names.split():
                assert function(new / file, name) == function(old / file, name)


def function(path: Path, name: str) -> str:
    """Returns the text of a C function, with single spaces."""
    found = re.search(rf"(?ms)^[^\n#;]*\b{name}\([^;{{]*\)\s*\{{.*?^\}}", text(path))
    assert found, f"{path} has no {name}()"
    code = " ".join(found[0].split())
    for old, new in RENAMED.items():
        code = re.sub(old, new, code)
    return code
