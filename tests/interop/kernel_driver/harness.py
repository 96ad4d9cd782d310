"""The Linux driver's own code, run against a card in this process.

    library = build(kernel_source, cache)
    card = Card(bar0=Region(access, 0x80000), config=Region(config, 0x1000))
    with Harness(library, card) as driver:
        driver.probe()
        data = driver.collect(compress=True)
        driver.counts[5].r32

Each region of the card is accessed through a `region_access` (pyvfio_user/io.h) or a Python
function. `kernel/vmcore.c` describes the one defect of the driver that stops every real crash
kernel, and how it is avoided here.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .cards import Card, PythonRegion, Region, ffi

#: A healthy run stays far below: a card of 256 MiB takes 34 million.
ACCESS_BUDGET = 100_000_000
#: Flags of an ethtool dump (cxgb4_cudbg.h).
DUMP_MEMORY, DUMP_HARDWARE, DUMP_FLASH = 1, 2, 4
DUMP_ALL = DUMP_MEMORY | DUMP_HARDWARE


class RunError(Exception):
    """A run of the driver did not return."""


class Oops(RunError):
    """It would have oopsed in a kernel."""


class Missing(RunError):
    """It called a kernel function that the harness lacks."""


class Budget(RunError):
    """It made too many accesses."""


class Counts(NamedTuple):
    """Accesses to BARs, of 4, 8 and other sizes, and to configuration space; delays."""

    r32: int = 0
    w32: int = 0
    r64: int = 0
    w64: int = 0
    other: int = 0
    config_reads: int = 0
    config_writes: int = 0
    delay_us: int = 0

    @property
    def accesses(self) -> int:
        """All accesses to BARs."""
        return self.r32 + self.w32 + self.r64 + self.w64 + self.other


class Access(NamedTuple):
    """One recorded access; `bar` is 255 for configuration space, `entity` 0 outside entities."""

    entity: int
    bar: int
    width: int
    is_write: bool
    offset: int
    value: int
    failed: bool


@dataclass(frozen=True)
class Options:
    """Options of a run; see `struct witness_options` in witness.h."""

    port_without_device: bool = False
    refused_size: int = 0
    access_budget: int = ACCESS_BUDGET
    tracing: bool = False


ENDS = {2: Oops, 3: Missing, 4: Budget}


@dataclass
class Harness:
    """Loads the driver's module once, for one probe of one card.

    The driver keeps state in variables of the module, so each harness loads its own copy.
    """

    library: Path
    card: Card
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        self._c, self._copy = _load(self.library)
        self._python: list[PythonRegion] = []
        card: Any = ffi.new("struct witness_card *")
        for bar, region in self.card.regions():
            self._fill(card.bar[bar], region)
        self._fill(card.config, self.card.config)
        self._card = card

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees what the driver has allocated, and unloads it."""
        if self._copy >= 0:
            self._c.witness_free()
            ffi.dlclose(self._c)
            os.close(self._copy)
            self._copy = -1

    def probe(self) -> None:
        """Probes as a crash kernel does, up to where the driver registers its dump.

        Raises RunError, with the driver's messages, if it does not get there.
        """
        outcome = self._run("witness_probe", self._card, kdump=True, stop_at_dump=True)
        if outcome.end != 1:
            raise RunError(f"no dump was registered: probe returned {outcome.result}\n{self.log}")

    def collect(self, *, compress: bool = True) -> bytearray:
        """Runs the driver's callback and returns its buffer, as /proc/vmcore would hold it.

        Later calls find the card as the last dump left it. Raises OSError with the callback's
        error, RunError.
        """
        buffer = bytearray(self._c.witness_dump_size())
        self._c.witness_clear_counts()
        outcome = self._run("witness_collect", ffi.from_buffer(buffer), uncompressed=not compress)
        if outcome.result:
            raise OSError(-outcome.result, os.strerror(-outcome.result))
        return buffer

    def bring_up(self, *, kdump: bool = False) -> int:
        """Runs the whole probe, including the dump if `kdump`, and returns its result.

        Interfaces get as far as register_netdev(); see `ports` and `payload`.
        """
        return int(self._run("witness_probe", self._card, kdump=kdump).result)

    def interface_up(self, port: int) -> int:
        """Brings up the interface of `port`; returns 0 or the driver's error."""
        return int(self._run("witness_set_up", port, 1).result)

    def interface_down(self, port: int) -> int:
        """Takes down the interface of `port`; returns 0 or the driver's error."""
        return int(self._run("witness_set_up", port, 0).result)

    def has_carrier(self, port: int) -> bool:
        """Whether the driver reports a link on `port`."""
        return bool(self._c.witness_link(port))

    def ethtool_dump(self, flag: int = DUMP_ALL) -> bytearray:
        """Returns what `ethtool -w` gives: the same entities, read through the firmware.

        `flag`: DUMP_MEMORY, DUMP_HARDWARE, DUMP_FLASH. Raises OSError, RunError.
        """
        size = int(self._run("witness_ethtool_size", flag).result)
        buffer = bytearray(size)
        self._c.witness_clear_counts()
        result = self._run("witness_ethtool_dump", ffi.from_buffer(buffer), size).result
        if result:
            raise OSError(-result, os.strerror(-result))
        return buffer

    def interrupt(self) -> None:
        """Runs the handler of the first vector, which looks for the card's errors.

        Raises RunError if the driver has not taken that vector.
        """
        if self._run("witness_interrupt").result:
            raise RunError(f"nobody has the first vector\n{self.log}")

    def reset(self) -> None:
        """Resets the function while the driver is bound, as `echo 1 >reset` does."""
        self._run("witness_reset")

    def configure_rss(self, port: int, queues: Sequence[int]) -> int:
        """Writes `queues` to a port's slice of the RSS table; returns 0 or the driver's error."""
        ids = ffi.new("uint16_t[]", list(queues))
        return int(self._run("witness_rss", port, ids, len(queues)).result)

    def read_clip_table(self) -> int:
        """Reads the driver's file clip_tbl of debugfs; returns what its function returns."""
        return int(self._run("witness_clip_table").result)

    def remove(self) -> None:
        """Unbinds the driver from the card."""
        self._run("witness_remove")

    @property
    def ports(self) -> int:
        """The number of network interfaces that the probe registered."""
        return int(self._c.witness_ports())

    @property
    def payload(self) -> bytes:
        """The dump that `bring_up(kdump=True)` made."""
        data, size = self._c.witness_dump_data(), self._c.witness_dump_size()
        return bytes(ffi.buffer(data, size)) if data else b""

    @property
    def dump_name(self) -> str:
        return _text(self._c.witness_dump_name())

    @property
    def counts(self) -> dict[int, Counts]:
        """Accesses by entity (0: none), since the last `collect` or since the start."""
        table = self._c.witness_counts()
        found = {}
        for number in range(128):
            row = table[number]
            counts = Counts(*(getattr(row, name) for name in Counts._fields))
            if any(counts):
                found[number] = counts
        return found

    @property
    def trace(self) -> list[Access]:
        """The same accesses in order, if `options.tracing`."""
        length = ffi.new("uint64_t *")
        records = self._c.witness_trace(length)
        return [
            Access(r.entity, r.bar, r.width, bool(r.is_write), r.offset, r.value, bool(r.failed))
            for r in (records[index] for index in range(length[0]))
        ]

    @property
    def log(self) -> str:
        """The driver's messages."""
        return _text(self._c.witness_log())

    def _run(self, function: str, *arguments: Any, **chosen: bool) -> Any:
        """Calls a function of the library with arguments, options and an outcome."""
        options = ffi.new("struct witness_options *", {**vars(self.options), **chosen})
        outcome: Any = ffi.new("struct witness_outcome *")
        getattr(self._c, function)(*arguments, options, outcome)
        for region in self._python:
            region.check()
        if outcome.end in ENDS:
            raise ENDS[outcome.end](f"{_text(outcome.text)}\n{self.log}".rstrip())
        return outcome

    def _fill(self, slot: Any, region: Region) -> None:
        access = region.access
        if callable(access):
            self._python.append(PythonRegion(access))
            access = self._python[-1].native
        function, cookie = access
        slot.access = ffi.cast("region_access", function)
        slot.cookie = ffi.cast("void *", cookie)
        slot.size = region.size


def _text(pointer: Any) -> str:
    found = ffi.string(pointer)
    return found if isinstance(found, str) else found.decode(errors="replace")


def _load(library: Path) -> tuple[Any, int]:
    """Loads a copy: the dynamic loader loads files with the same inode only once."""
    copy = os.memfd_create(library.name)
    os.sendfile(copy, (source := os.open(library, os.O_RDONLY)), 0, library.stat().st_size)
    os.close(source)
    return ffi.dlopen(f"/proc/self/fd/{copy}", ctypes.RTLD_LOCAL), copy
