"""Guests that are hostile to the packet engine.

`hostile_guest.c` writes random and nearly right work requests, buffers, doorbells, GTS values,
registers, frames and contexts, with a card's own C. Its host lets nothing be touched that is not
mapped, that belongs to a queue that is gone, or that lies beyond a ring's end, and counts what
follows from one run of the engine. Afterwards a driver finds the card as after any reset.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from random import Random
from typing import Any

from cffi import FFI

from tests.fuzz.case import Broken, Case
from tests.support.emumail import Mailbox
from vmcoredd.chip.firmware import Hello
from vmcoredd.chip.pci import Bar
from vmcoredd.emu import Card, profiles
from vmcoredd.emu._cffi import ffi as emu_ffi
from vmcoredd.emu._cffi import lib as emu_lib

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
INTERFACE = ROOT / "pyvfio_user/src/pyvfio_user/include"
OPERATIONS = 40_000
MOST_ACCESSES = 20_000
"""Of the host's memory, from one run of the engine: some milliseconds."""


def make(random: Random) -> Case:
    """A case: a card, and the seed of the guest's numbers."""
    return {
        "card": random.choice(profiles()),
        "seed": random.getrandbits(62),
        "operations": OPERATIONS,
    }


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Compiles the guest, with sanitizers if the packages have them."""

    def __init__(self, folder: Path) -> None:
        self._ffi = FFI()
        self._ffi.cdef("struct engine; struct frame;" + (HERE / "hostile_guest.h").read_text())
        self._lib: Any = self._ffi.dlopen(str(compiled(folder)))

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, case: Case) -> None:
        """Lets a guest storm, then a driver come."""
        card = Card.load(case["card"])
        guest = self._guest(card, case["seed"])
        try:
            self._check(self._lib.guest_storm(guest, case["operations"], MOST_ACCESSES))
            self._check(self._lib.guest_calm(guest))
            self.sights = self._sights(guest)
            counts = card.engine.c.counts
            self.counts = {name: getattr(counts, name) for name, _ in emu_ffi.typeof(counts).fields}
        finally:
            self._lib.guest_destroy(guest)
        _drive(card)

    def _guest(self, card: Card, seed: int) -> Any:
        bars = [card.core.native(bar)[1] for bar in (Bar.REGISTERS, Bar.DOORBELLS, Bar.MSIX)]
        cookies = self._ffi.new("void *[3]", [self._ffi.cast("void *", bar) for bar in bars])
        functions = {
            "access": "emu_access",
            "run": "engine_run",
            "receive": "engine_receive",
            "cpl": "engine_cpl",
            "tell": "engine_tell",
            "update_links": "engine_update_links",
            "limit": "engine_limit",
            "stop": "engine_stop",
        }
        calls = self._ffi.new("struct guest_calls *")
        for name, function in functions.items():
            kind = self._ffi.typeof(calls).item.fields
            address = int(emu_ffi.cast("uintptr_t", emu_ffi.addressof(emu_lib, function)))
            setattr(calls, name, self._ffi.cast(dict(kind)[name].type, address))
        engine = int(emu_ffi.cast("uintptr_t", card.engine.c))
        made = self._lib.guest_create(
            self._ffi.cast("struct engine *", engine), cookies, calls, seed
        )
        if not made:
            raise MemoryError
        return made

    def _check(self, said: Any) -> None:
        if said:
            raise Broken(self._ffi.string(said).decode())

    def _sights(self, guest: Any) -> dict[str, int]:
        sights = self._lib.guest_sights(guest)
        return {name: getattr(sights, name) for name, _ in self._ffi.typeof(sights).item.fields}


def compiled(folder: Path) -> Path:
    """Returns the guest as a library in `folder`."""
    out = folder / "hostile_guest.so"
    sanitize = (
        ["-fsanitize=address,undefined"] if "libasan" in os.environ.get("LD_PRELOAD", "") else []
    )
    includes = [f"-I{path}" for path in (ROOT, INTERFACE, HERE)]
    source = HERE / "hostile_guest.c"
    options = ["-std=gnu11", "-O1", "-g", "-shared", "-fPIC", *sanitize, *includes]
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(["gcc", *options, source, "-o", out], check=True, env=plain)
    return out


def _drive(card: Card) -> None:
    """A driver finds the card as after any reset."""
    card.reset()
    if any(queue.kind for queue in card.engine.c.egress):
        raise Broken("a queue is left after a reset")
    Mailbox(card).do(Hello(mbmaster=4))
