"""The screens of `show` on a terminal: pager, colour, folding; and no escapes from a dump."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest
from cliruns import PATIENCE, Run
from labelled import labelled

from vmcoredd import cudbg, vmcore
from vmcoredd.chip import T6
from vmcoredd.cli.folding import folded

PAGER = 'printf "PAGED\\n"; cat'
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def on_terminal(
    arguments: Sequence[object], columns: int = 80, lines: int = 24, **environment: str
) -> tuple[int, str]:
    """Runs the command on a terminal; returns its exit code and what it printed there."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    unset = {"COLUMNS", "LINES", "NO_COLOR", "PAGER", "LESS"}
    base = {key: value for key, value in os.environ.items() if key not in unset}
    process = subprocess.Popen(
        [sys.executable, "-m", "vmcoredd", *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=base | {"TERM": "xterm"} | environment,
    )
    os.close(slave)
    found = b""
    while select.select([master], [], [], PATIENCE)[0]:
        try:
            found += os.read(master, 1 << 16)
        except OSError:  # EIO: the last process closed it
            break
    os.close(master)
    return process.wait(PATIENCE), found.decode().replace("\r\n", "\n")


def test_long_output_goes_through_the_pager_and_short_output_does_not(made: Path) -> None:
    code, long = on_terminal(["show", made, "--block", "PL"], PAGER=PAGER)
    assert (code, long.startswith("PAGED\n")) == (0, True)
    code, short = on_terminal(["show", made, "--register", "PL_WHOAMI"], PAGER=PAGER)
    assert (code, "PAGED" in short) == (0, False)
    assert "PL_WHOAMI" in short


@pytest.mark.parametrize("pager", ["/no/such/pager -R", "", "cat"])
def test_without_a_pager_everything_is_printed(made: Path, pager: str) -> None:
    code, shown = on_terminal(["show", made, "--block", "PL"], PAGER=pager)
    assert code == 0
    assert "PL_WHOAMI" in shown


def test_a_pager_that_is_left_early_is_no_error(made: Path) -> None:
    code, shown = on_terminal(["show", made, "--entity", "REG_DUMP"], PAGER="head -n 3")
    assert code == 0
    assert len(shown.splitlines()) == 3


def test_to_leave_the_pager_early_does_not_change_the_exit_code(copied: Path) -> None:
    with vmcore.Reader(copied) as reader:
        note = reader.device_dumps[0]
        start = cudbg.Dump(reader.payload(note.index)).entity("CLK").start
    with copied.open("r+b") as file:
        file.seek(note.payload_offset + start)
        file.write(b"\xff" * 64)
    options = ("--entity", "REG_DUMP", "--entity", "CLK")
    code, shown = on_terminal(["show", copied, *options], PAGER="head -n 3")
    assert code == 3
    assert len(shown.splitlines()) == 4
    assert shown.splitlines()[-1].startswith(f"vmcoredd: {copied}: CLK: ")


def test_a_verdict_breaks_lines_at_blanks_only(tmp_path: Path) -> None:
    file = tmp_path / "dump.bin"
    file.write_bytes(labelled("pcie-narrow-link", "pcie-correctable").made.data)
    code, shown = on_terminal(["diagnose", file])
    lines = ESCAPE.sub("", shown).splitlines()
    assert code == 7
    assert max(map(len, lines)) <= 80
    start = next(i for i, one in enumerate(lines) if "PCIE_AER_COR_ERR_STAT at 0x110" in one)
    assert lines[start].startswith(" " * 9 + "PCIE_CONFIG")
    assert lines[start + 1] == " " * 11 + "BadTLP=0x1 RcvrErr=0x1"


def test_a_pipe_has_neither_pager_nor_colour_nor_folds(vmcoredd: Run, made: Path) -> None:
    shown = vmcoredd("show", made, "--entity", "REG_DUMP", "--all").out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) > 200


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(
    vmcoredd: Run, made: Path, columns: int
) -> None:
    arguments = ["show", made, "--block", "PL", "--all"]
    _, shown = on_terminal(arguments, columns, PAGER="cat")
    plain = ESCAPE.sub("", shown)
    assert max(map(len, plain.splitlines())) <= columns
    assert plain.split() == vmcoredd(*arguments).out.split()


