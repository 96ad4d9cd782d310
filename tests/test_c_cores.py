"""All of our C: compiled without a warning, and run under the address and behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cffi_build import WARNINGS

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("bench", "chip", "cudbg", "debs", "driver", "emu", "pyvfio_user", "vmcore")
TESTS = {
    "driver": ("engine", "socket"),
    "emu": ("core", "ports", "hooks", "windows", "mailbox"),
    "pyvfio_user": ("client", "io", "hostile_client", "protocol", "server"),
}


def sources() -> list[Path]:
    """The C that is ours, without what cffi generates."""
    tracked = subprocess.run(
        ["git", "ls-files", *(f"{room}/*.c" for room in ROOMS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in tracked.stdout.split()]


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the packages, their C built with sanitizers."""
    folder = tmp_path_factory.mktemp("sanitized")
    built = shutil.ignore_patterns(
        "*.so", "*.o", "_cffi.c", "_client.c", "_server.c", "__pycache__"
    )
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=built)
    for name in ("cffi_build.py", "setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "VMCOREDD_SANITIZE": "1"},
        check=True,
        capture_output=True,
    )
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Python with the sanitizers' library, which must come first, and the copy before all else."""
    command = ["gcc", "-print-file-name=libasan.so"]
    runtime = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": os.path.realpath(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "PYTHONPATH": f"{folder}:{ROOT}",
    }


@pytest.mark.parametrize("room", TESTS)
def test_a_rooms_c_runs_clean_under_sanitizers(room: str, sanitized: Path) -> None:
    tests = [str(ROOT / "tests" / room / f"test_{room}_{name}.py") for name in TESTS[room]]
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-P", "-m", "pytest", *options, *tests]
    done = subprocess.run(
        command, cwd=sanitized, env=environment(sanitized), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    "module", ["driver._cffi", "emu._cffi", "pyvfio_user._client", "pyvfio_user._server"]
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
    includes = [f"-I{folder}" for folder in (ROOT, *library_includes())]
    command = ["gcc", "-fsyntax-only", *WARNINGS, '-DLIBRARY=""', *includes, str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.stderr


def library_includes() -> list[Path]:
    """Where libvfio-user's headers are."""
    from debs import libvfio_user

    return list(libvfio_user.obtain([], lambda what, fraction: None).include_dirs)
