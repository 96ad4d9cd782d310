"""A plain C server over the same libvfio-user, built when it is needed: the measure of ours."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vmcoredd import debs
from vmcoredd.bench.serving import running
from vmcoredd.debs import libvfio_user

SOURCE = Path(__file__).with_name("plain_server.c")
FLAGS = ("-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@contextlib.contextmanager
def plain_server(cpus: frozenset[int]) -> Iterator[Path]:
    """The socket of one that is ready. debs.Unavailable without a compiler or the library."""
    with tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as name:
        folder = Path(name)
        program, path = _build(folder), folder / "plain.sock"
        with running([str(program), str(path)], folder / "log") as server:
            os.sched_setaffinity(server.pid, cpus)
            yield path


def _build(folder: Path) -> Path:
    library, program = libvfio_user.obtain(), folder / "plain_server"
    includes = [f"-isystem{include}" for include in library.include_dirs]
    archives = [str(archive) for archive in library.archives]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, *FLAGS, *includes, "-o", str(program), str(SOURCE), *archives]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        why = "it is not installed"
        raise debs.Unavailable(command[0], why, "Install gcc and binutils") from error
    except subprocess.CalledProcessError as error:
        raise debs.Unavailable(SOURCE.name, error.stderr.strip(), libvfio_user.REMEDY) from error
    return program
