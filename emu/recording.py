"""Records what happens to a card: all its accesses, and what follows from them."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vmcoredd.chip.pci import Bar
from vmcoredd.emu.card import Card
from vmcoredd.emu.config_space import MSIX_VECTORS, PBA_OFFSET
from vmcoredd.emu.engine.trouble import TEXTS
from vmcoredd.trace.recorder import Recorder
from vmcoredd.trace.ring import RING_BYTES


@contextmanager
def recording(
    card: Card,
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    ring_bytes: int = RING_BYTES,
    about: Mapping[str, Any] | None = None,
) -> Iterator[Recorder]:
    """Records to a new file while the context is open; at its end the trace is complete.

    `about` adds to the header. If the file cannot be written any more, the trace ends, with a
    message, and the card goes on: `Recorder.failure` says why. Raises `trace.errors.TraceExists`
    and OSError.
    """
    recorder = Recorder(
        path,
        {**header(card), **(about or {})},
        on_failure=lambda _: card.core.record(None),
        force=force,
        ring_bytes=ring_bytes,
    )
    card.core.record(recorder.ring)
    try:
        yield recorder
    finally:
        card.core.record(None)
        recorder.stop()


def header(card: Card) -> dict[str, Any]:
    """Returns what a trace's reader has to know of the card: enough to make the same one again."""
    profile = card.profile
    return {
        "recorder": "card",
        "vmcoredd": _version(),
        "chip": card.chip.name,
        "card": profile.name,
        "profile": dataclasses.asdict(profile) | {"chip": card.chip.name},
        "seed": card.seed,
        "scene": str(card.scenario.scene),
        "faults": list(card.faults),
        "memories": [[one.name, one.base, one.size] for one in card.memories],
        "doorbells_mapped": card.window_page is not None,
        "bars": {str(int(bar)): card.bars[bar] for bar in Bar},
        "msix": {"vectors": MSIX_VECTORS, "pba": PBA_OFFSET},
        "troubles": {str(int(kind)): text for kind, text in TEXTS.items()},
        "started": {"realtime_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
    }


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vmcoredd")
    except PackageNotFoundError:
        return ""
