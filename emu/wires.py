"""Wires: where the ports of cards lead, as a user says it.

    0=1                       another port of the same card
    a.0=b.0                   a port of another card of this process
    0=stream:/run/w.sock      a stream socket, as QEMU's -netdev stream: who comes first listens
    0=dgram:LOCAL[,REMOTE]    datagram sockets, as QEMU's -netdev dgram; without REMOTE, frames go
                              where the last one came from
    0=tap:NAME                a tap interface of this machine; it needs the right to use it
    0=open                    no cable
    0=idle                    a peer that takes everything and sends nothing: what a port without
                              --wire has

QEMU's ends of the sockets, where a path of ours is the other's `remote`:

    -netdev stream,id=n,server=off,addr.type=unix,addr.path=/run/w.sock,reconnect-ms=500
    -netdev dgram,id=n,local.type=unix,local.path=REMOTE,remote.type=unix,remote.path=LOCAL

A stream is connected only while its port is on: configured and enabled by a driver. So the link at
each end follows the other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
import struct
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from vmcoredd.emu.card import Card
from vmcoredd.emu.engine import WireKind
from vmcoredd.emu.errors import EmuError

HELP = "0=1, 0=stream:/run/w.sock, 0=dgram:LOCAL[,REMOTE], 0=tap:NAME, 0=open or 0=idle"
NEEDS = {"stream": "a socket's path", "dgram": "a socket's path", "tap": "an interface's name"}
EXAMPLE = {"stream": "stream:/run/w.sock", "dgram": "dgram:/run/w.sock", "tap": "tap:tap0"}
"""What follows the name of a medium."""
TCP = re.compile(r"[^/]*:\d+")
"""HOST:PORT, as QEMU names a TCP socket."""
TUN = "/dev/net/tun"
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFNAMSIZ = 0x400454CA, 0x0002, 0x1000, 16
"""From linux/if_tun.h and linux/if.h."""
PATH_MAX = 107
"""Bytes of a socket's path (struct sockaddr_un)."""


class WireError(EmuError):
    """A wire cannot be made; says what to type instead."""


class CaptureError(WireError):
    """A capture cannot be made; says what to type instead."""


class CaptureExists(EmuError, FileExistsError):
    """The file of a capture exists already, and it was not said to replace it."""


class Medium(Enum):
    """What a wire of one port leads to; the value is what `describe()` says."""

    PORT = "port {peer}"
    STREAM = "stream socket {local}: connects to whoever listens there, or listens"
    DGRAM = "datagrams from {local} to {remote}"
    TAP = "tap interface {local}"
    OPEN = "no cable"
    IDLE = "a peer that takes everything and sends nothing"


@dataclass(frozen=True)
class End:
    """A port of a card; `card` is its name, empty for the only one."""

    card: str
    port: int

    def __str__(self) -> str:
        return f"{self.card}.{self.port}" if self.card else str(self.port)


@dataclass(frozen=True)
class Wire:
    """A wire, as one `--wire` says it."""

    end: End
    medium: Medium
    peer: End | None = None
    """PORT: the other port."""
    local: str = ""
    """The path of our socket, or the name of the tap interface."""
    remote: str = ""
    """DGRAM: the path of the other socket; empty if it is to be learnt."""

    def __str__(self) -> str:
        """Returns what leads where, for a person."""
        remote = self.remote or "where the last one came from"
        text = self.medium.value.format(peer=self.peer, local=self.local, remote=remote)
        return f"port {self.end}: {text}"

    @property
    def qemu(self) -> list[str]:
        """QEMU's words for the other end; none if QEMU cannot be there."""
        if self.medium is Medium.STREAM:
            at = f"addr.type=unix,addr.path={_escaped(self.local)}"
            return ["-netdev", f"stream,id=n{self.end.port},server=off,{at},reconnect-ms=500"]
        if self.medium is Medium.DGRAM and self.remote:
            theirs = f"local.type=unix,local.path={_escaped(self.remote)}"
            ours = f"remote.type=unix,remote.path={_escaped(self.local)}"
            return ["-netdev", f"dgram,id=n{self.end.port},{theirs},{ours}"]
        return []

    @property
    def ends(self) -> list[End]:
        """The ports that it occupies."""
        return [self.end] if self.peer is None else [self.end, self.peer]


def _escaped(path: str) -> str:
    """Doubles commas: a single one would start QEMU's next option."""
    return path.replace(",", ",,")


def parse(text: str) -> Wire:
    """Returns the wire that `text` describes; WireError says what to type instead."""
    left, equals, right = text.partition("=")
    end, peer = _end(left), _end(right)
    if not equals or end is None:
        raise WireError(f"{text}: not a wire; type {HELP}")
    if peer == end:
        raise WireError(f"{text}: port {end} leads to itself; name another port")
    if peer is not None:
        return Wire(end, Medium.PORT, peer)
    name, _, where = right.partition(":")
    if right in ("open", "idle"):
        return Wire(end, Medium[right.upper()])
    if name not in NEEDS:
        raise WireError(f"{text}: unknown; type {HELP}")
    if not where:
        raise WireError(f"{text}: {name} needs {NEEDS[name]}, as in {left}={EXAMPLE[name]}")
    if name == "stream":
        return Wire(end, Medium.STREAM, local=_path(text, where))
    if name == "tap":
        return Wire(end, Medium.TAP, local=_interface(text, where))
    return _datagram_wire(text, end, where)


