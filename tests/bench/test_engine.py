"""What the packet engine does for a frame, in counts: none depends on the machine."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import ROOT

import pyvfio_user
from vmcoredd.bench.engine import PACKET
from vmcoredd.bench.hosts import Host, LocalHost, RemoteHost, at_socket, in_process
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.bench.rings import BUFFER, CARD, SENT, WIRES, Rings
from vmcoredd.bench.traffic import MSS, Traffic, packet
from vmcoredd.chip import T6
from vmcoredd.emu import Card, _cffi, wires
from vmcoredd.emu.server import served

SHIFT = 2
"""Bytes in front of a frame in its buffer (PKTSHIFT)."""
RAN = 4096
SMALL = Traffic(60)
KEEPS_TO = 1.5
"""Memory of a process at work, as a multiple of what it had at rest."""
ALLOCATIONS = 3
"""Of libvfio-user, for each message."""
HOUR = 72_000_000
"""Frames that a guest's small UDP brings in an hour: 20 thousand a second."""
SAMPLE = 300_000


@dataclass(frozen=True)
class Plugged:
    """A card of this process, and the host that has it: in process, or over a socket."""

    card: Card
    host: Host

    def settle(self) -> None:
        """Lets a run of the engine end that may go on: an answer follows it."""
        self.host.io.read(self.card.chip.r.PL_WHOAMI)


@pytest.fixture(scope="module", params=["in process", "over a socket"])
def plugged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plugged]:
    card = Card.load(CARD, scene="fresh")
    wires.plug(WIRES, {"": card})
    with contextlib.ExitStack() as stack:
        if request.param == "in process":
            yield Plugged(card, stack.enter_context(in_process(card)))
            return
        needs_library()
        path = tmp_path_factory.mktemp("served") / "card.sock"
        stack.enter_context(served(card, path))
        yield Plugged(card, stack.enter_context(at_socket(path)))


def needs_library() -> None:
    """Skips a test that needs libvfio-user without it."""
    if pyvfio_user.library_version() is None:
        pytest.skip("built without libvfio-user")


def counted(plugged: Plugged, rings: Rings, requests: int) -> dict[str, int]:
    """What the engine counts while it sends that much; `interrupts` as the host counts them."""
    counts = plugged.card.engine.c.counts
    names = (
        *("frames_sent", "frames_received", "frames_dropped", "troubles", "python_calls"),
        *("runs", "dma_reads", "dma_writes"),
    )
    plugged.settle()
    before = {name: getattr(counts, name) for name in names}
    took = rings.run(requests)
    plugged.settle()
    found = {name: int(getattr(counts, name)) - before[name] for name in names}
    return found | {"messages": took.messages, "interrupts": took.interrupts}


def test_frames_arrive_as_they_were_sent(plugged: Plugged) -> None:
    rings = Rings(plugged.host, SMALL)
    rings.run(1)
    got, sent = rings.buffer(0, 0, SHIFT + 60)[SHIFT:], packet(SMALL, 0)
    assert got[:40] == sent[:40]
    assert got[42:] == sent[42:]
    assert got[40:42] != sent[40:42] == b"\0\0"  # the card makes the checksum


def test_a_small_frame_costs_few_accesses(plugged: Plugged) -> None:
    rings = Rings(plugged.host, SMALL)
    rings.run(RAN)
    found = counted(plugged, rings, RAN)
    doorbells, buffers = RAN // 16, RAN * 80 // BUFFER + 1
    assert (found["frames_sent"], found["frames_received"]) == (RAN, RAN)
    assert (found["frames_dropped"], found["troubles"], found["python_calls"]) == (0, 0, 0)
    # a request of two descriptors is read in two parts; each buffer's pointer is read
    assert 2 * RAN <= found["dma_reads"] <= 2 * RAN + buffers
    # the frame, the response and its last flit; a status page for each burst, and over a socket
    # for each time that the queue is empty before the next doorbell comes
    idle = 0 if isinstance(plugged.host, LocalHost) else doorbells
    least = 3 * RAN + doorbells
    assert least - min(idle, 1) <= found["dma_writes"] <= least + idle
    # a doorbell and a GTS for each burst, and one for eight buffers; over a socket a GTS may be for
    # more bursts, or for a part of one: the quicker a driver looks, the fewer frames it finds
    most = 2 * doorbells + buffers if isinstance(plugged.host, LocalHost) else RAN
    assert 2 * doorbells - idle <= found["messages"] <= most
    assert 0 < found["interrupts"] <= found["messages"] - doorbells


