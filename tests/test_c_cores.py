"""All of our C: compiled without a warning, and run under the address and behaviour sanitizers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, tracked

from cffi_build import WARNINGS
from tests.fuzz.runner import Run
from tests.support.sanitized import build, environment

INTERFACE = ROOT / "pyvfio_user/src/pyvfio_user/include"
TESTS = {
    "driver": (".", "tests/driver", ("engine", "transports")),
    "driver/real": (".", "tests/driver/real", ("sysfs",)),
    "emu": (
        ".",
        "tests/emu",
        (
            *("core", "lookup", "hooks", "window", "mailbox", "interrupts", "live_client"),
            *("wires", "captures", "pauses"),
        ),
    ),
    "emu/engine": (
        ".",
        "tests/emu/engine",
        (
            *("egress", "segments", "checksums", "control", "doorbell"),
            *("filters", "freelist", "headers", "receive", "record", "rss", "tunnels"),
        ),
    ),
    "trace": (".", "tests/trace", ("ring",)),
    "pyvfio_user": (
        "pyvfio_user",
        "tests",
        ("client", "host", "hostile_client", "io", "protocol", "server", "work"),
    ),
}
"""Of each room: the folder of its distribution, of its tests, and the tests that run its C."""


def sources() -> list[Path]:
    """The C of our extensions and tools, without what cffi generates."""
    others = ("examples/", "qemu/", "tests/")
    return [ROOT / name for name in tracked("*.c") if not name.startswith(others)]


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the packages, their C built with sanitizers."""
    return build(tmp_path_factory.mktemp("sanitized"))


@pytest.mark.parametrize("room", TESTS)
def test_a_rooms_c_runs_clean_under_sanitizers(room: str, sanitized: Path) -> None:
    distribution, tests, names = TESTS[room]
    files = [f"{tests}/test_{name}.py" for name in names]
    options = ["-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-P", "-m", "pytest", *options, *files]
    done = subprocess.run(
        command,
        cwd=sanitized / distribution,
        env=environment(sanitized),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize(("part", "seeds"), [("server", 12), ("client", 12), ("engine", 2)])
def test_hostile_peers_find_nothing_under_sanitizers(
    part: str, seeds: int, sanitized: Path
) -> None:
    run = Run(part, count=seeds, root=sanitized, environment=environment(sanitized))
    result = run()
    assert not result.failures, "\n\n".join(map(str, result.failures))
    assert result.cases == run.count


@pytest.mark.parametrize(
    "module",
    [
        "vmcoredd.driver._cffi",
        "vmcoredd.emu._cffi",
        "vmcoredd.trace._cffi",
        "pyvfio_user._client",
        "pyvfio_user._server",
    ],
)
def test_the_sanitized_build_is_the_one_that_is_tested(module: str, sanitized: Path) -> None:
    where = f"import {module} as module; print(module.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", where],
        cwd=sanitized,
        env=environment(sanitized),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(sanitized))


@pytest.mark.parametrize("source", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_our_c_compiles_without_a_warning(source: Path) -> None:
    includes = [f"-I{folder}" for folder in (ROOT, INTERFACE, INTERFACE.parents[1])]
    includes += [f"-isystem{folder}" for folder in library_includes()]  # whose headers are not ours
    command = ["gcc", "-fsyntax-only", *WARNINGS, *includes, str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.stderr


def library_includes() -> list[Path]:
    """Where libvfio-user's headers are."""
    from vmcoredd.debs import libvfio_user

    return list(libvfio_user.obtain().private_include_dirs)
