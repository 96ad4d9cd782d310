"""Records what happens to a card: all its accesses, and what follows from them."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vmcoredd.chip.pci import Bar
from vmcoredd.emu import profile, triggers, wires
from vmcoredd.emu.card import Card
from vmcoredd.emu.config_space import MSIX_VECTORS, PBA_OFFSET
from vmcoredd.emu.engine import WireKind
from vmcoredd.emu.engine.trouble import TEXTS
from vmcoredd.emu.errors import EmuError
from vmcoredd.emu.silicon import faults
from vmcoredd.trace.recorder import Recorder
from vmcoredd.trace.records import DMA_CARRIED
from vmcoredd.trace.ring import RING_BYTES


@contextmanager
def recording(
    card: Card,
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    ring_bytes: int = RING_BYTES,
    dma_carried: int = DMA_CARRIED,
    about: Mapping[str, Any] | None = None,
) -> Iterator[Recorder]:
    """Records to a new file while the context is open; at its end the trace is complete.

    Of each DMA `dma_carried` bytes are kept. `about` adds to the header. If the file cannot be
    written any more, the trace ends, with a message, and the card goes on: `Recorder.failure` says
    why. Raises `trace.errors.TraceExists` and OSError.
    """
    recorder = Recorder(
        path,
        {**header(card), **(about or {})},
        on_failure=lambda _: card.core.record(None),
        force=force,
        ring_bytes=ring_bytes,
        dma_carried=dma_carried,
    )
    card.core.record(recorder.ring)
    try:
        yield recorder
    finally:
        card.core.record(None)
        recorder.stop()


def header(card: Card) -> dict[str, Any]:
    """Returns what a trace's reader has to know of the card: enough to make the same one again."""
    of = card.profile
    return {
        "recorder": "card",
        "vmcoredd": _version(),
        "chip": card.chip.name,
        "card": of.name,
        "profile": dataclasses.asdict(of) | {"chip": card.chip.name},
        "seed": card.seed,
        "scene": str(card.scenario.scene),
        "faults": list(card.faults),
        "waiting": card.triggers.armed,
        "wires": _wires(card),
        "used": any(card.accesses.values()),
        "shared": [[address, *of] for address, of in card.shared.items()],
        "memories": [[one.name, one.base, one.size] for one in card.memories],
        "doorbells_mapped": card.window_page is not None,
        "bars": {str(int(bar)): card.bars[bar] for bar in Bar},
        "msix": {"vectors": MSIX_VECTORS, "pba": PBA_OFFSET},
        "troubles": {str(int(kind)): text for kind, text in TEXTS.items()},
        "started": {"realtime_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
    }


def card_of(header: Mapping[str, Any]) -> Card:
    """Returns the same card as the one that was recorded, as it was when the trace began.

    Faults that wait for a time are left out, since the trace has when they came. Raises
    ProfileError, and EmuError for a fault, a scene or a wire that this version does not know.
    """
    try:
        seed, scene = int(header.get("seed", 0)), str(header.get("scene", ""))
        waiting = [str(text) for text in header.get("waiting", ())]
        named = [str(name) for name in header.get("faults", ())]
        plugs = [str(text) for text in header.get("wires", {}).get("inside", ())]
    except (TypeError, ValueError, AttributeError) as error:
        raise EmuError(f"the trace's header describes no card: {error}") from error
    card = Card(profile.from_header(header), seed=seed, scene=scene)
    for text in named:
        card.fail(text, undoable=True)
    for text in waiting:
        if triggers.parse(text, faults()).seconds is None:
            card.fail(text)
    wires.plug(plugs, {"": card})
    return card


def _wires(card: Card) -> dict[str, Any]:
    """Returns the wires that the same card needs, as `--wire` has them, and the ports of others."""
    ports = [one.wire for one in card.engine.c.ports[0 : card.profile.ports.count]]
    inside = [
        f"{port}={wire.peer}"
        for port, wire in enumerate(ports)
        if wire.kind == WireKind.PORT and port < wire.peer
    ]
    inside += [f"{port}=open" for port, wire in enumerate(ports) if wire.kind == WireKind.OPEN]
    known = (WireKind.PORT, WireKind.OPEN, WireKind.IDLE)
    outside = [port for port, wire in enumerate(ports) if wire.kind not in known]
    return {"inside": inside, "outside": outside}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vmcoredd")
    except PackageNotFoundError:
        return ""
