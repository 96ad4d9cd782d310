"""pyvfio-user's tutorial: a Debian kernel as it is drives its three devices, in one boot."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import stock
from readable import readable
from tutorial import example

from vmcoredd.emu.server import running
from vmcoredd.qemu.guest import Adapter, Guest
from vmcoredd.qemu.prepare import Options, prepare
from vmcoredd.qemu.root import find_root

pytestmark = [pytest.mark.guest, pytest.mark.interop]
PATIENCE = 60.0
LINES = """
for tty in /sys/class/tty/ttyS*; do
    case $(realpath $tty) in */pci*) echo ${tty##*/} $(realpath $tty) ;; esac
done
"""


@dataclass
class Line:
    """The far end of a serial card's line."""

    sent: int
    type: Callable[[bytes], object]

    def read(self, length: int) -> bytes:
        """What the guest has sent: `length` bytes of it, or what came in time."""
        end, data = time.monotonic() + PATIENCE, b""
        while len(data) < length and readable([self.sent], end - time.monotonic()):
            data += os.read(self.sent, length - len(data))
        return data


@dataclass
class Booted:
    guest: Guest
    lines: dict[str, Line]
    handed_out: Callable[[], int]
    ttys: dict[str, str]

    def run(self, script: str, seconds: float = PATIENCE) -> str:
        (self.guest.share / "script").write_text(f"set -e\n{script}\n")
        return self.guest.run("sh /share/script", seconds).output


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory, progress) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("examples")
    prepared = prepare(stock.KERNEL, progress)
    options = Options(kernel=stock.KERNEL, crashkernel="", root=find_root(progress=progress))
    pipes = [os.pipe() for _ in range(4)]
    (sent, sink), (native_sent, native_sink), (source, typed), (native_source, native_typed) = pipes
    native = example("native_serial_card")
    sockets = {name: folder / name for name in ("serial", "entropy", "native")}
    serial = example("serial_card").SerialCard(str(sockets["serial"]), source, sink)
    entropy = example("entropy_card").EntropyCard(str(sockets["entropy"]), lambda n: b"\x5a" * n)
    uart = native.compiled(str(folder / "uart"))
    in_c = native.NativeSerialCard(str(sockets["native"]), native_source, native_sink, uart)
    lines = {
        "serial": Line(sent, lambda data: os.write(typed, data)),
        "native": Line(native_sent, lambda data: os.write(native_typed, data)),
    }
    (folder / "guest").mkdir()
    with contextlib.ExitStack() as stack:
        for card in (serial, entropy, in_c):
            stack.enter_context(card.server)
            stack.enter_context(running(card.server))
        adapters = [Adapter(socket) for socket in sockets.values()]
        guest = prepared.guest(options, folder / "guest", folder / "console", adapters)
        stack.enter_context(guest)
        guest.wait_for_kernel("first", stock.BOOT)
        booted = Booted(guest, lines, lambda: entropy.handed_out, {})
        rows = sorted(line.split()[::-1] for line in booted.run(LINES).splitlines())
        booted.ttys = dict(zip(lines, [tty for _, tty in rows], strict=True))
        yield booted
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)


@pytest.mark.parametrize("name", ["serial", "native"])
def test_the_kernel_finds_a_16550a(booted: Booted, name: str) -> None:
    tty = booted.ttys[name]
    assert re.search(rf"{tty}( at)? I/O[: ]", booted.run("dmesg"))  # Linux 7.3: without "at"
    assert booted.run(f"cat /sys/class/tty/{tty}/type") == "4\n"  # PORT_16550A
    assert int(booted.run(f"cat /sys/class/tty/{tty}/irq")) > 0


@pytest.mark.parametrize("name", ["serial", "native"])
def test_what_the_guest_writes_arrives(booted: Booted, name: str) -> None:
    text = b"".join(b"line %d\n" % number for number in range(40))
    booted.run(
        f"stty -F /dev/{booted.ttys[name]} raw -echo; "
        f"for i in $(seq 0 39); do echo line $i; done > /dev/{booted.ttys[name]}"
    )
    assert booted.lines[name].read(len(text)) == text


@pytest.mark.parametrize("name", ["serial", "native"])
def test_what_is_typed_is_read(booted: Booted, name: str) -> None:
    line, tty = booted.lines[name], booted.ttys[name]
    timer = threading.Thread(
        target=lambda: line.read(6) == b"ready\n" and line.type(b"typed here\n")
    )
    timer.start()
    said = booted.run(
        f"stty -F /dev/{tty} -echo; exec 3<>/dev/{tty}; echo ready >&3; "
        "timeout 40 head -n 1 <&3; stty -F /dev/{0} raw".replace("{0}", tty)
    )
    timer.join()
    assert said == "typed here\n"


def test_the_kernel_takes_entropy_from_the_device(booted: Booted) -> None:
    booted.run("modprobe virtio-rng")
    assert booted.run("cat /sys/class/misc/hw_random/rng_current").startswith("virtio_rng.")
    assert booted.run("head -c 8 /dev/hwrng | od -A n -t x1") == " 5a" * 8 + "\n"
    assert booted.handed_out() >= 8


def test_its_interrupts_are_msi_x(booted: Booted) -> None:
    booted.run("modprobe virtio-rng; head -c 8 /dev/hwrng > /dev/null")
    rows = [row for row in booted.run("cat /proc/interrupts").splitlines() if "virtio" in row]
    counts = [int(number) for row in rows for number in row.split()[1:3] if "input" in row]
    assert sum(counts) > 0
    assert all("MSI-X" in row or "MSI" in row for row in rows)
