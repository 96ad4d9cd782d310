"""A build without libvfio-user: clients work, and a server names the missing library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from vfio_peers import scripted_server, serve_memory

HERE = Path(__file__).resolve().parents[1]
TRY = """
import sys
import pyvfio_user
print(pyvfio_user.library_version())
try:
    pyvfio_user.Server("socket")
except pyvfio_user.ServerUnavailable as error:
    print(error)
print(pyvfio_user.Client(sys.argv[1]).region_read(0, 0, 4))
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the distribution, built without the library."""
    copy = tmp_path_factory.mktemp("build") / "pyvfio_user"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("*.so", "build", ".*"))
    environment = os.environ | {"LIBVFIO_USER_PREFIX": str(copy / "nothing here")}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=copy)
    return copy


def test_a_server_says_what_to_do_and_a_client_works(build: Path, path: str) -> None:
    with scripted_server(path, lambda peer: serve_memory(peer, bytearray(b"data"))):
        environment = os.environ | {"PYTHONPATH": str(build / "src")}
        done = subprocess.run(
            [sys.executable, "-P", "-c", TRY, path],
            capture_output=True,
            text=True,
            env=environment,
            cwd=build,
        )
    version, refusal, data = done.stdout.splitlines()
    assert (version, data) == ("None", "b'data'")
    assert "built without libvfio-user" in refusal
    assert "LIBVFIO_USER_PREFIX" in refusal
