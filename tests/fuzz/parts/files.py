"""Damaged and hostile vmcores through everything that reads one.

Only the documented exit codes and exceptions, in bounded time and memory.
"""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import command, vmcores
from tests.fuzz.case import Broken, Case
from tests.fuzz.small_card import profile
from vmcoredd import vmcore
from vmcoredd.vmcore import VmcoreError

SECONDS = 10.0
"""Of processor time for one command."""
MEMORY = 400 << 20
"""Bytes of address space that a case may add."""
PAGE = 4096
COMMANDS: dict[str, tuple[tuple[object, ...], tuple[int, ...]]] = {
    "notes": (("notes", "{}"), (0, 3, 5)),
    "notes --json": (("notes", "{}", "--json"), (0, 3, 5)),
    "diagnose": (("diagnose", "{}"), (0, 2, 3, 5, 7)),
    "slim": (("slim", "{}", "-o", "{out}", "--redact", "--force"), (0, 2, 3, 5)),
    "list": (("show", "{}"), (0, 2, 3, 5)),
    "list --json": (("show", "{}", "--json"), (0, 2, 3, 5)),
    "show": (("show", "{}", "--entity", "all"), (0, 2, 3, 5)),
    "show --json": (("show", "{}", "--entity", "all", "--json"), (0, 2, 3, 5)),
    "raw": (("show", "{}", "--entity", "DEV_LOG", "--raw"), (0, 2, 3, 5)),
    "diff": (("diff", "{}", "{good}"), (0, 2, 3, 5)),
    "diff back": (("diff", "{good}", "{}", "--json"), (0, 2, 3, 5)),
    "extract": (("extract", "{}", "--index", "1", "-o", "{out}", "--force"), (0, 2, 3, 5)),
    "base": (
        (
            "dump",
            "--card",
            "{card}",
            "--entity",
            "PM_STATS",
            "--base",
            "{}",
            "-o",
            "{out}",
            "--force",
        ),
        (0, 1, 2, 3, 5),
    ),
}
"""Of each command: its arguments and the exit codes that it may end with."""


def make(random: Random) -> Case:
    """A case: a file, how it is spoiled, and two commands."""
    return {
        "shape": random.choice(vmcores.SHAPES),
        "compress": random.choice(("zlib", "none")),
        "edits": vmcores.edits(random),
        "many": random.choice((None,) * 40 + vmcores.MANY),
        "commands": random.sample(list(COMMANDS), 2),
    }


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Makes the intact files once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._card = profile(folder)
        self._payloads = vmcores.dumps(self._card, folder)

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, case: Case) -> None:
        """Reads the file of a case in every way that the case asks for."""
        path = self._folder / "vmcore"
        path.write_bytes(self._content(case))
        with limited_memory():
            _read(path)
            for name in case["commands"]:
                self._command(name, path)

    def _content(self, case: Case) -> bytes:
        if case["many"]:
            return vmcores.many(case["many"], 100_000)
        if case["shape"] == "made":
            data = self._payloads["made"]
        else:
            data = vmcores.whole(case["shape"], self._payloads[case["compress"]])
        return vmcores.spoiled(data, case["edits"])

    def _command(self, name: str, path: Path) -> None:
        words, codes = COMMANDS[name]
        places: dict[str, Any] = {"good": self._folder / "zlib", "card": self._card}
        places["out"] = self._folder / "out"
        begin = time.process_time()
        done = command.run(*(str(word).format(path, **places) for word in words))
        done.ended_with(*codes)
        took = time.process_time() - begin
        if took > SECONDS:
            raise Broken(f"{' '.join(done.words)} took {took:.1f} s")
        if b"\x1b" in done.out and name != "raw":
            raise Broken(f"{' '.join(done.words)} prints escape sequences")


def _read(path: Path) -> None:
    """Reads through the library."""
    with contextlib.suppress(VmcoreError), vmcore.Reader(path) as reader:
        for item in reader.notes[:100]:
            with contextlib.suppress(VmcoreError):
                bytes(reader.payload(item.index, partial=True)[:100])


@contextlib.contextmanager
def limited_memory() -> Any:
    """Lets a case have only so much memory more than there is now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