def test_a_large_packet_costs_three_writes_for_each_segment(plugged: Plugged) -> None:
    rings = Rings(plugged.host, PACKET)
    packets, frames = 64, 64 * PACKET.frames
    rings.run(packets)
    found = counted(plugged, rings, packets)
    assert PACKET.frames == -(-65172 // MSS)
    assert (found["frames_sent"], found["frames_received"]) == (frames, frames)
    assert (found["frames_dropped"], found["troubles"], found["python_calls"]) == (0, 0, 0)
    buffers = packets * 2
    # payload for each segment, pointers, and a request and its headers for each turn of a packet
    turns = 8 * packets
    if isinstance(plugged.host, LocalHost):
        assert found["messages"] <= 8 * packets
        assert found["interrupts"] <= 3 * packets
    else:  # each message may be another turn
        turns += 4 * found["runs"]
        assert found["interrupts"] <= found["messages"] <= frames / 2
    assert frames <= found["dma_reads"] <= frames + turns + buffers
    assert found["dma_writes"] <= 3 * frames + packets


def test_every_queue_gets_its_share(plugged: Plugged) -> None:
    rings = Rings(plugged.host, Traffic(60, queues=16, both_ways=True))
    found = counted(plugged, rings, SENT)
    assert found["frames_received"] == 32 * SENT
    shares = [int(one.frames) for one in rings.c.receivers[0:32]]
    assert min(shares) >= SENT // 4
    assert sum(shares) == 32 * SENT


def test_traffic_that_leaves_steps_out_leaves_them_out(plugged: Plugged) -> None:
    empty = counted(plugged, Rings(plugged.host, Traffic(60, empty=True)), SENT)
    assert (empty["dma_reads"], empty["frames_sent"]) == (SENT, 0)
    unwanted = counted(plugged, Rings(plugged.host, Traffic(60, delivered=False)), SENT)
    assert (unwanted["frames_sent"], unwanted["frames_received"]) == (SENT, 0)
    unarmed = counted(plugged, Rings(plugged.host, Traffic(60, armed=False)), SENT)
    assert (unarmed["frames_received"], unarmed["interrupts"]) == (SENT, 0)


def test_the_engine_cannot_allocate() -> None:
    """None of its objects refers to an allocator; the extension also has cffi's own code."""
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", _cffi.__file__], capture_output=True, text=True, check=True
    )
    names = set(re.findall(r" U (\w+)", listed.stdout))
    assert "epoll_wait" in names  # it is the right file
    assert not names & {"malloc", "calloc", "realloc", "free", "posix_memalign"}


# Over a socket


@pytest.fixture
def server() -> Iterator[Path]:
    needs_library()
    with serving(CardServer(CARD, scene="fresh", wires=WIRES)) as path:
        yield path


def server_of(path: Path) -> int:
    """The process that listens at a socket."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        credentials = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])


def own_memory(process: int) -> int:
    """Bytes of a process that are resident and its own: without memory that a driver shares."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * sum(map(int, re.findall(r"(?m)^Rss(?:Anon|File):\s+(\d+) kB$", status)))


def test_memory_stays_flat_with_two_busy_ports(server: Path) -> None:
    """An hour's worth of frames, if VMCOREDD_THOROUGH is set."""
    frames = HOUR if os.environ.get("VMCOREDD_THOROUGH") else SAMPLE
    process = server_of(server)
    rest = own_memory(process)
    with at_socket(server) as host:
        rings = Rings(host, Traffic(60, queues=16, both_ways=True))
        rings.run(frames // 10 // 32)
        begun = own_memory(process)
        took = rings.run(frames // 32)
        ended = own_memory(process)
    assert took.frames == frames // 32 * 32
    assert ended <= begun + (1 << 20)
    assert ended <= KEEPS_TO * rest


def test_a_server_allocates_for_messages_never_for_frames(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs_library()
    counter, file = tmp_path / "allocations.so", tmp_path / "count"
    source = ROOT / "tests/support/allocations.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", source, "-o", counter], check=True)
    file.write_bytes(bytes(8))
    monkeypatch.setenv("LD_PRELOAD", str(counter))
    monkeypatch.setenv("ALLOCATIONS", str(file))

    def allocations(host: RemoteHost) -> int:
        """Of the server, once it has answered all that it was sent."""
        host.io.read(T6.r.PL_WHOAMI)
        return int.from_bytes(file.read_bytes(), "little")

    with serving(CardServer(CARD, scene="fresh", wires=WIRES)) as path, at_socket(path) as host:
        for traffic, requests in ((SMALL, RAN), (PACKET, 64)):
            rings = Rings(host, traffic)
            rings.run(requests)
            before = allocations(host)
            took = rings.run(requests)
            made = allocations(host) - before
            assert 0 < made <= ALLOCATIONS * took.messages + took.frames / 50
