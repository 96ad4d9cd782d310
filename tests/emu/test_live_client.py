"""A driver at a socket whose queues are full of work: what it may take away at any time, and how
long it waits for an answer."""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from emumail import Mailbox
from engine_host import COMMAND, ENABLE, MASTER, MSIX_CONTROL
from stations import Station
from txdriver import make, request, sgl, tx_pkt

from pyvfio_user import Client, Server, library_version, memory_file
from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import Bye, EqEth, Hello
from vmcoredd.chip.message_layouts import TxPktLso
from vmcoredd.chip.messages import Cpl
from vmcoredd.chip.pci import CAP_AT, EXP_DEVCTL, Bar, Cap
from vmcoredd.emu import Card
from vmcoredd.emu.server import attach

pytestmark = pytest.mark.skipif(library_version() is None, reason="built without libvfio-user")

CONFIG = 7
RAM, SIZE = 0x1_0000_0000, 1 << 20
RING, DESCRIPTORS, DATA = RAM, 512, RAM + 0x40000
STATUS = DESCRIPTORS * 64
FLR = 0x8000


def many_frames() -> bytes:
    """A work request, one descriptor long, that sends a packet in a thousand segments."""
    length = 60_000
    lso = make(
        TxPktLso, opcode=Cpl.TX_PKT_LSO, first_slice=1, last_slice=1, iphdr_len=5, tcphdr_len=5,
        mss=60, xfer_size=length,
    )  # fmt: skip
    cpls = lso + tx_pkt(length)
    return request(cpls + sgl([(length, DATA)]), immediate=len(cpls))


