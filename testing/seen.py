"""What a card saw during a test, as sections of the report of a failed one. All is bounded."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vmcoredd.chip.devlog import DevlogEntry, Level, facility_name, level_name
from vmcoredd.cudbg.device_log import message, records
from vmcoredd.emu.silicon.mailbox import Mailboxes
from vmcoredd.plural import counted
from vmcoredd.qemu.errors import RunError

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.emu.access_log import LoggedAccess
    from vmcoredd.emu.engine.trouble import Trouble
    from vmcoredd.testing.marks import Arguments

LINES = 20
"""The most accesses, records of the firmware's log, and events of trouble."""
CONSOLE_LINES = 40
SETTLED = "vmcoredd: all that was told before"
"""Ends the lines by which a guest's console shows that it has settled; they are left out."""
COLUMNS = 160
"""The most characters of a line."""
TAIL_BYTES = 16 << 10
"""Of the console's log."""


class Watched:
    """A card, and what it has seen since it was made or since `begin`."""

    def __init__(self, card: emu.Card, mark: Arguments, console: Path | None = None) -> None:
        self._card, self._mark, self._console = card, mark, console
        self.settle_console: Callable[[], int] | None = None  # once its guest has booted
        self._firmware = card.model(Mailboxes).firmware
        self._before: Counter[LoggedAccess] = Counter()
        self._words = _words(card)
        self._first = self._told = 0
        self._logged = self._firmware.state.logged
        self._troubles: deque[Trouble] = deque(maxlen=LINES)
        self._met = 0
        card.engine.listeners.append(self._meet)

    def begin(self) -> None:
        """Forgets what the card saw until now: another test begins."""
        self._before = self._card.access_log.counts.copy()
        self._words = _words(self._card)
        self._first = self._logged = self._firmware.state.logged
        self._told = self._settled()
        self._troubles.clear()
        self._met = 0

    def _meet(self, trouble: Trouble) -> None:
        self._troubles.append(trouble)
        self._met += 1

    def sections(self) -> Iterator[tuple[str, str]]:
        """Yields titles and texts."""
        card = self._card
        yield f"vmcoredd: what the {card.profile.name} saw", "\n".join(self._lines())
        if lines := self._console_lines():
            yield "vmcoredd: the end of the guest's console", "\n".join(lines)

    def _lines(self) -> Iterator[str]:
        card = self._card
        yield _cut(f"{card.chip.name}, {self._mark}; scene {card.scenario.scene}")
        yield _cut(f"served alone: {self._command()}")
        reads, writes = (now - then for now, then in zip(_words(card), self._words, strict=True))
        yield f"BAR0: {counted(reads, 'word')} read, {counted(writes, 'word')} written"
        yield from self._access_log()
        yield from self._firmwares_log()
        yield f"trouble with the host, its queues and wires: {self._met or 'none'}"
        if self._met > LINES:
            yield f"  the last {LINES}:"
        yield from (_cut(f"  {trouble}") for trouble in self._troubles)

    def _command(self) -> str:
        mark, card = self._mark, self._card
        words = ["vmcoredd", "emulate", "--card", os.fspath(mark.card), "--seed", str(mark.seed)]
        words += ["--scene", str(card.scenario.scene)]
        words += [word for name in mark.faults for word in ("--fault", name)]
        words += [word for wire in mark.wires for word in ("--wire", wire)]
        return shlex.join([*words, "--socket", "card.sock"])

    def _access_log(self) -> Iterator[str]:
        found = (self._card.access_log.counts - self._before).most_common()
        yield f"access log: {counted(len(found), 'kind') if found else 'empty'}"
        for access, count in found[:LINES]:
            yield _cut(f"{count:>6} x {access}")
        if found[LINES:]:
            yield f"  and {counted(len(found) - LINES, 'other kind')}"

    def _firmwares_log(self) -> Iterator[str]:
        log = self._firmware.log
        data = self._card.memories.read(log.address, log.size)
        new = [record for record in records(data) if self._is_new(record)]
        yield f"the firmware's log: {counted(len(new), 'record') if new else 'nothing new'}"
        if new[LINES:]:
            yield f"  the last {LINES}:"
        for record in new[-LINES:]:
            level, facility = level_name(record.level), facility_name(record.facility)
            yield _cut(f"  {level:<6} {facility:<6} {message(record).strip()}")

    def _is_new(self, record: DevlogEntry) -> bool:
        """Returns whether a record is news: since the test began, or what a fault told, but no
        boot."""
        told: bool = record.seqno >= self._first and record.level < Level.INFO
        since: bool = record.seqno >= self._logged
        return told or since

    def _console_lines(self) -> list[str]:
        if self._console is None or not self._console.exists():
            return []
        size = self._settled()
        with self._console.open("rb") as file:
            file.seek(max(self._told, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        told = (line for line in text.splitlines() if line.strip() and SETTLED not in line)
        return [_cut(line) for line in told][-CONSOLE_LINES:]

    def _settled(self) -> int:
        """Returns how many bytes the console's log has, with all that was told until now, unless
        the guest is dead or stuck."""
        if self._console is None:
            return 0
        with contextlib.suppress(RunError):
            if self.settle_console:
                return self.settle_console()
        return self._console.stat().st_size if self._console.exists() else 0


def _words(card: emu.Card) -> tuple[int, int]:
    """Returns how many words of BAR0 were read and written, singly or in runs."""
    made = card.accesses
    reads = made["read4"] + 2 * made["read8"] + made["read_run_words"]
    return reads, made["write4"] + 2 * made["write8"] + made["write_run_words"]


def _cut(line: str) -> str:
    """Returns a line that does no harm to a terminal, and is not too long."""
    shown = "".join(c if c.isprintable() else "?" for c in line)
    return shown if len(shown) <= COLUMNS else f"{shown[: COLUMNS - 3]}..."
