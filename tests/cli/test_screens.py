"""The screens of `show` on a terminal: pager, colour, folding; and no escapes from a dump."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from cliruns import PATIENCE, Run, damage
from labelled import labelled
from readable import readable

from vmcoredd import cudbg, vmcore
from vmcoredd.chip import T6
from vmcoredd.cli import output, render
from vmcoredd.cli.folding import folded, places
from vmcoredd.cudbg.decoded import Allowance, Column, Table

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
    while readable([master], PATIENCE):
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


def test_to_leave_the_pager_early_does_not_change_the_exit_code(copied: Path) -> None:
    damage(copied, "CLK")
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


@pytest.mark.parametrize(("index", "columns"), [(0, 80), (1, 200)])
def test_every_entity_fits_the_terminal_and_counts_agree_with_nouns(
    vmcoredd: Run, made: Path, index: int, columns: int
) -> None:
    arguments = ["show", made, "--index", index, "--entity", "all"]
    _, shown = on_terminal(arguments, columns, PAGER="cat")
    plain = ESCAPE.sub("", shown)
    assert len(re.findall(r"^\w+ \(entity \d+\)$", plain, re.MULTILINE)) > 50
    assert [line for line in plain.splitlines() if len(line) > columns] == []
    unfolded = vmcoredd(*arguments).out
    assert "".join(plain.split()) == "".join(unfolded.split())
    assert list(one_of_several(unfolded)) == []


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_tables_that_few_dumps_fill_fit_too(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mailbox's log and the queues' descriptors of a kernel's dump have such rows."""
    names = [
        "seqno",
        "time",
        "kind",
        "command",
        "flags",
        "result",
        "access_ms",
        "execute_ms",
        "fields",
        "words",
    ]
    words = " ".join(f"{i:08x}" for i in range(16))
    rows = [
        [1, 4294937296, "command", "FW_LDST_CMD", "REQUEST READ", "", 0, 12, "addr=0x1", words],
        [2, 4294937297, "reply", "FW_PARAMS_CMD", "", "FW_ENOEXEC", 0, 1, "", words[:17]],
    ]
    forms = ["d", "d", "", "", "", "", "d", "d", "", ""]
    table = Table("", [*map(Column, names, forms)], rows)
    monkeypatch.setattr(output.out, "_width", columns)
    monkeypatch.setattr(output.out, "_force_terminal", True)
    render.show_table(table, render.View(Allowance()))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    shown = " ".join(" ".join(lines).split())
    assert all(str(cell) in shown for row in rows for cell in row)


def test_a_value_stands_under_its_columns_name_on_every_line_of_a_folded_row() -> None:
    at = places([10, 10, 10, 10, 20], 40)
    head, full, gap = (
        list(folded(cells, 40, at))
        for cells in (
            ["one".ljust(10), "two".ljust(10), "three".ljust(10), "four".ljust(10), "five"],
            ["1".ljust(10), "2".rjust(10), "3".ljust(10), "4".rjust(10), "5 " * 9],
            ["1".ljust(10), " " * 10, " " * 10, "4".rjust(10), ""],
        )
    )
    assert [line.index(name) for line, name in zip(head, ("one", "four"), strict=True)] == [2, 6]
    assert full[1].index("4") + 1 == gap[1].index("4") + 1 == 6 + 10
    assert len(list(folded(["1", "", "", "", ""], 40, at))) == 1


def test_a_column_that_is_moved_to_a_new_line_takes_the_whole_of_it() -> None:
    assert places([40, 3, 100, 79, 100], 60) == [(0, 2), (0, 44), (1, 6), (2, 6), (3, 6)]


def test_rows_of_any_widths_fit_any_terminal_and_nothing_is_cut() -> None:
    random = Random(1)
    for _ in range(2000):
        width = random.randint(30, 200)
        widths = [random.randint(1, 120) for _ in range(random.randint(1, 8))]
        cells = ["x" * one for one in widths]
        lines = list(folded(cells, width, places(widths, width)))
        assert max(map(len, lines)) <= width, (widths, width)
        assert "".join("".join(lines).split()) == "".join(cells), (widths, width)


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_table(Table("queues", [Column("queue")], []), render.View(Allowance()))
    assert capsys.readouterr().out == "queues\n  none\n"


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


def test_no_screen_has_one_of_something_in_the_plural(
    vmcoredd: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sick = tmp_path / "dump.bin"
    sick.write_bytes(labelled("firmware-crash", "pcie-narrow-link").made.data)
    cut = tmp_path / "cut"
    cut.write_bytes(made.read_bytes()[: 0x1000 + 1_500_000])
    screens = [
        *(["show", file] for file in (sick, cut)),
        ["show", made, "--register", "PL_WHOAMI", "--changed-from-reset", "--all"],
        ["show", made, "--register", "PL_WHOAMI", "--field", "none"],
        *(["notes", file] for file in (made, sick, cut)),
        ["diff", made, sick],
        ["extract", cut, "-o", tmp_path / "payload"],
        ["slim", made, "-o", tmp_path / "slim"],
        ["report", sick, "-o", tmp_path / "report"],
        ["cards", "--faults"],
        ["cache", "list"],
        ["show", made, "--rows", "1", "--entity", "CLK"],
    ]
    texts = [result.out + result.err for result in (vmcoredd(*words) for words in screens)]
    texts += [path.read_text() for path in (tmp_path / "report").glob("*.html")]
    assert all(texts)
    assert {found for text in texts for found in one_of_several(text)} == set()


def test_one_of_something_in_the_plural_is_found() -> None:
    assert list(one_of_several("0 channels, 1 channels, 11 bytes, 1 us")) == ["1 channels"]


NO_COUNT = r"[mun]?s|has|is"
"""Words behind a 1 that count nothing: units, verbs."""


def one_of_several(text: str) -> Iterator[str]:
    """Yields `1 channels`: a plural behind a 1 that stands alone."""
    plain = ESCAPE.sub("", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    for found in re.finditer(rf"(?<![\w.,#-])1 (?!(?:{NO_COUNT})\b)[A-Za-z]+s\b", plain):
        yield found[0]
