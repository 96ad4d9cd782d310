"""Serves a card on a vfio-user socket, for QEMU or for a driver without a guest."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from functools import partial

from pyvfio_user import SPIN, Area, DmaRegion, ListenError, NativeAccess, ResetReason, Server
from vmcoredd.chip.pci import Bar
from vmcoredd.emu.card import Card
from vmcoredd.emu.config_space import MSIX_VECTORS
from vmcoredd.emu.errors import CardInUse, ServerDied
from vmcoredd.trace.records import Kind, Source

_SERVERS: MutableMapping[Card, weakref.ref[Server]] = weakref.WeakKeyDictionary()
"""The last server of each card."""
_SERVERS_LOCK = threading.Lock()


def serve(
    card: Card,
    path: str | os.PathLike[str],
    *,
    ready: Callable[[], None] | int | None = None,
    mode: int = 0o600,
    owner: str | int | None = None,
    deadline: float = 5.0,
    spin: float = SPIN,
    idle: float | None = None,
    control: str | os.PathLike[str] | None = None,
) -> None:
    """Serves one client after another until SIGTERM, SIGINT or SIGHUP, then removes the socket.

    When clients can connect, it calls `ready`, or writes a line to it and closes it if `ready` is
    a descriptor. `control`: where to put a control socket (emu/control/), which gets the same mode
    and owner; None: there is none. The other arguments and the errors (ServerUnavailable,
    ListenError) are those of `pyvfio_user.Server`; CardInUse is that of `attach()`. Signals work
    only in the main thread; in another thread use `served()`.
    """
    with Server(path, mode, owner, deadline, spin, idle) as server:
        attach(card, server)
        main = threading.current_thread() is threading.main_thread()
        with (
            controlled(card, server, control, mode, owner),
            server.stopped_by(*_ending()) if main else contextlib.nullcontext(),
        ):
            _tell(ready)
            server.run()
        if server.died:
            raise ServerDied(f"{server.path}: the server died, as its fault has it")
    card.access_log.log_totals()


@contextlib.contextmanager
def served(
    card: Card,
    path: str | os.PathLike[str],
    deadline: float = 5.0,
    control: str | os.PathLike[str] | None = None,
) -> Iterator[None]:
    """Serves a card from a thread while the context is open.

    `deadline`, in seconds, `control` and the errors are those of `serve`.
    """
    with Server(path, deadline=deadline) as server:
        attach(card, server)
        with controlled(card, server, control), running(server):
            yield


@contextlib.contextmanager
def controlled(
    card: Card,
    server: Server,
    path: str | os.PathLike[str] | None,
    mode: int = 0o600,
    owner: str | int | None = None,
) -> Iterator[None]:
    """Gives a server a control socket at `path`, if not None, while the context is open."""
    if path is None:
        yield
        return
    from vmcoredd.emu.control import Control, Served

    with Control(Served(card, server), path, mode, owner):
        yield


@contextlib.contextmanager
def running(server: Server) -> Iterator[None]:
    """Runs a server in a thread while the context is open."""
    thread = threading.Thread(target=server.run, name="vfio-user server")
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(ListenError):  # it may have died
            server.stop()
        thread.join()


def attach(card: Card, server: Server) -> None:
    """Makes `server` serve `card`: BARs and config space through their C entry points, resets.

    The packet engine works between two messages of a client, whose memory it reaches while that
    client is attached. So a card has one server at a time: CardInUse as long as another that was
    attached to it is not closed.
    """

    _take(card, server)
    engine = card.engine

    def attached() -> None:
        engine.attach(server.host())
        card.core.note(Kind.ATTACHED, Source.CLIENT)

    def mapped(memory: DmaRegion) -> None:
        if memory.mapped:
            card.shared[memory.address] = memory.size, memory.writable
            card.core.note_memory(
                Kind.MAPPED, memory.address, memory.size, writable=memory.writable
            )

    def unmapped(memory: DmaRegion) -> None:
        if card.shared.pop(memory.address, None):
            card.core.note_memory(
                Kind.UNMAPPED, memory.address, memory.size, writable=memory.writable
            )

    def reset(reason: ResetReason) -> None:
        if reason is ResetReason.LOST_CONNECTION:
            card.core.note(Kind.DETACHED, Source.CLIENT)
            card.shared.clear()
            engine.detach()
        else:
            card.reset()

    server.config_space(card.config[:64], NativeAccess(*card.config_space.native))
    for bar in Bar:
        server.region(
            bar,
            card.bars[bar],
            NativeAccess(*card.core.native(bar)),
            bits64=True,
            prefetch=bar == Bar.DOORBELLS,
            mmap=_area(card) if bar == Bar.REGISTERS else None,
        )
    server.irqs(intx=1, msi=1, msix=MSIX_VECTORS)
    server.on_client = attached
    server.on_reset = reset
    server.on_dma_map, server.on_dma_unmap = mapped, unmapped
    server.work(engine.work)
    card.triggers.start_clock(partial(_later, server))
    card.be_served(server)


def _later(server: Server, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
    """Calls a function so many seconds later in the server's thread, if there is one by then.

    Returns what ends the wait before.
    """

    def submit() -> None:
        with contextlib.suppress(ListenError):
            server.submit(function)

    timer = threading.Timer(seconds, submit)
    timer.daemon = True
    timer.start()
    return timer.cancel


def _take(card: Card, server: Server) -> None:
    with _SERVERS_LOCK:
        before = _SERVERS[card]() if card in _SERVERS else None
        if before is not None and not before.closed:
            raise CardInUse(
                f"a server at {before.path} has this card: close it first, or give the one at "
                f"{server.path} a card of its own (Card.load)"
            )
        _SERVERS[card] = weakref.ref(server)


def _ending() -> list[signal.Signals]:
    """Returns the signals that end a server: SIGHUP too, unless our parent ignores it (nohup)."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


def _area(card: Card) -> Area | None:
    """Returns the page of the memory window if the card lets clients map it."""
    page = card.window_page
    return Area(page.fd, page.offset, page.offset, page.size) if page else None


def _tell(ready: Callable[[], None] | int | None) -> None:
    if isinstance(ready, int):
        os.write(ready, b"ready\n")
        os.close(ready)
    elif ready is not None:
        ready()
