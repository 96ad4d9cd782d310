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


def test_causes_of_interrupts_stand_out_and_no_color_is_honoured(made: Path) -> None:
    arguments = ["show", made, "--register", "PL_*"]
    _, coloured = on_terminal(arguments, PAGER="cat")
    assert "\x1b[2m" in coloured
    _, plain = on_terminal(arguments, PAGER="cat", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain)


def test_a_row_is_folded_between_cells_or_under_a_hanging_indent() -> None:
    fields = " ".join(f"Field{i}={i:#x}" for i in range(12))
    lines = list(folded(["PL_INT_CAUSE", "0x1940c", fields], 60))
    assert lines[0].startswith("  PL_INT_CAUSE  0x1940c  Field0=0x0")
    assert {line[:25] for line in lines[1:]} == {" " * 25}
    narrow = list(folded(["x" * 30, "y" * 20, fields], 60))
    assert narrow[1].startswith("      Field0")
    assert list(folded(["z" * 200], 80)) == ["  " + "z" * 78, "  " + "z" * 78, "  " + "z" * 44]
