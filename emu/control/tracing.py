"""Traces that are begun and ended while a card is served: to a file, or for a client to take."""

from __future__ import annotations

import base64
import contextlib
import threading
import zlib
from typing import Any

from pyvfio_user import ListenError, Server
from vmcoredd.emu.card import Card
from vmcoredd.emu.errors import EmuError
from vmcoredd.emu.recording import header, recording
from vmcoredd.trace.errors import TraceExists
from vmcoredd.trace.recorder import Recorder
from vmcoredd.trace.ring import Ring

TAKEN_BYTES = 1 << 20
"""Records in one answer at most."""
PATIENCE = 10.0
"""Seconds after which a trace ends whose client takes nothing."""
ACCESS = 2.0
"""Seconds that the access may take that the last trace has ended in."""


class NoTrace(EmuError):
    """A trace cannot be begun, or there is none; says what to do instead."""


class Tracing:
    """The trace of a served card, for any thread; the card records itself."""

    def __init__(self, card: Card, server: Server) -> None:
        self._card, self._server = card, server
        self._lock = threading.RLock()
        self._had_ring = False
        self._file: contextlib.ExitStack | None = None
        self._recorder: Recorder | None = None
        self._live: Ring | None = None
        self._timer: threading.Timer | None = None

    def record(self, path: str) -> dict[str, Any]:
        """Begins a trace in a new file. Raises NoTrace and OSError."""
        with self._lock:
            self._check_free()
            stack = contextlib.ExitStack()
            try:
                self._recorder = stack.enter_context(recording(self._card, path))
            except TraceExists as error:
                raise NoTrace(f"{error}: choose another file") from error
            self._file = stack
            return {"file": path}

    def begin(self) -> dict[str, Any]:
        """Begins a trace that a client takes, piece by piece; returns its header."""
        with self._lock:
            self._check_free()
            self._live = Ring()
            self._card.core.record(self._live)
            self._wait(self._live)
            return {"header": header(self._card)}

    def take(self) -> dict[str, Any]:
        """Returns the next records, compressed, in base64; none if there are none yet."""
        with self._lock:
            live = self._live
            if live is None:
                raise NoTrace(
                    f"no trace to take from; one that nobody takes for {PATIENCE:g} s has ended"
                )
            self._wait(live)
            records = b"".join(bytes(piece) for piece in live.take(in_all=TAKEN_BYTES))
        packed = base64.b64encode(zlib.compress(records, 1)).decode()
        return {"records": packed, "size_bytes": len(records), "lost": live.lost}

    def end(self) -> dict[str, Any]:
        """Ends whichever trace there is."""
        with self._lock:
            recorder, file = self._recorder, self._file
            if file is None or recorder is None:
                return self._end_live(self._live)
            self._recorder = self._file = None
            file.close()
            if recorder.failure:
                raise recorder.failure
            return {"events": recorder.ring.events, "lost": recorder.ring.lost}

    def close(self) -> None:
        """Ends the trace, if there is one."""
        with contextlib.suppress(NoTrace, OSError):
            self.end()

    def _end_live(self, live: Ring | None) -> dict[str, Any]:
        with self._lock:
            if live is None or live is not self._live:
                raise NoTrace("there is no trace that was begun here")
            if self._timer is not None:
                self._timer.cancel()
            self._card.core.record(None)
            self._live = self._timer = None
            return {"events": live.events, "lost": live.lost}

    def _check_free(self) -> None:
        if self._card.core.is_recorded:
            raise NoTrace("the card is traced already; end that trace first")
        if self._had_ring:
            self._let_go()
        self._had_ring = True

    def _let_go(self) -> None:
        """Waits until no access is under way that may still use the ring of the last trace."""
        with contextlib.suppress(ListenError):  # the server has ended, and all accesses
            done = self._server.submit(lambda: None)
            try:
                done.result(ACCESS)
            except TimeoutError:
                done.cancel()
                raise NoTrace("busy: the last access has not ended. Ask again") from None

    def _wait(self, live: Ring) -> None:
        """Ends a live trace when its client has gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(PATIENCE, self._give_up, [live])
        self._timer.daemon = True
        self._timer.start()

    def _give_up(self, live: Ring) -> None:
        with contextlib.suppress(NoTrace):
            self._end_live(live)
