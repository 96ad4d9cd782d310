"""Hostile clients of a control socket, while a vfio-user client uses the card.

The next client of each socket is served within a bound, what was done to the card can be undone by
name, and no descriptor or thread is left; memory is bounded, and every answer is an object that
tells whether it was done. `stop` and SIGTERM end the server whoever is attached.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import IO, Any

from pyvfio_user import Client as VfioClient
from pyvfio_user import Refused, VfioUserError
from tests.fuzz.case import Broken, Case
from vmcoredd.chip import T6
from vmcoredd.emu.control import Client, ControlError, RequestRefused, beside

SERVER = "tests.fuzz.controlled_card"
BOUND = 6.0
"""Seconds until the next client is served, an access is answered, and the server has ended."""
IMPATIENCE = 0.05
"""Seconds that a hostile client waits for room in its socket, or for an answer."""
LOG_MOST = 64 << 10
"""Bytes of log per case."""
MOST = {"memory": 400 << 20, "threads": 100, "descriptors": 40}
"""What hostile clients may cost while they are attached: bytes, the ring of a trace and all
snapshots included; a thread for each fault that waits for a time."""
ERROR_MOST = 5000
"""Characters of an error."""
CONFIG = 7

FAULTS = (
    *("firmware-crash", "firmware-dead", "firmware-slow", "firmware-error", "device-gone"),
    *("link-down-port0", "link-down-port7", "flash-busy", "le-busy", "vpd-slow", "no-such-fault"),
    *("ecc-uncorrectable-edc0", "ecc-correctable-mc0", "sge-error-storm"),
)
WHENS = (
    *("", "", "@0.01s", "@5s", "@999999999s", "@0s", "@read:PL_WHOAMI", "@read:PL_REV:2"),
    *("@write:PL_RST", "@command:VI:2", "@command:HELLO", "@read:NO_SUCH", "@command:XX", "@", ","),
    *(",for=0.01s", ",for=9s", "@read:PL_WHOAMI,p=0.5", "@read:PL_WHOAMI,p=0", "@5s,for=5s"),
)
NAMES = ("a", "b", "c", "../x", "x" * 200, "x" * 201, "a\nb", "\ud800", "\u200b", "\U0001f600", "")
FILES = ("a.npz", "b.npz", "no/such.npz", "/dev/full", ".", "t6.sock", "t6.ctl", "log", "x" * 300)
NUMBERS = (0, 1, 2, 7, -1, 1 << 31, (1 << 63) - 1, 1 << 63, 10**40, 1.5, 1e308)
ODD: tuple[Any, ...] = (None, True, False, [], {}, "", "0", [[]], {"do": "stop"}, float("nan"))
VERBS = (
    *("help", "state", "fault", "fault", "link", "log", "snapshot", "restore", "reset"),
    *("trace", "trace", "trace-take", "trace-end"),
)
KEYS = {
    "fault": ("on", "off"),
    "link": ("up", "down"),
    "log": ("firmware_from", "accesses_from"),
    "snapshot": ("name", "forget"),
    "restore": ("name",),
    "trace": ("to",),
}


def make(random: Random) -> Case:
    """A case: up to twenty clients, what each does, what the card is used for, how it ends."""
    clients = random.choice((1, 1, 2, 4, 20, 60))
    steps = [step for client in range(clients) for step in _client(random, client, clients)]
    if random.random() < 0.5:
        random.shuffle(steps)
    return {
        "steps": [{"do": "connect", "client": client} for client in range(clients)] + steps,
        "vfio": random.random() < 0.8,
        "seed": random.getrandbits(32),
        "end": random.choice((*[""] * 12, "stop", "term")),
    }


def _client(random: Random, client: int, clients: int) -> list[Case]:
    count = random.choice((0, 1, 3, 8, 20)) if clients < 10 else random.choice((0, 1, 2))
    return [{**_step(random), "client": client} for _ in range(count)]


def _step(random: Random) -> Case:
    what = random.choices(
        ("ask", "text", "noise", "deep", "huge", "read", "close", "shutdown", "connect", "part"),
        (60, 6, 3, 2, 2, 12, 3, 3, 5, 3),
    )[0]
    if what == "ask":
        times = random.choice((1, 1, 1, 1, 1, 5, 100))
        return {"do": "ask", "request": _request(random), "times": times}
    if what == "text":
        return {"do": "text", "text": _spoiled(random, json.dumps(_request(random)))}
    if what == "deep":
        return {"do": "deep", "open": random.choice(("[", '{"a":', '{"do":[')), "times": 9000}
    if what == "huge":
        return {"do": "huge", "bytes": random.choice((65535, 65536, 65537, 1 << 20))}
    return {"do": what, "data": random.randbytes(random.choice((1, 40, 500))).hex()}


def _request(random: Random) -> Case:
    verb = random.choice(VERBS)
    request: Case = {"do": verb}
    for key in KEYS.get(verb, ()):
        if random.random() < 0.6:
            request[key] = _value(random, key)
    if random.random() < 0.1:
        request["id"] = random.choice((*NUMBERS, *NAMES, *ODD))
    if random.random() < 0.05:
        request[random.choice(("do", "of", "on", "x" * 1000))] = random.choice((*NUMBERS, *ODD))
    return request


def _value(random: Random, key: str) -> Any:
    if random.random() < 0.1:
        return random.choice((*NUMBERS, *NAMES, *ODD))
    if key in ("on", "off"):
        most = random.choice((1, 1, 2, 5, 16, 300))
        return [random.choice(FAULTS) + random.choice(WHENS) for _ in range(most)]
    if key == "to":
        return random.choice(FILES)
    if key in ("name", "forget"):
        return random.choice((*NAMES, *map(str, range(20))))
    return random.choice(NUMBERS)


def _spoiled(random: Random, text: str) -> str:
    at = random.randrange(len(text))
    return (
        text[:at]
        + random.choice(("", "\0", '"', "{", "\ud800", "1e999", "\u2028"))
        + text[at + 1 :]
    )


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Keeps a server, and replaces it when a case ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "t6.sock"
        self._log: IO[bytes] = (folder / "log").open("wb+")
        self._server: subprocess.Popen[bytes] | None = None
        self._before = {"descriptors": 0, "threads": 0, "memory": 0}

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def run(self, case: Case) -> None:
        """Runs a case against the server, then looks after the server."""
        self._start()
        before = os.fstat(self._log.fileno()).st_size
        with self._used(case), Hostile(beside(self._path)) as hostile:
            for step in case["steps"]:
                hostile.do(step)
            self._check_cost()
            if case["end"]:
                self._end(case["end"])
                return
            self._next_client()
        self._put_in_order()
        self._good_clients()
        self._check_log(os.fstat(self._log.fileno()).st_size - before)
        self._check_left()

    def _start(self) -> None:
        if self._server is not None:
            return
        command = [sys.executable, "-P", "-m", SERVER, str(self._path)]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log)
        assert self._server.stdout is not None
        if self._server.stdout.readline() != b"ready\n":
            raise Broken(f"the server does not start\n{self._tail()}")
        self._server.stdout.close()
        self._put_in_order()
        self._good_clients()
        self._before = self._size()

    # The client of the card

    @contextlib.contextmanager
    def _used(self, case: Case) -> Iterator[None]:
        """Lets a client access the card; each of its accesses has to be answered in time."""
        found: list[str] = []
        ending = threading.Event()
        user = threading.Thread(target=self._use, args=(Random(case["seed"]), ending, found))
        if case["vfio"]:
            user.start()
        try:
            yield
        finally:
            ending.set()
            if case["vfio"]:
                user.join()
        if found and not case["end"]:
            raise Broken(f"the client of the card: {found[0]}\n{self._tail()}")

    def _use(self, random: Random, ending: threading.Event, found: list[str]) -> None:
        try:
            with VfioClient(self._path, deadline=BOUND) as client:
                while not ending.is_set():
                    _access(client, random)
        except VfioUserError as error:
            found.append(str(error))

    # What has to hold afterwards

    def _next_client(self) -> None:
        """Asks while the hostile ones are there, who may have more to ask."""
        with self._served() as client:
            client.ask("help")
            client.ask("state")

    def _put_in_order(self) -> None:
        """Ends what is going on, undoes faults, forgets snapshots: until nothing is left."""
        with self._served() as client:
            end = time.monotonic() + BOUND
            while left := self._order(client):
                if time.monotonic() > end:
                    raise Broken(f"left: {left}\n{self._tail()}")
        for file in self._folder.glob("*.npz"):
            file.unlink()

    @contextlib.contextmanager
    def _served(self) -> Iterator[Client]:
        """A client, each of whose requests is answered in time and done."""
        self._alive()
        try:
            with Client(self._path, deadline=BOUND) as client:
                yield client
        except (ControlError, RequestRefused) as error:
            self._alive()
            raise Broken(f"the next client: {error}\n{self._tail()}") from error

    def _order(self, client: Client) -> list[Any]:
        """Returns what was there; of requests that were under way something may come yet."""
        with contextlib.suppress(RequestRefused):
            client.ask("trace-end")
        faults, snapshots = client.ask("fault"), client.ask("snapshot")["snapshots"]
        for text in [*faults["waiting_faults"], *reversed(faults["faults"])]:
            with contextlib.suppress(RequestRefused):  # it may have come, or its time be over
                client.ask("fault", off=[text])
        for one in snapshots:
            client.ask("snapshot", forget=one["name"])
        for port in client.ask("link")["ports"]:
            client.ask("link", up=port["port"])
        return [*faults["waiting_faults"], *faults["faults"], *snapshots]

    def _good_clients(self) -> None:
        self._alive()
        try:
            with VfioClient(self._path, deadline=BOUND) as client:
                if client.region_read(CONFIG, 0, 2) != b"\x25\x14":
                    raise Broken("the server serves another configuration space")
                if client.region_read(0, T6.r.PL_REV, 4) == b"\xff" * 4:
                    raise Broken("the card is gone, although no fault is on")
        except VfioUserError as error:
            self._alive()
            raise Broken(f"the next client of the card: {error}\n{self._tail()}") from error

    def _alive(self) -> subprocess.Popen[bytes]:
        assert self._server is not None
        if self._server.poll() is not None:
            raise Broken(f"the server ended with {self._server.returncode}\n{self._tail()}")
        return self._server

    def _end(self, how: str) -> None:
        server = self._alive()
        if how == "term":
            server.send_signal(signal.SIGTERM)
        else:
            with contextlib.suppress(ControlError), Client(self._path, deadline=BOUND) as client:
                client.ask("stop")
        try:
            code = server.wait(BOUND)
        except subprocess.TimeoutExpired as error:
            server.send_signal(signal.SIGABRT)
            raise Broken(f"{how} was not heard in {BOUND:g} s\n{self._tail()}") from error
        left = [path.name for path in self._folder.glob("t6.*")]
        if code or left:
            raise Broken(f"{how}: exit code {code}, left {left}\n{self._tail()}")
        self._server = None

    def _check_log(self, grown: int) -> None:
        if grown > LOG_MOST:
            raise Broken(f"{grown} bytes of log\n{self._tail()}")
        text = self._tail(grown)
        for word in ("Traceback", "runtime error", "AddressSanitizer", "never retrieved"):
            if word in text:
                raise Broken(f"{word} in the log:\n{text[-3000:]}")

    def _check_left(self) -> None:
        """Waits until what the case has cost is given back."""
        end = time.monotonic() + BOUND
        while grown := self._grown():
            if time.monotonic() > end:
                raise Broken(f"left: {', '.join(grown)}\n{self._tail()}")
            time.sleep(0.01)

    def _grown(self) -> list[str]:
        now = self._size()
        return [
            f"{now[name] - self._before[name]} {name}"
            for name in ("descriptors", "threads")
            if now[name] > self._before[name]
        ]

    def _check_cost(self) -> None:
        """Waits until the case costs no more than it may: clients that are too many have been
        accepted before they are cut off."""
        end = time.monotonic() + BOUND
        while dear := self._dear():
            if time.monotonic() > end:
                raise Broken(f"{', '.join(dear)}\n{self._tail()}")
            time.sleep(0.01)

    def _dear(self) -> list[str]:
        now = self._size()
        return [
            f"{now[name]} {name}, {self._before[name]} before"
            for name, most in MOST.items()
            if now[name] - self._before[name] > most
        ]

    def _size(self) -> dict[str, int]:
        process = Path(f"/proc/{self._alive().pid}")
        status = dict(line.split(":\t") for line in (process / "status").read_text().splitlines())
        return {
            "descriptors": len(os.listdir(process / "fd")),
            "threads": int(status["Threads"]),
            "memory": 1024 * int(status["VmRSS"].split()[0]),
        }

    def _tail(self, size: int = 1500) -> str:
        end = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, max(0, end - size)).decode(errors="replace")


def _access(client: VfioClient, random: Random) -> None:
    """Makes an access that may be refused, but not be left without an answer."""
    offset, length = 4 * random.randrange(1 << 17), 4 * random.choice((1, 1, 1, 2, 64))
    if random.random() < 0.2:
        offset = int(T6.r.PL_WHOAMI)
    with contextlib.suppress(Refused):
        if random.random() < 0.8:
            client.region_read(0, offset, length)
        else:
            client.region_write(0, offset, random.randbytes(length))


class Hostile(contextlib.AbstractContextManager["Hostile"]):
    """Several connections to the control socket, and all that goes over them."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._connections: dict[int, socket.socket] = {}
        self._rests: dict[int, bytes] = {}

    def __exit__(self, *_: object) -> None:
        self.leave()

    def do(self, step: Case) -> None:
        """Makes one step; what the server does about it is the server's matter."""
        client = step["client"]
        if client in self._connections or step["do"] == "connect":
            with contextlib.suppress(OSError):
                getattr(self, f"_{step['do']}")(client, step)

    def leave(self) -> None:
        """Closes all connections."""
        for client in list(self._connections):
            self._close(client, {})

    def _connect(self, client: int, step: Case) -> None:
        if client in self._connections:
            self._close(client, step)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(IMPATIENCE)
        self._connections[client], self._rests[client] = connection, b""
        connection.connect(self._path)

    def _send(self, client: int, data: bytes) -> None:
        self._connections[client].sendall(data)

    def _ask(self, client: int, step: Case) -> None:
        self._send(client, step["times"] * (json.dumps(step["request"]).encode() + b"\n"))

    def _text(self, client: int, step: Case) -> None:
        self._send(client, step["text"].encode(errors="surrogatepass") + b"\n")

    def _noise(self, client: int, step: Case) -> None:
        self._send(client, bytes.fromhex(step["data"]) + b"\n")

    def _part(self, client: int, step: Case) -> None:
        self._send(client, bytes.fromhex(step["data"]))

    def _deep(self, client: int, step: Case) -> None:
        self._send(client, step["times"] * step["open"].encode() + b"\n")

    def _huge(self, client: int, step: Case) -> None:
        self._send(client, b'{"do": "' + b"x" * (step["bytes"] - 11) + b'"}\n')

    def _read(self, client: int, step: Case) -> None:
        """Reads what there is, and checks each answer."""
        rest = self._rests[client]
        try:
            while data := self._connections[client].recv(1 << 16):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    _check(line)
        finally:
            self._rests[client] = rest

    def _close(self, client: int, step: Case) -> None:
        self._rests.pop(client)
        self._connections.pop(client).close()

    def _shutdown(self, client: int, step: Case) -> None:
        how = (socket.SHUT_RD, socket.SHUT_WR)[len(step["data"]) // 2 % 2]
        self._connections[client].shutdown(how)


def _check(line: bytes) -> None:
    try:
        answer = json.loads(line, parse_constant=_refuse)
        is_one = isinstance(answer, dict) and ("event" in answer or type(answer["ok"]) is bool)
    except (ValueError, KeyError):
        is_one = False
    if not is_one:
        raise Broken(f"no answer: {line[:500]!r}")
    error = answer.get("error", "")
    if error.startswith("it failed") or len(error) > ERROR_MOST:
        raise Broken(f"an answer that no verb means: {error[:500]}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
