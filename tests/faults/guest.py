"""A guest with a card of each chip, in which cases are measured one after the other.

The kernel is debian:6.12, or $VMCOREDD_STOCK_KERNEL, as it is. Each phase begins with a healthy
card: between two cases the driver is unbound, and the card restored to what it was when the guest
had booted. A case that ends as on a healthy card is undone, and the next one goes on from there. A
guest whose kernel oopses, hangs or dies is booted again: that is an outcome.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from vmcoredd import debs
from vmcoredd.qemu.errors import GuestDied, GuestTimeout, PeerDied, RunError
from vmcoredd.qemu.guest import Guest
from vmcoredd.qemu.prepare import Options, Prepared, prepare
from vmcoredd.qemu.root import Root, find_root

from . import console, outcomes, rows
from .cases import CARDS, KERNEL, Case, Phase
from .outcomes import Said
from .rows import Row, hash_of
from .serving import Level, Served, served

KERNEL_ARGUMENTS = "init_on_alloc=0 mitigations=off nosoftlockup"
"""Without what takes long without KVM, and without a watchdog: a dump of a healthy card, too, takes
it longer than that allows on a busy machine."""
BOOT, STEP = 300.0, 90.0
SECONDS = {Phase.PROBE: 150.0, Phase.OPEN: 150.0, Phase.TRAFFIC: 60.0, Phase.DUMP: 240.0}
"""For a case at most: a mailbox command that is not answered takes the driver ten."""
HARDWARE, MEMORIES = 2, 1
"""Flags of `ethtool -W` (enum CXGB4_ETH_DUMP_FLAGS)."""
IN_MEMORIES = {"EDC0", "EDC1", "MC0"}
NEEDS = {
    Phase.PROBE: Level.IDLE,
    Phase.OPEN: Level.BOUND,
    Phase.TRAFFIC: Level.JOINED,
    Phase.DUMP: Level.JOINED,
}
LEAVES = {**NEEDS, Phase.PROBE: Level.BOUND, Phase.OPEN: Level.OPENED}
Fact = tuple[str, tuple[str, ...]]
"""The outcome of a case, and what the kernel said."""


class Dirty(Exception):
    """A healthy card's driver does not come as far as it must: the guest has to be booted again.

    A machine that is too busy for a guest does that, too.
    """


@dataclass
class Lab(contextlib.AbstractContextManager["Lab"]):
    """A guest that boots when it is first needed, and again when it has died."""

    folder: Path
    progress: debs.Progress = debs.silent
    boots: int = 0
    kernel: str = ""
    """The release of the kernel."""
    _healthy: dict[tuple[str, Phase], Fact] = field(default_factory=dict)
    _cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _guest: Guest | None = None
    _cards: dict[str, Served] = field(default_factory=dict)
    _prepared: tuple[Prepared, Root] | None = None

    def __exit__(self, *_: object) -> None:
        self.shut_down()

    def shut_down(self) -> None:
        """Ends the guest and its cards."""
        self._guest = None
        self._cleanup.close()

    def expect(self, known: Iterable[Row]) -> None:
        """Says what healthy cards do, from rows that were measured earlier."""
        self._healthy |= {(row.chip, row.phase): row.fact for row in known if not row.fault}

    def measure(self, case: Case, flag: int = HARDWARE) -> Row:
        """Measures a case; `flag` says what a dump is to have. Raises RunError, Dirty."""
        (row,) = self._measured([case], flag)
        return row

    def measure_together(
        self, cases: Sequence[Case], facts: Sequence[str], expected: str, flag: int = HARDWARE
    ) -> list[Row]:
        """Measures cases of one chip and phase with all their faults on at once.

        Returns their rows, each with its own of the `facts`, if the outcome is as `expected` and
        the kernel says what it says with a healthy card; else none. Raises RunError, Dirty.
        """
        found = self._measured(cases, flag)
        usual = self._healthy[cases[0].chip, cases[0].phase][1]
        if found[0].fact != (expected, usual):
            return []
        return [replace(row, outcome=fact) for row, fact in zip(found, facts, strict=True)]

    def _measured(self, cases: Sequence[Case], flag: int) -> list[Row]:
        """Measures cases together; a guest that does not come so far is booted again, twice."""
        for _ in range(2):
            try:
                return self._once(cases, flag)
            except (Dirty, RunError):
                self.shut_down()
        return self._once(cases, flag)

    def _once(self, cases: Sequence[Case], flag: int) -> list[Row]:
        if self._guest is None:
            self._boot()
        chip, phase = cases[0].chip, cases[0].phase
        card = self._cards[chip]
        self._reach(card, NEEDS[phase])
        began = time.monotonic()
        faults = [case.fault for case in cases if case.fault]
        outcome, log = self._tried(card, phase, faults, flag)
        fact = outcome, tuple(console.said(log))
        if not faults:
            if outcome != outcomes.USUAL[phase]:
                raise Dirty(f"a healthy card's {phase}: {outcome}")
            self._healthy[chip, phase] = fact
        self._leave(card, phase, fact)
        seconds = round((time.monotonic() - began) / len(cases), 1)
        return [self._row(case, fact, seconds, len(cases)) for case in cases]

    def _row(self, case: Case, fact: Fact, seconds: float, together: int) -> Row:
        date = datetime.now(UTC).date().isoformat()
        more = (self.kernel, date, seconds, together, hash_of(case))
        return Row(case.chip, case.fault, case.phase, *fact, *more)

    def _tried(
        self, card: Served, phase: Phase, faults: Sequence[str], flag: int
    ) -> tuple[str, str]:
        """Switches faults on, does what the phase is; returns what came of it, and the log."""
        if impossible := card.fail(faults):
            return impossible, ""
        try:
            outcome, said = self._done(card, phase, flag)
        except (GuestTimeout, GuestDied, PeerDied) as error:
            return self._ended(phase, error)
        if death := console.died(said.log):
            self.shut_down()
        return death or outcome, said.log

    def _done(self, card: Served, phase: Phase, flag: int) -> tuple[str, Said]:
        assert self._guest
        if phase is Phase.DUMP:
            said = self._step(card, "dump", SECONDS[phase], flag)
            return outcomes.dumped(said, card.chip, self._guest.share / "dump"), said
        step, outcome = outcomes.STEPS[phase]
        said = self._step(card, step, SECONDS[phase])
        return outcome(said), said

    def _ended(self, phase: Phase, error: RunError) -> tuple[str, str]:
        """Returns how a guest ended, and ends it."""
        assert self._guest
        death = console.died(self._guest.console.read_text(errors="replace"))
        self.shut_down()
        if isinstance(error, PeerDied):
            return "QEMU loses the card", ""
        if isinstance(error, GuestDied):
            return death or "the guest dies", ""
        return death or f"not done in {SECONDS[phase]:.0f} s", ""

    def _leave(self, card: Served, phase: Phase, fact: Fact) -> None:
        """Undoes faults. After what no healthy card does, the driver's state is not known."""
        if self._guest is not None:
            card.undo()
            same = self._healthy.get((card.chip, phase)) == fact
            card.level = LEAVES[phase] if same else None

    def _reach(self, card: Served, level: Level) -> None:
        """Brings a healthy card's driver to a level. Raises Dirty, RunError."""
        if card.level is None or card.level > level:
            said = self._step(card, "unbind")
            if "unbind" in said.values and not said.ok("unbind"):
                raise Dirty(f"unbind: {said.error('unbind')}")
            card.restore()
        if card.level < Level.BOUND <= level:
            self._must(card, "bind", "bind")
            card.level = Level.BOUND
        if card.level < Level.JOINED <= level:
            said = self._must(card, "join", "open")
            if said.values.get("answered") != str(outcomes.REQUESTS):
                raise Dirty(f"join: {said.values}")
            card.level = Level.JOINED

    def _must(self, card: Served, step: str, name: str) -> Said:
        said = self._step(card, step)
        if not said.ok(name) or console.died(said.log):
            raise Dirty(f"{step}: {said.error(name)}")
        return said

    def _step(self, card: Served, step: str, seconds: float = STEP, flag: int = 0) -> Said:
        assert self._guest
        command = f"bash /share/steps.sh {step} {card.device} {card.number + 1} {flag}"
        return Said.parsed(self._guest.run(command, seconds, check=False).output)

    def _boot(self) -> None:
        self.boots += 1
        folder = self.folder / f"boot.{self.boots}"
        (folder / "guest").mkdir(parents=True)
        with contextlib.ExitStack() as cleanup:
            self._cards = {
                chip: cleanup.enter_context(served(chip, number, folder))
                for number, chip in enumerate(CARDS)
            }
            guest = cleanup.enter_context(self._new_guest(folder))
            guest.wait_for_kernel("first", BOOT)
            shutil.copy(rows.STEPS, guest.share)
            guest.run("echo 0 >/sys/bus/pci/drivers_autoprobe; modprobe cxgb4", BOOT)
            self.kernel = guest.run("uname -r", STEP).output.strip()
            for card in self._cards.values():
                card.booted()
            self._guest, self._cleanup = guest, cleanup.pop_all()

    def _new_guest(self, folder: Path) -> Guest:
        if self._prepared is None:
            self._prepared = prepare(KERNEL, self.progress), find_root(progress=self.progress)
        prepared, root = self._prepared
        options = Options(
            kernel=KERNEL,
            memory="2G",
            crashkernel="",
            kernel_arguments=KERNEL_ARGUMENTS,
            root=root,
        )
        adapters = [card.adapter for card in self._cards.values()]
        self.progress("booting the guest", None)
        return prepared.guest(options, folder / "guest", folder / "console", adapters)


def flag_for(lost: Iterable[str]) -> int:
    """Returns the flag of the dump that has these entities."""
    names = set(lost)
    flags = (MEMORIES if names & IN_MEMORIES else 0) | (HARDWARE if names - IN_MEMORIES else 0)
    return flags or HARDWARE


@contextlib.contextmanager
def laboratory(progress: debs.Progress = debs.silent) -> Iterator[Lab]:
    """A laboratory with the cards of both chips."""
    with (
        tempfile.TemporaryDirectory(prefix="vmcoredd-") as name,
        Lab(Path(name), progress=progress) as lab,
    ):
        yield lab