@pytest.mark.parametrize("columns", [80, 200])
def test_tables_of_entities_are_folded(vmcoredd: Run, made: Path, columns: int) -> None:
    names = ("MPS_TCAM", "DUMP_CONTEXT", "MEMINFO", "CLK", "LE_TCAM")
    arguments = ["show", made, "--rows", "200", *(o for name in names for o in ("--entity", name))]
    _, shown = on_terminal(arguments, columns, PAGER="cat")
    plain = ESCAPE.sub("", shown).partition("only the first")[0]
    assert max(map(len, plain.splitlines())) <= columns
    assert "".join(plain.split()) == "".join(vmcoredd(*arguments).out.split())


def test_causes_of_interrupts_stand_out_and_no_color_is_honoured(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    faulty = tmp_path / "vmcore"
    vmcoredd("dump", "--card", small_card, "--compress", "none", "-o", faulty)
    with vmcore.Reader(faulty) as reader:
        payload = bytes(reader.payload(0))
    start = faulty.read_bytes().index(payload) + cudbg.Dump(payload).entity("REG_DUMP").start
    with faulty.open("r+b") as file:
        file.seek(start + T6.r.CIM_HOST_INT_CAUSE)
        file.write(b"\2")
    arguments = ["show", faulty, "--register", "CIM_HOST_INT_*"]
    _, coloured = on_terminal(arguments, PAGER="cat")
    (cause,) = [line for line in coloured.splitlines() if "CIM_HOST_INT_CAUSE" in line]
    assert cause.startswith("\x1b[1;31m")
    _, plain = on_terminal(arguments, PAGER="cat", NO_COLOR="1")
    assert "CIM_HOST_INT_CAUSE" in plain
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain)


def test_a_row_is_folded_between_cells_or_under_a_hanging_indent() -> None:
    fields = " ".join(f"Field{i}={i:#x}" for i in range(12))
    lines = list(folded(["PL_INT_CAUSE", "0x1940c", fields], 60))
    assert lines[0].startswith("  PL_INT_CAUSE  0x1940c  Field0=0x0")
    assert {line[:25] for line in lines[1:]} == {" " * 25}
    narrow = list(folded(["x" * 30, "y" * 20, fields], 60))
    assert narrow[1].startswith("      Field0")
    assert list(folded(["z" * 200], 80)) == ["  " + "z" * 78, "  " + "z" * 78, "  " + "z" * 44]


def test_no_text_of_a_dump_sends_escapes_or_markup_to_the_terminal(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    plain, hostile = tmp_path / "plain", tmp_path / "hostile"
    made = vmcoredd("dump", "--card", small_card, "--compress", "none", "-o", plain)
    assert made.code in (0, 5)
    data = plain.read_bytes()
    serial = re.search(rb"PT\d{8}", data)
    log = re.search(rb"core clock", data)
    assert serial
    assert log
    for found, text in ((serial[0], b"\x1b[2J[b]\x9b2J"), (log[0], b"\x1b]0;x\x07[b]")):
        data = data.replace(found, text.ljust(len(found), b"!")[: len(found)])
    hostile.write_bytes(data.replace(b"cxgb4_0000:00:02.0", b"\x1b[2J[b]\x07evil_names"))
    assert hostile.stat().st_size == plain.stat().st_size
    entities = ("--entity", "VPD_DATA", "--entity", "DEV_LOG", "--index", "0")
    commands = [["notes", hostile], ["show", hostile], ["show", hostile, *entities]]
    commands += [["diff", plain, hostile], ["diff", hostile, plain], ["diagnose", hostile]]
    shown = [vmcoredd(*command) for command in commands]
    for result in shown:
        assert not {"\x1b", "\x9b", "\x07"} & set(result.out + result.err)
    assert "\\x1b]0;x\\x07[b]" in shown[2].out
    assert "\\x1b[2J[b]" in shown[1].out
    _, screen = on_terminal(commands[2], 200, PAGER="cat")
    assert not {"\x9b", "\x07"} & set(ESCAPE.sub("", screen))
    assert "\x1b[2J" not in screen