def _datagram_wire(text: str, end: End, where: str) -> Wire:
    first, comma, second = where.partition(",")
    if comma and not second:
        raise WireError(f"{text}: nothing follows the comma; name REMOTE or leave it out")
    local, remote = _path(text, first), _path(text, second) if second else ""
    if local == remote:
        raise WireError(f"{text}: LOCAL and REMOTE are the same socket; name two")
    return Wire(end, Medium.DGRAM, local=local, remote=remote)


def _interface(text: str, name: str) -> str:
    if len(os.fsencode(name)) >= IFNAMSIZ or set(name) & set("/\0"):
        most = IFNAMSIZ - 1
        raise WireError(f"{text!r}: an interface's name has 1 to {most} bytes, no slash and no NUL")
    return name


@dataclass(frozen=True)
class Capture:
    """A file that gets the frames of a port, as one `--pcap` says it."""

    end: End
    path: str


def parse_capture(text: str) -> Capture:
    """Returns the capture that `text` describes; CaptureError says what to type instead."""
    left, _, path = text.partition("=")
    end = _end(left)
    if end is None or not path:
        raise CaptureError(f"{text}: not a capture; type 0=port0.pcapng")
    return Capture(end, path)


def capture(
    texts: Sequence[str], cards: Mapping[str, Card], *, force: bool = False
) -> list[Capture]:
    """Captures frames of ports into new files; CaptureError if that cannot be.

    Raises CaptureExists, before any file is made, for a file that exists unless `force` replaces
    it. What is no regular file, such as a FIFO, is written to.
    """
    captures = [parse_capture(text) for text in texts]
    ends = [_name(each.end, cards, CaptureError) for each in captures]
    if len(set(ends)) < len(ends):
        raise CaptureError("a port has two captures; give it one")
    _check_files([each.path for each in captures], force)
    for end, each in zip(ends, captures, strict=True):
        card = cards[end.card]
        try:
            card.engine.capture(end.port, each.path, f"{card.profile.name} port {end}")
        except OSError as error:
            raise CaptureError(f"{each.path}: {error.strerror}") from error
    return [Capture(end, each.path) for end, each in zip(ends, captures, strict=True)]


def _check_files(paths: Sequence[str], force: bool) -> None:
    real = [os.path.realpath(path) for path in paths]
    for place, path in enumerate(paths):
        if real[place] in real[:place]:
            raise CaptureError(f"two ports have the file {path}; give each its own")
        if os.path.isfile(path) and not force:
            raise CaptureExists(errno.EEXIST, os.strerror(errno.EEXIST), path)


def _end(text: str) -> End | None:
    found = re.fullmatch(r"(?:([A-Za-z_][\w-]*)\.)?(\d{1,3})", text, re.ASCII)
    return End(found[1] or "", int(found[2])) if found else None


def _path(text: str, path: str) -> str:
    if TCP.fullmatch(path):
        raise WireError(f"{text}: no TCP: name the path of a Unix socket, or ./{path}")
    if "\0" in path:
        raise WireError(f"{text!r}: a socket's path has no NUL")
    if not path or len(os.fsencode(path)) > PATH_MAX:
        raise WireError(f"{text}: a socket's path has 1 to {PATH_MAX} bytes")
    return os.path.abspath(path)


def plug(texts: Sequence[str], cards: Mapping[str, Card]) -> list[Wire]:
    """Plugs wires into cards, given by name, and returns them.

    An end without a card's name is of the only card. Raises WireError, before any port has changed
    if a text is wrong.
    """
    wires = [_named(parse(text), cards) for text in texts]
    taken: set[End] = set()
    for end in (end for wire in wires for end in wire.ends):
        if end in taken:
            raise WireError(f"port {end} has two wires; give it one")
        taken.add(end)
    _check_places(wires)
    for wire in wires:
        _connect(wire, cards)
    return wires


def _check_places(wires: Sequence[Wire]) -> None:
    """Refuses two wires that have one socket or tap, but for the two ends of a stream."""
    users: dict[str, Wire] = {}
    for wire in wires:
        place = f"{wire.medium is Medium.TAP}{wire.local}"
        first = users.setdefault(place, wire)
        streams = first.medium is wire.medium is Medium.STREAM
        if not wire.local or first is wire or streams:
            continue
        a, b, what = first.end, wire.end, "interface" if wire.medium is Medium.TAP else "socket"
        raise WireError(
            f"ports {a} and {b} both have the {what} {wire.local}; give each its own, "
            f"or join the ports: {a}={b}"
        )


