"""A live guest under drgn and under gdb's protocol. Its kernel is named by a path, and its adapter
is served by another program: one guest for all.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import pytest
from cliruns import command, emulated, ready

from vmcoredd.emu import profile

pytestmark = [pytest.mark.guest, pytest.mark.interop]

CARD = "t62100-cr"
BOOT, ANSWER = 240.0, 60.0
ADAPTER = """
from drgn.helpers.linux.net import netdev_get_by_name, netdev_priv
adapter = netdev_priv(netdev_get_by_name(prog, "eth0"), "struct port_info").adapter
print(adapter.params.vpd.id.string_().decode(), adapter.pdev.device.value_())
"""


@dataclass(frozen=True)
class Live:
    """A guest's shell, what it printed before its prompt, and the sockets for debuggers."""

    process: subprocess.Popen[bytes]
    folder: Path
    said: str

    @property
    def told(self) -> str:
        """What the command said on stderr."""
        return (self.folder / "told").read_text()


@pytest.fixture(scope="module")
def live(prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("debugging")
    words = command(
        *("guest", "shell", "--kernel", prepared.kernel.folder, "--driver", "--root", "none"),
        *("--socket", folder / "card.sock", "--console", folder / "console"),
        *("--monitor", folder / "qmp", "--gdb", folder / "gdb"),
    )
    card = ("--card", CARD, "--socket", folder / "card.sock", "--scene", "fresh")
    with (
        emulated(*card, stderr=subprocess.DEVNULL) as emulator,
        (folder / "told").open("wb") as told,
    ):
        assert ready(emulator)
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told
        ) as process:
            deadline = Timer(BOOT, process.kill)
            deadline.start()
            seen = b""
            while not seen.endswith(b"# ") and (more := process.stdout.read(1)):
                seen += more
            deadline.cancel()
            try:
                yield Live(process, folder, seen.decode(errors="replace"))
                process.communicate(b"exit\n", BOOT)
            finally:
                process.kill()


def test_the_command_says_how_to_debug(live: Live, prepared) -> None:
    vmlinux = shlex.quote(str(prepared.kernel.vmlinux))
    assert f"to debug it: drgn --qemu {live.folder}/qmp -s {vmlinux} -s " in live.told
    assert f"to debug it: gdb -ex 'target remote {live.folder}/gdb' {vmlinux}\n" in live.told
    assert f"socket {live.folder}/card.sock: the adapter at 0000:00:02.0\n" in live.told


def test_drgn_reads_the_drivers_structures_while_the_guest_runs(live: Live, prepared) -> None:
    files = (prepared.kernel.vmlinux, prepared.kernel.modules["cxgb4"])
    options = [word for path in files for word in ("-s", str(path))]
    drgn = Path(sys.executable).with_name("drgn")
    done = subprocess.run(
        [
            drgn,
            "-q",
            "--qemu",
            live.folder / "qmp",
            "--no-default-symbols",
            *options,
            "-e",
            ADAPTER,
        ],
        capture_output=True,
        text=True,
        timeout=ANSWER,
    )
    card = profile.load(CARD)
    assert done.stdout.split() == [card.vpd.id, str(card.card.device_id)], done.stderr


def packet(peer: socket.socket, text: str) -> str:
    """Sends a command of gdb's remote protocol; returns the answer."""
    peer.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
    received = b""
    while not (found := re.fullmatch(rb"\+?\$([^#]*)#([0-9a-f]{2})", received)):
        more = peer.recv(4096)
        assert more, received
        received += more
    assert sum(found[1]) % 256 == int(found[2], 16)
    peer.sendall(b"+")
    return found[1].decode()


def test_gdbs_stub_shows_the_kernel_where_its_vmlinux_says(live: Live, prepared) -> None:
    symbols = subprocess.run(
        ["nm", prepared.kernel.vmlinux], capture_output=True, text=True, check=True
    ).stdout
    banner = re.search(r"(?m)^([0-9a-f]{16}) \w linux_banner$", symbols)
    assert banner
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(ANSWER)
        peer.connect(str(live.folder / "gdb"))
        assert "PacketSize=" in packet(peer, "qSupported")
        assert packet(peer, "?").startswith("T05")
        memory = bytes.fromhex(packet(peer, f"m{int(banner[1], 16):x},20"))
        assert packet(peer, "D") == "OK"  # detached, the guest goes on
    assert memory.startswith(f"Linux version {prepared.kernel.release} ".encode()[:32])
