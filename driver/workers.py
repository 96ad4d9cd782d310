"""Worker processes: forked copies of this process, so that Python runs on more than one cpu.

A worker has what was imported and loaded before the fork, and no start-up of its own. It does its
share of the jobs, each in a thread, since a slow adapter is mostly waited for. Results come back
as they are ready. A worker that dies costs only the results that it still owed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pickle
import selectors
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, NamedTuple, NoReturn, Protocol, Self, cast

from vmcoredd.driver.errors import WorkerDied

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LENGTH = struct.Struct("=I")
_libc = ctypes.CDLL(None)


class Message(NamedTuple):
    """What a worker tells about a job; the last has the result.

    Of a job that a worker owed when it died, the last message is a `WorkerDied`.
    """

    job: int
    content: Any
    last: bool
    fd: int = -1
    """A descriptor for the receiver to close, or -1."""


class Send(Protocol):
    """Sends what a job has to tell; a descriptor is copied."""

    def __call__(self, content: object, *, last: bool = False, fd: int = -1) -> None: ...


Work = Callable[[int, Send], None]
"""Does a job in the worker, and sends its result."""


def useful(jobs: int) -> int:
    """Returns how many workers to use for so many jobs: 0 if threads of this process serve better.

    That is so for a single job, on a single cpu, and if this process has more than one thread: a
    lock that another thread holds would stay locked in the copy for ever.
    """
    count = min(jobs, len(os.sched_getaffinity(0)))
    return count if count > 1 and len(os.listdir("/proc/self/task")) == 1 else 0


class Crew:
    """Up to `count` workers, which do the jobs from now on. When the context ends, none is left.

    `left` are the jobs that have no worker, because no process could be made.
    """

    def __init__(self, jobs: Sequence[int], count: int, work: Work) -> None:
        self.left = [] if count else list(jobs)
        self._workers: list[_Worker] = []
        try:
            with _shared_memory():
                for number in range(count):
                    self._add(jobs[number::count], work)
        except BaseException:
            self.end()
            raise

    def _add(self, share: Sequence[int], work: Work) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            self._workers.append(_Worker(share, work, self._workers, before))
        except OSError:
            self.left += share
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kills the workers that still work."""
        for worker in self._workers:
            worker.end()

    def messages(self) -> Iterator[Message]:
        """Yields what the workers send, until each job has its last message."""
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.channel, selectors.EVENT_READ, worker)
            while selector.get_map():
                for key, _ in selector.select():
                    worker = key.data
                    if message := worker.receive():
                        yield message
                        continue
                    selector.unregister(worker.channel)
                    death = worker.end()
                    yield from (Message(job, WorkerDied(death), True) for job in worker.owed)


@contextlib.contextmanager
def _shared_memory() -> Iterator[None]:
    """Keeps the garbage collectors of workers from writing to, and so copying, what they share."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Worker:
    """A worker as its parent sees it; `owed` are the jobs whose results have not come yet."""

    def __init__(
        self,
        share: Sequence[int],
        work: Work,
        others: Sequence[_Worker],
        signals: set[int | signal.Signals],
    ) -> None:
        self.owed = list(share)
        self._death = ""
        self.channel, theirs = socket.socketpair()
        parent = os.getpid()
        try:
            self._pid = os.fork()
            if not self._pid:
                for worker in (self, *others):
                    worker.channel.close()
                _run(share, work, theirs, parent, signals)
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()

    def receive(self) -> Message | None:
        """Returns the next message, None if there is none: the worker is done or dead."""
        head, fds, _, _ = socket.recv_fds(self.channel, _LENGTH.size, 1)
        head += self._read(_LENGTH.size - len(head))
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 1
        data = self._read(length)
        if len(data) < length:
            for fd in fds:
                os.close(fd)
            return None
        job, content, last = pickle.loads(data)
        if last:
            self.owed.remove(job)
        return Message(job, content, last, *fds)

    def _read(self, length: int) -> bytes:
        """Returns so many bytes, fewer if the worker is dead."""
        data = b""
        while len(data) < length and (more := self.channel.recv(length - len(data))):
            data += more
        return data

    def end(self) -> str:
        """Kills the worker if it still works. Returns how it ended, in words."""
        if not self._death:
            self.channel.close()
            os.kill(self._pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            how = (
                f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            )
            self._death = f"the process that dumped it {how}"
        return self._death


def _run(
    share: Sequence[int],
    work: Work,
    channel: socket.socket,
    parent: int,
    signals: set[int | signal.Signals],
) -> NoReturn:
    """Is the worker: does its share, and ends the process without the parent's cleaning up."""
    code = 1
    try:
        _leave_signals_to(parent, signals)
        lock = threading.Lock()
        with ThreadPoolExecutor(len(share)) as threads:
            list(threads.map(lambda job: _do(job, work, channel, lock), share))
        code = 0
    finally:
        os._exit(code)


def _leave_signals_to(parent: int, signals: set[int | signal.Signals]) -> None:
    """Lets the parent alone react to ^C and a closed terminal, and the worker end with it."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    die_with(parent)


def die_with(parent: int) -> None:
    """Makes the kernel kill this process when its parent is gone, also if it is already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _do(job: int, work: Work, channel: socket.socket, lock: threading.Lock) -> None:
    def send(content: object, *, last: bool = False, fd: int = -1) -> None:
        data = _pickled((job, content, last))
        data = _LENGTH.pack(len(data)) + data
        with lock:
            sent = socket.send_fds(channel, [data], [fd] if fd >= 0 else [])
            channel.sendall(data[sent:])

    work(job, send)


# Exceptions: pickle would call their constructors, whose arguments are not those that they keep


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Exception):
            return NotImplemented
        kind, *kept = cast(tuple[Any, ...], value.__reduce__())
        return _error, (kind, *kept)


def _pickled(value: object) -> bytes:
    file = BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


def _error(kind: type[Exception], arguments: tuple[Any, ...], state: Any = None) -> Exception:
    """Makes an exception by the constructor of Python's own class that it is derived from."""
    error = kind.__new__(kind, *arguments)
    builtin: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
    builtin.__init__(error, *arguments)
    error.__setstate__(state)
    return error