def all_ports(wires: Iterable[Wire], cards: Mapping[str, Card]) -> list[Wire]:
    """Returns a wire for each port of all cards, those without `--wire` too."""
    given = {end: wire for wire in wires for end in wire.ends}
    result = []
    for name, card in cards.items():
        for port in range(card.profile.ports.count):
            end = End(name, port)
            wire = given.get(end, Wire(end, Medium.IDLE))
            far = [each for each in wire.ends if each != end]
            result.append(Wire(end, wire.medium, far[0], "", "") if far else wire)
    return result


def _named(wire: Wire, cards: Mapping[str, Card]) -> Wire:
    end = _name(wire.end, cards, WireError)
    peer = _name(wire.peer, cards, WireError) if wire.peer else None
    return Wire(end, wire.medium, peer, wire.local, wire.remote)


def _name(end: End, cards: Mapping[str, Card], error: type[WireError]) -> End:
    """Returns the end with its card's name; `error` if there is no such port."""
    names = list(cards)
    if not end.card and len(names) > 1:
        raise error(f"port {end} of which card? Type {names[0]}.{end}")
    named = End(end.card or names[0], end.port)
    if named.card not in cards:
        there = f"there is {', '.join(names)}" if any(names) else f"type {end.port}"
        raise error(f"no card is called {named.card}; {there}")
    profile = cards[named.card].profile
    if named.port >= profile.ports.count:
        ports = f"0 to {profile.ports.count - 1}" if profile.ports.count > 1 else "0"
        raise error(f"no port {named}; {profile.name} has {ports}")
    return named


def _connect(wire: Wire, cards: Mapping[str, Card]) -> None:
    card = cards[wire.end.card]
    engine, port = card.engine, wire.end.port
    match wire.medium:
        case Medium.PORT:
            assert wire.peer is not None
            _join(wire.end, wire.peer, cards)
        case Medium.STREAM:
            _check_socket(wire)
            engine.plug(port, WireKind.STREAM, path=wire.local)
        case Medium.DGRAM:
            engine.plug(port, WireKind.DGRAM, fd=_datagrams(wire, card), path=wire.remote)
        case Medium.TAP:
            engine.plug(port, WireKind.TAP, fd=_tap(wire))
        case Medium.OPEN:
            engine.plug(port, WireKind.OPEN)
        case Medium.IDLE:
            engine.plug(port, WireKind.IDLE)


def _join(end: End, peer: End, cards: Mapping[str, Card]) -> None:
    """Connects two ports: of one card inside it, of two by sockets, as threads serve them."""
    if end.card == peer.card:
        engine = cards[end.card].engine
        engine.plug(end.port, WireKind.PORT, peer=peer.port)
        engine.plug(peer.port, WireKind.PORT, peer=end.port)
        return
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each, one in zip((end, peer), pair, strict=True):
        cards[each.card].engine.plug(each.port, WireKind.CARD, fd=one.detach())


def _check_socket(wire: Wire) -> None:
    """Refuses a path at which no socket can be."""
    folder = os.path.dirname(wire.local)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WireError(f"{wire.local}: cannot make a socket in {folder}; choose another folder")
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(wire.local).st_mode):
            raise WireError(f"{wire.local}: exists and is not a socket; choose another path")


def _datagrams(wire: Wire, card: Card) -> int:
    """Returns a socket that is bound to its path, which is removed with the card."""
    _check_socket(wire)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _remove_stale(wire.local)
        os.fchmod(bound.fileno(), 0o600)
        bound.bind(wire.local)
    except OSError as error:
        bound.close()
        raise WireError(f"{wire.local}: {error.strerror}") from error
    except WireError:
        bound.close()
        raise
    weakref.finalize(card, _remove, wire.local, os.lstat(wire.local).st_ino)
    return bound.detach()


def _remove_stale(path: str) -> None:
    """Removes a socket that nobody has open; WireError if somebody has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise WireError(f"{path}: somebody has this socket open; choose another path")


def _remove(path: str, inode: int) -> None:
    with suppress(OSError):
        if os.lstat(path).st_ino == inode:
            os.unlink(path)


def _tap(wire: Wire) -> int:
    """Returns a descriptor of an existing tap interface."""
    name = wire.local
    try:
        socket.if_nametoindex(name)  # opening the device would make an interface
    except OSError as error:
        make = f"ip tuntap add dev {name} mode tap user $USER; ip link set {name} up"
        raise WireError(f"there is no interface {name}; as root, type: {make}") from error
    request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI)
    try:
        tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise WireError(f"{TUN}: {error.strerror}; a tap needs it") from error
    try:
        fcntl.ioctl(tun, TUNSETIFF, request)
    except OSError as error:
        os.close(tun)
        raise WireError(f"tap {name}: {error.strerror}; {_advice(error)}") from error
    return tun


def _advice(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "give it to yourself with `ip tuntap add ... user $USER`, or be root"
    return "is it a tap interface, and not in use?"
