"""The generated files are up to date, and C accepts the header."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import cffi
import pytest
from kernel_headers import DRIVER, header

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd.chip import T6, generate

HEADER = generate.ROOT / "chip" / "chip.h"
MESSAGES = generate.ROOT / "chip" / "messages.h"


@pytest.mark.parametrize("path", generate.GENERATED, ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path) -> None:
    assert path.read_text() == generate.GENERATED[path](), "run python -m vmcoredd.chip.generate"


def test_check_lists_stale_files_and_writes_nothing(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "chip.h"
    path.write_text("old")
    monkeypatch.setattr(generate, "GENERATED", {path: generate.header})
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == 1
    assert path.read_text() == "old"
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().out == "stale: chip.h\nwritten: chip.h\n"


def test_the_command_refuses_other_arguments(capsys) -> None:
    assert generate.main(["--all"]) == 2
    assert "usage: python -m vmcoredd.chip.generate [--check]" in capsys.readouterr().err


def test_the_headers_define_no_name_twice() -> None:
    names = Counter(re.findall(r"#define (\w+)", HEADER.read_text() + MESSAGES.read_text()))
    assert [name for name, count in names.items() if count > 1] == []


def test_cffi_takes_the_header_and_its_numbers_are_ours() -> None:
    ffi = cffi.FFI()
    ffi.cdef(HEADER.read_text())
    lib = ffi.dlopen(None)
    assert int(T6.r.SF_OP) == lib.SF_OP
    assert T6.r.SF_OP.mask("Busy") == lib.SF_OP_BUSY
    assert T6.r.PCIE_CFG_SPACE_REQ.mask("Enable") == lib.T6_PCIE_CFG_SPACE_REQ_ENABLE


@pytest.mark.interop
def test_a_compiler_finds_the_header_equal_to_t4_regs(tmp_path: Path) -> None:
    regs = kernel_source() / DRIVER / "t4_regs.h"
    named = set(re.findall(r"#define (\w+) 0x", HEADER.read_text()))
    both = [name for name, at in header(regs).registers.items() if name in named and at > 0xFFF]
    checks = "\n".join(f"_Static_assert({name} == {name}_A, {name!r});" for name in both)
    source = tmp_path / "equal.c"
    source.write_text(f'#include "{HEADER}"\n#include "{regs}"\n' + checks.replace("'", '"'))
    subprocess.run(["cc", "-std=c11", "-fsyntax-only", str(source)], check=True)
    assert len(both) > 50


def test_the_page_of_differences_lists_blocks_and_registers_of_t6_only() -> None:
    page = generate.differences_page()
    assert "| `rss_rows`: Rows of TP_RSS_LKP_TABLE, two queues each | 1024 | 2048 |" in page
    assert "EDC0, EDC1, MC0, MC1 | EDC0, EDC1, MC, HMA" in page
    assert "| indirect: ma | - | 103 words in 5 records |" in page
    only_t6 = page.split("## Registers that Linux names and only T6 has")[1].split("\n## ")[0]
    assert "| LE_DB_CLCAM_TID_BASE | 0x19df4 | le |" in only_t6
    assert "LE_DB_CLIP_TABLE_INDEX" not in only_t6


def test_a_register_of_one_chip_at_offset_0_is_not_passed_over() -> None:
    first = next(each for each in T6.r if not int(each))
    assert generate.either(None, first) is first
    assert generate.either(first, None) is first
