"""Tells from a crash kernel's console why an adapter's dump is missing or may be partial."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from .guest import Result
from .program import address

KERNEL_BEGINS = "Linux version"
MEMORY = re.compile(
    r"Out of memory: Killed process|System is deadlocked on memory|page allocation failure"
    r"|vmalloc error|err: -12\b"
)
RESERVED = re.compile(r"Reserving \d+MB of (low )?memory at|crashkernel reserved: ")
"""A kernel prints this when it has set memory aside for a crash kernel (6.1; later ones)."""
OOPS = re.compile(r"BUG: [^\r\n]*|Oops: [^\r\n]*|general protection fault[^\r\n]*")
KNOWN_OOPS = "RIP: 0010:cudbg_collect_sge_indirect"
SEE_CONSOLE = "read the console's log"


@dataclass(frozen=True)
class Verdict:
    """What happened to the dump called `name`, and what to do about it."""

    name: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Crash:
    """What a run shows: the crash kernel's `console`, its driver's result, its memory."""

    console: str
    driver: Result
    crashkernel: str

    def missing(self, name: str) -> Verdict:
        """Returns why there is no dump called `name`: the first cause in time that explains it."""
        for verdict in (self._oops(name), self._memory(name), self._probe(name)):
            if verdict:
                return verdict
        if self.driver.code:
            printed = self.driver.output.strip().splitlines()[-1:] or ["nothing"]
            reason = f"loading the driver failed ({self.driver.code}) and printed: {printed[0]}"
            return Verdict(name, reason, SEE_CONSOLE)
        return Verdict(name, "the driver was loaded and the console gives no reason", SEE_CONSOLE)

    def partial(self, name: str) -> Verdict | None:
        """Returns why the dump called `name` may be partial, or None."""
        found = self._memory(name)
        if not found:
            return None
        reason = f"may be partial: while its driver was at work, {found.reason}"
        return Verdict(name, reason, found.remedy)

    def _oops(self, name: str) -> Verdict | None:
        found = OOPS.search(self.console)
        if not found:
            return None
        if KNOWN_OOPS in self.console:
            remedy = "leave out --no-remedy (docs/how-to/guest.md: the driver's oops)"
            return Verdict(name, f"the driver oopsed: {found[0]}", remedy)
        return Verdict(name, f"the crash kernel oopsed: {found[0]}", SEE_CONSOLE)

    def _memory(self, name: str) -> Verdict | None:
        if not MEMORY.search(self.console):
            return None
        reason = f"the crash kernel ran out of memory with crashkernel={self.crashkernel}"
        return Verdict(name, reason, "give it more, such as --crashkernel 256M")

    def _probe(self, name: str) -> Verdict | None:
        device = re.escape(name.removeprefix("cxgb4_"))
        failed = re.search(rf"{device}\S* (?:probe )?.*failed with error -(\d+)", self.console)
        if failed:
            code = errno.errorcode.get(int(failed[1]), "unknown")
            reason = f"the driver refused the adapter: its probe failed with -{failed[1]} ({code})"
            return Verdict(name, reason, f"{SEE_CONSOLE}; `vmcoredd dump` may dump it without it")
        return None


def dump_name(index: int) -> str:
    """Returns the name that the driver gives to the dump of the adapter with this index."""
    return f"cxgb4_{address(index)}"


def crash_kernels_part(console: Path) -> str:
    """Returns the log from the last kernel's first line on."""
    text = console.read_text(errors="replace")
    return text[max(text.rfind(KERNEL_BEGINS), 0) :]