class Remote:
    """What of a card a driver reaches through a socket."""

    def __init__(self, card: Card, client: Client) -> None:
        self.card, self.client = card, client
        self.chip: Chip = card.chip
        self.engine = card.engine

    def read(self, offset: int, width: int = 4) -> int:
        return int.from_bytes(self.client.region_read(Bar.REGISTERS, offset, width), "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self.client.region_write(Bar.REGISTERS, offset, value.to_bytes(width, "little"))

    def put(self, offset: int, value: int) -> None:
        """Writes a half word of configuration space."""
        self.client.region_write(CONFIG, offset, value.to_bytes(2, "little"))


class Driver:
    """Memory, a port that is up, and an egress queue; the port's wire takes all frames."""

    def __init__(self, card: Card, client: Client) -> None:
        self.card, self.client, self.remote = card, client, Remote(card, client)
        self.counts = card.engine.c.counts
        fd = memory_file("driver", SIZE)
        client.dma_map(fd, RAM, SIZE)
        self.memory = mmap.mmap(fd, SIZE)
        self.remote.put(COMMAND, MASTER | 2)
        self.remote.put(MSIX_CONTROL, ENABLE)
        self.mail = Mailbox(self.remote)  # type: ignore[arg-type]
        self.mail.do(Hello(mbmaster=4))
        self.station = Station(self.remote)  # type: ignore[arg-type]
        self.station.up(0)
        asked = EqEth(
            alloc=1, eqstart=1, hostfcmode=2, cidxfthresh=0, eqsize=DESCRIPTORS + 1, eqaddr=RING,
            autoequeqe=1, viid=self.station.interfaces[0],
        )  # fmt: skip
        self.queue = int(self.mail.do(asked).eqid)
        for at in range(0, STATUS, 64):
            self.memory[at : at + 64] = many_frames()

    def work(self, count: int = DESCRIPTORS - 1) -> None:
        """Asks for so many packets of a thousand frames."""
        place = (self.queue >> 3) * 4096 + (self.queue & 7) * 128
        self.client.region_write(Bar.DOORBELLS, place + 8, count.to_bytes(4, "little"))

    @property
    def halted(self) -> bool:
        return bool(self.card.engine.c.egress[self.queue].halted)

    def is_at_work(self) -> bool:
        """Returns whether frames still leave."""
        before, end = self.counts.frames_sent, time.monotonic() + 10
        while self.counts.frames_sent < before + 100:
            if time.monotonic() > end:
                return False
        return True

    def is_quiet(self) -> bool:
        """Returns whether nothing of the memory is touched while the server serves. The engine may
        ask for it once more, and be refused."""
        memory = self.memory[:]
        self.remote.read(self.card.chip.r.PL_WHOAMI)
        accesses = self.accesses()
        for _ in range(50):
            self.remote.read(self.card.chip.r.PL_WHOAMI)
        return (self.accesses(), self.memory[:]) == (accesses, memory)

    def accesses(self) -> int:
        return int(self.counts.dma_reads + self.counts.dma_writes)


@pytest.fixture
def card() -> Card:
    return Card.load("t62100-cr", scene="fresh")


@pytest.fixture
def path(card: Card, tmp_path: Path) -> Iterator[Path]:
    """The socket of the card, which is served by a thread."""
    socket = tmp_path / "card.sock"
    with Server(socket) as server:
        attach(card, server)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield socket
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    with Client(path, deadline=10) as client:
        yield client


@pytest.fixture
def driver(card: Card, client: Client) -> Driver:
    """A driver whose queue is full: half a million frames."""
    driver = Driver(card, client)
    driver.work()
    assert driver.is_at_work()
    return driver


def seconds_of(access: Callable[[], object]) -> float:
    """How long an access takes."""
    began = time.monotonic()
    access()
    return time.monotonic() - began


def answered_in_time(some_accesses: Callable[[], list[float]]) -> bool:
    """Whether every access of a round takes less than 100 ms; there are a few rounds, since other
    programs may have the processors meanwhile."""
    return any(max(some_accesses()) < 0.1 for _ in range(5))


def test_a_driver_is_answered_while_the_card_is_at_work(driver: Driver) -> None:
    whoami = driver.card.chip.r.PL_WHOAMI

    def reads() -> list[float]:
        return [seconds_of(lambda: driver.remote.read(whoami)) for _ in range(100)]

    assert answered_in_time(reads)
    assert driver.is_at_work()


def test_a_driver_that_writes_nonsense_everywhere_is_answered(driver: Driver) -> None:
    random, write = Random(12), driver.client.region_write
    gts = int(driver.card.chip.r.MYPF_SGE_PF_GTS)

    def writes() -> list[float]:
        places = (
            (Bar.DOORBELLS, random.randrange(0, 7 << 20, 4), 1 << 18),
            (Bar.MSIX, random.randrange(0, 4096, 4), 1024),
            (Bar.REGISTERS, gts, 4),
        )
        nonsense = [(*place[:2], random.randbytes(place[2])) for place in places * 10]
        return [seconds_of(lambda one=one: write(*one)) for one in nonsense]

    assert answered_in_time(writes)
    assert driver.is_at_work()


def test_no_python_runs_for_frames(driver: Driver) -> None:
    before = driver.counts.python_calls
    assert driver.is_at_work()
    assert driver.counts.python_calls == before


def test_memory_that_is_unmapped_is_touched_no_more(driver: Driver) -> None:
    driver.client.dma_unmap(RAM, SIZE)
    assert driver.is_quiet()
    assert driver.halted


def test_without_bus_mastering_the_card_waits(driver: Driver) -> None:
    driver.remote.put(COMMAND, 2)
    assert driver.is_quiet()
    assert not driver.halted
    driver.remote.put(COMMAND, MASTER | 2)
    assert driver.is_at_work()


def free(driver: Driver) -> None:
    driver.mail.do(EqEth(free=1, eqid=driver.queue))


def leave(driver: Driver) -> None:
    driver.mail.do(Bye())


def come_again(driver: Driver) -> None:
    driver.mail.do(Hello(mbmaster=4, masterforce=1))


def reset_function(driver: Driver) -> None:
    driver.remote.put(CAP_AT[Cap.EXP] + EXP_DEVCTL, FLR)


def reset_device(driver: Driver) -> None:
    driver.client.reset()


def lose_power(driver: Driver) -> None:
    driver.remote.put(CAP_AT[Cap.PM] + 4, 3)
    driver.remote.put(CAP_AT[Cap.PM] + 4, 0)
    driver.remote.put(COMMAND, MASTER | 2)


@pytest.mark.parametrize("end", [free, leave, come_again, reset_function, reset_device, lose_power])
def test_what_takes_a_queue_away_ends_its_work_at_once(driver: Driver, end: object) -> None:
    assert callable(end)
    end(driver)
    assert driver.is_quiet()
    assert driver.card.engine.c.egress[driver.queue].kind == 0
    driver.work(5)  # a doorbell of a queue that is gone
    assert driver.is_quiet()


@pytest.mark.parametrize("end", [reset_function, reset_device, lose_power])
def test_the_next_driver_works_after_a_reset(driver: Driver, end: object) -> None:
    assert callable(end)
    end(driver)
    driver.client.dma_unmap(RAM, SIZE)
    again = Driver(driver.card, driver.client)
    again.work()
    assert again.is_at_work()


def test_a_client_that_leaves_is_touched_no_more_and_the_next_works(card: Card, path: Path) -> None:
    with Client(path, deadline=10) as client:
        first = Driver(card, client)
        first.work()
        assert first.is_at_work()
    with Client(path, deadline=10) as client:
        second = Driver(card, client)
        before = first.memory[:]
        second.work()
        assert second.is_at_work()
        assert first.memory[:] == before
