"""Output: tables for people and JSON for programs on stdout; messages and progress on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import COLOR_SYSTEMS, Console
from rich.markup import escape
from rich.style import Style
from rich.table import Table

if TYPE_CHECKING:
    from vmcoredd.cudbg import Collected

PLAIN_COLUMNS = 160
"""The width of tables that are written to a file or a pipe."""


STDOUT, STDERR = 1, 2


def open_closed_streams() -> None:
    """Opens /dev/null where a standard stream is closed, before a file takes its descriptor.

    Results go nowhere then. Descriptor 1 is only for reading, so that a vmcore which should go to
    stdout is not lost in silence.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode, flags = ("w", os.O_WRONLY) if name == "stderr" else ("r", os.O_RDONLY)
            _discard(descriptor, flags)
            stream = os.fdopen(descriptor, mode, closefd=False)
            setattr(sys, name, open(os.devnull, "w") if name == "stdout" else stream)  # noqa: SIM115


def _discard(descriptor: int, flags: int = os.O_WRONLY) -> None:
    """Makes a descriptor /dev/null."""
    null = os.open(os.devnull, flags)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)


class _Results(Console):
    """Lets `cli.exit_codes` end the command when the reader closes the pipe."""

    def on_broken_pipe(self) -> None:
        discard_results()
        raise BrokenPipeError

    def say(self, text: str, style: str = "") -> None:
        """Prints a line whose text comes from a file or a device: control characters escaped.

        Rich would take a second for the lines of a large table.
        """
        text = visible(text)
        if style and self.color_system and self.is_terminal:
            text = _styled(text, style, self.color_system, self.no_color)
        self.file.write(text + "\n")

    def say_all(self, lines: Iterable[str]) -> None:
        """Prints many such lines, all plain."""
        self.file.writelines(f"{visible(text)}\n" for text in lines)


@cache
def _parsed(style: str, no_color: bool) -> Style:
    return Style.parse(style).without_color if no_color else Style.parse(style)


def _styled(text: str, style: str, system: str, no_color: bool) -> str:
    return _parsed(style, no_color).render(text, color_system=COLOR_SYSTEMS[system])


class _Messages(Console):
    """Discards messages that nobody reads: they never end a command."""

    def on_broken_pipe(self) -> None:
        _discard(STDERR)

    def say(self, text: str) -> None:
        """Prints a line of a great many, such as a trace's: without Rich, unless progress bars are
        on the same terminal."""
        if self.is_terminal:
            self.print(text, markup=False)
            return
        try:
            self.file.write(text + "\n")
        except BrokenPipeError:
            self.on_broken_pipe()


def leave_stdout_to(output: Path) -> None:
    """Prints results on stderr from now on if `output` is standard output."""
    from vmcoredd.vmcore import is_stdout

    if is_stdout(output):
        out.file = sys.stderr


@contextmanager
def results_to(file: IO[str]) -> Iterator[None]:
    """Prints results to `file` within the context, as plain text."""
    before = out._file, out._color_system
    out._file, out._color_system = file, None
    try:
        yield
    finally:
        out._file, out._color_system = before


def discard_results() -> None:
    """Makes stdout /dev/null, so that not even Python's last flush fails."""
    _discard(STDOUT)


open_closed_streams()
out = _Results(
    highlight=False,
    emoji=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else PLAIN_COLUMNS,
)
"""For results. Plain text unless stdout is a terminal."""
err = _Messages(stderr=True, highlight=False, emoji=False, soft_wrap=True)
"""For progress, warnings and errors."""


JSON_VERSION = 1
"""Rises when a key changes its meaning or goes away; new keys do not change it."""


def envelope(command: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the object that a command prints for programs: its version, its command, `record`.

    In all records sizes and times are numbers with their unit in the key (`size_bytes`,
    `elapsed_seconds`), and what is a list is empty rather than null. A register's `offset` is in
    bytes in BAR0, and its index in an indirect space.
    """
    return {"version": JSON_VERSION, "command": command, **record}


def emit_json(command: str, record: Mapping[str, Any]) -> None:
    """Prints the `envelope` of `record` as one JSON object, bytes in hex."""
    try:
        json.dump(envelope(command, record), sys.stdout, indent=2, default=_plain)
        sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:
        out.on_broken_pipe()


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table. Numbers are aligned right."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    grid.title = cell(title) if title else None
    for i, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell(value) for value in row))
    out.print(grid)


def cell(value: object) -> str:
    """Returns a cell's text, escaped so that Rich prints its brackets."""
    if isinstance(value, float):
        return f"{value:,.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(visible(str(value)))


def visible_lines(text: str) -> str:
    """Escapes as `visible` does, but keeps the line breaks: those of our own messages."""
    return "\n".join(map(visible, text.split("\n")))


def visible(text: str) -> str:
    """Escapes the control characters in text from a file, to protect the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


ROW_BYTES = 16
"""Of a hexdump's rows."""


def hex_row(at: int, row: bytes) -> str:
    """Returns up to ROW_BYTES bytes as `hexdump -C` prints them: offset, bytes in hex, text."""
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
    return f"{at:08x}  {row.hex(' '):<{3 * ROW_BYTES - 1}}  {text}"


def size(count: int) -> str:
    """Returns a number of bytes in binary units: `32.0 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


# Progress bars: on stderr, and only on a terminal

Advance = Callable[[int, int], None]
"""Called with the bytes done and the total."""


@contextmanager
def copying(what: str) -> Iterator[Advance]:
    """Shows a progress bar that counts bytes."""
    if not err.is_terminal:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(*columns, TransferSpeedColumn(), console=err) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def preparing() -> Iterator[Callable[[str, float | None], None]]:
    """Shows the current step of downloads and builds, and its progress if known."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:
        task = bars.add_task("preparing", total=None)

        def show(what: str, fraction: float | None) -> None:
            known = None if fraction is None else 1.0
            bars.update(task, description=what, total=known, completed=fraction or 0)

        yield show


@contextmanager
def collecting(
    adapters: Sequence[str],
) -> Iterator[Callable[[int, Collected, int, int], None] | None]:
    """Shows a progress bar for each adapter, with the entity being collected; yields None if stderr
    is no terminal.

    The bars begin with the first progress, for their thread must not be there before: a process
    with threads is not copied (`driver.workers`).
    """
    if not err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bars = Progress(*columns, TimeElapsedColumn(), console=err)
    tasks = [bars.add_task(adapter, total=None) for adapter in adapters]

    def show(index: int, entity: Collected, number: int, total: int) -> None:
        bars.start()
        done = number + 1 if entity.seconds else number
        what = f"{adapters[index]} {entity.name}"
        bars.update(tasks[index], completed=done, total=total, description=what)

    try:
        yield show
    finally:
        bars.stop()


def step_lines() -> Callable[[str, float | None], None]:
    """Prints a line for each step, where a progress bar would interfere with other output."""
    printed: list[str] = []

    def show(what: str, _fraction: float | None) -> None:
        if printed[-1:] != [what]:
            printed.append(what)
            err.print(what, markup=False)

    return show
