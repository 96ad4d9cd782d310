"""Hostile clients against our server with an emulated card.

After each case the next good client must be served within a bound, no descriptor may be left open,
the log must be short, and SIGTERM must end the server even with hostile clients attached.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import IO

from vfio_peers import VERSION, message

from pyvfio_user import Client
from tests.fuzz import messages
from tests.fuzz.case import Broken, Case
from tests.fuzz.descriptors import Descriptors
from vmcoredd.chip import T6

SERVER = "tests.fuzz.served_card"
DEADLINE = 0.4
BOUND = 4.0
"""Seconds until the next client is served, and from SIGTERM to the end: a few deadlines."""
IMPATIENCE = 0.05
"""Seconds that the hostile client waits for room in a socket, or for a reply."""
LOG_MOST = 128 << 10
"""Bytes of log per case."""
CONFIG = 7


def make(random: Random) -> Case:
    """A case: one to six clients, what each does, and how it all ends."""
    clients = random.choice((1, 1, 1, 2, 6))
    steps = [step for client in range(clients) for step in _client(random, client)]
    return {
        "window": random.random() < 0.3,
        "steps": steps,
        "stays": random.random() < 0.3,
        "term": random.random() < 0.15,
    }


def _client(random: Random, client: int) -> list[Case]:
    steps: list[Case] = [{"do": "connect"}]
    if random.random() < 0.9:
        cuts = sorted(random.choices(range(60), k=random.choice((0, 0, 0, 1, 2))))
        payload = messages.version(random).hex()
        steps.append({"do": "version", "payload": payload, "cuts": cuts})
    for _ in range(random.choice((0, 1, 3, 8, 20))):
        steps.append(messages.request(random) if random.random() < 0.9 else _odd(random))
    return [{**step, "client": client} for step in steps]


def _odd(random: Random) -> Case:
    what = random.choice(("drain", "noise", "part", "close", "shutdown", "truncate", "late"))
    return {"do": what, "data": random.randbytes(random.choice((1, 15, 16, 40))).hex()}


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Keeps a server, and replaces it when a case ended it or needs another one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "socket"
        self._log: IO[bytes] = (folder / "log").open("wb+")
        self._server: subprocess.Popen[bytes] | None = None
        self._window: bool | None = None
        self._fds = 0

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, case: Case) -> None:
        """Runs a case against the server, then looks after the server."""
        self._start(case["window"])
        before = os.fstat(self._log.fileno()).st_size
        with Hostile(str(self._path)) as hostile:
            for step in case["steps"]:
                hostile.do(step)
            if case["term"]:
                self._terminate()
                return
            hostile.leave(stay_silent=case["stays"])
            self._good_client()
        self._check_log(os.fstat(self._log.fileno()).st_size - before)
        self._check_descriptors()

    def _start(self, window: bool) -> None:
        if self._server is not None and window == self._window:
            return
        self._stop()
        words = [str(self._path), str(DEADLINE), *(["window"] if window else [])]
        command = [sys.executable, "-P", "-m", SERVER, *words]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log)
        assert self._server.stdout is not None
        if self._server.stdout.readline() != b"ready\n":
            raise Broken("the server does not start")
        self._server.stdout.close()
        self._window = window
        self._good_client()
        self._good_client()
        self._fds = self._descriptors()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def _alive(self) -> subprocess.Popen[bytes]:
        assert self._server is not None
        if self._server.poll() is not None:
            raise Broken(f"the server ended with {self._server.returncode}\n{self._tail()}")
        return self._server

    def _good_client(self) -> None:
        begin = time.monotonic()
        self._alive()
        try:
            with Client(self._path, deadline=BOUND) as client:
                if client.region_read(CONFIG, 0, 2) != b"\x25\x14":
                    raise Broken("the server serves another configuration space")
                client.region_read(0, T6.r.PL_REV, 4)
        except Exception as error:
            self._alive()
            raise Broken(f"the next client is not served: {error}\n{self._tail()}") from error
        took = time.monotonic() - begin
        if took > BOUND:
            raise Broken(f"the next client was served after {took:.1f} s\n{self._tail()}")

    def _terminate(self) -> None:
        server = self._alive()
        server.send_signal(signal.SIGTERM)
        try:
            code = server.wait(BOUND)
        except subprocess.TimeoutExpired as error:
            raise Broken(f"SIGTERM was not heard in {BOUND:g} s\n{self._tail()}") from error
        if code or self._path.exists():
            raise Broken(f"SIGTERM: exit code {code}, socket left: {self._path.exists()}")
        self._server = None

    def _check_log(self, grown: int) -> None:
        if grown > LOG_MOST:
            raise Broken(f"{grown} bytes of log\n{self._tail()}")
        text = self._tail(grown)
        for word in ("Traceback", "runtime error", "AddressSanitizer", "LEAK"):
            if word in text:
                raise Broken(f"{word} in the log:\n{text[-3000:]}")

    def _check_descriptors(self) -> None:
        end = time.monotonic() + BOUND
        while (count := self._descriptors()) > self._fds:
            if time.monotonic() > end:
                raise Broken(f"{count} descriptors open, {self._fds} before")
            os.sched_yield()

    def _descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._alive().pid}/fd"))

    def _tail(self, size: int = 1500) -> str:
        self._log.flush()
        end = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, max(0, end - size)).decode(errors="replace")


class Hostile(contextlib.AbstractContextManager["Hostile"]):
    """Several connections to the server at `path`, and all that goes over them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connections: dict[int, socket.socket] = {}
        self._negotiating: set[int] = set()
        self._descriptors = Descriptors()

    def __exit__(self, *_: object) -> None:
        self.leave(stay_silent=False)
        self._descriptors.close()

    def do(self, step: Case) -> None:
        """Makes one step; what the server does about it is the server's matter."""
        client = step["client"]
        if client in self._connections or step["do"] == "connect":
            with contextlib.suppress(OSError):
                getattr(self, f"_{step['do']}")(client, step)

    def leave(self, *, stay_silent: bool) -> None:
        """Closes the connections; with `stay_silent` not those that have not negotiated."""
        for client in list(self._connections):
            if not stay_silent or client not in self._negotiating:
                self._close(client, {})

    def _connect(self, client: int, step: Case) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(IMPATIENCE)
        self._connections[client] = connection
        self._negotiating.add(client)
        connection.connect(self._path)

    def _version(self, client: int, step: Case) -> None:
        data = message(VERSION, bytes.fromhex(step["payload"]))
        places = [0, *step["cuts"], len(data)]
        self._negotiating.discard(client)
        for at, end in itertools.pairwise(places):
            self._connections[client].sendall(data[at:end])
        self._receive(client)

    def _send(self, client: int, step: Case) -> None:
        if step["command"] == VERSION:
            self._negotiating.discard(client)
        fields = {"flags": step["flags"], "size": step["size"], "id": 7}
        data = message(step["command"], bytes.fromhex(step["payload"]), **fields)
        for _ in range(step["times"]):
            fds = [self._descriptors(kind) for kind in step["fds"]]
            sent = socket.send_fds(self._connections[client], [data], fds)
            self._connections[client].sendall(data[sent:])

    def _drain(self, client: int, step: Case) -> None:
        while self._receive(client):
            pass

    def _receive(self, client: int) -> bytes:
        data, fds, _, _ = socket.recv_fds(self._connections[client], 1 << 20, 16)
        for fd in fds:
            self._spoil(fd)
        return data

    def _spoil(self, fd: int) -> None:
        """Does its worst to a file that the server shares."""
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
        os.close(fd)

    def _noise(self, client: int, step: Case) -> None:
        self._connections[client].sendall(bytes.fromhex(step["data"]))

    def _part(self, client: int, step: Case) -> None:
        data = message(messages.WRITE, bytes.fromhex(step["data"]), size=1 << 19)
        self._connections[client].sendall(data)

    def _late(self, client: int, step: Case) -> None:
        with contextlib.suppress(TimeoutError):
            self._connections[client].recv(1)

    def _close(self, client: int, step: Case) -> None:
        self._connections.pop(client).close()

    def _shutdown(self, client: int, step: Case) -> None:
        how = (socket.SHUT_RD, socket.SHUT_WR)[len(step["data"]) // 2 % 2]
        self._connections[client].shutdown(how)

    def _truncate(self, client: int, step: Case) -> None:
        self._descriptors.truncate()
