"""Defects of libvfio-user: docs/upstream/libvfio-user.md tells them.

Each is provoked by the client that goes with the reports, and has beside it the right result: that
of our server, which is the same library behind checks of its own.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import ROOT
from findings import stands

from pyvfio_user import Server, library_version, pci
from vmcoredd.debs import libvfio_user

pytestmark = pytest.mark.interop
FOLDER = ROOT / "docs/upstream/libvfio-user"
PROVOKE = runpy.run_path(str(FOLDER / "provoke.py"))
provoke: Callable[[str, str], str] = PROVOKE["provoke"]
GONE: str = PROVOKE["GONE"]
SIGSEGV = -11
PATIENCE = 30.0


class Finding(NamedTuple):
    """What the client says of the library's server and of ours, and how the library's ends."""

    today: str
    right: str
    ends: int | None = 1  # with its client


FINDINGS = {
    "libvfio-user-migration-state": Finding(GONE, "refused with EINVAL", SIGSEGV),
    "libvfio-user-too-many-vectors": Finding(GONE, "refused with EINVAL", SIGSEGV),
    "libvfio-user-detached-vector": Finding(
        "vector 2 was signalled 1 x", "vector 2 was signalled 0 x"
    ),
    "libvfio-user-full-eventfd": Finding("no reply in 3 s", "done", None),
    "libvfio-user-masked-intx": Finding(
        "signalled 1 x while it was masked, 0 x when it was unmasked",
        "signalled 1 x while it was masked, 1 x when it was unmasked",
    ),
    "libvfio-user-mapped-twice": Finding("done", "refused with EEXIST"),
    "libvfio-user-overlapping-memory": Finding("refused with EINVAL", "refused with EEXIST"),
    "libvfio-user-error-payload": Finding(
        "refused with EINVAL, with a payload of 24 bytes",
        "refused with EINVAL, with a payload of 0 bytes",
    ),
    "libvfio-user-split-header": Finding(GONE, "done"),
}


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports' device, with the library that our server links."""
    library = libvfio_user.obtain()
    program = tmp_path_factory.mktemp("device") / "device"
    include = [f"-I{folder}" for folder in library.include_dirs]
    command = ["cc", "-D_GNU_SOURCE", *include, FOLDER / "device.c", *library.archives]
    subprocess.run([*command, "-o", program], check=True)
    return program


@contextmanager
def served(program: Path, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the library's, which serves one client."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([program, path], **quiet) as process:
        end = time.monotonic() + PATIENCE
        while not path.exists():  # it says nothing
            assert time.monotonic() < end
            os.sched_yield()
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def ours(path: Path) -> Iterator[None]:
    """The same device by our server."""

    def access(offset: int, data: memoryview, is_write: bool) -> None:
        if len(data) > 4:
            raise OSError(22, "words only")
        if is_write:
            server.intx(True)

    with Server(path) as server:
        server.config_space(pci.header(0x1234, 0x5678, interrupt_pin=1))
        server.region(0, 4096, access)
        server.irqs(intx=1, msix=4)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield
        finally:
            server.stop()
            thread.join()


def short(name: str) -> str:
    """What the client calls a finding."""
    return name.removeprefix("libvfio-user-")


def test_the_reports_are_those_that_are_tested() -> None:
    assert {short(name) for name in FINDINGS} == set(PROVOKE["FINDINGS"])
    page = (FOLDER.parent / "libvfio-user.md").read_text()
    for name, finding in FINDINGS.items():
        assert f"\n## {name}\n" in page
        assert finding.today in page


@pytest.mark.parametrize("name", FINDINGS)
def test_what_the_library_does_wrong_our_server_does_right(
    name: str, device: Path, tmp_path: Path
) -> None:
    finding = FINDINGS[name]
    with ours(tmp_path / "ours"):
        assert provoke(short(name), str(tmp_path / "ours")) == finding.right
    gpio = short(name) == "migration-state"
    program = libvfio_user.sample(libvfio_user.obtain(), "gpio-pci-idio-16") if gpio else device
    with (
        served(program, tmp_path / "socket") as process,
        stands(name, str(library_version())),
    ):
        assert provoke(short(name), str(tmp_path / "socket")) == finding.today
        if finding.ends is None:
            assert process.poll() is None
        else:
            assert process.wait(PATIENCE) == finding.ends


def test_memory_that_is_mapped_twice_leaks_a_descriptor(device: Path, tmp_path: Path) -> None:
    with served(device, tmp_path / "socket") as process:
        client, opened = PROVOKE["Server"](str(tmp_path / "socket")), []
        for provoked in (lambda _: None, PROVOKE["mapped_twice"]):
            provoked(client)
            opened.append(len(os.listdir(f"/proc/{process.pid}/fd")))
    with stands("libvfio-user-mapped-twice", str(library_version())):
        assert opened[1] == opened[0] + 2, "one is the region's"
