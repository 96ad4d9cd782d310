"""A server that stands still for a while or for good, and one that ends like a process that is
killed."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest
from vfio_device import Device

import pyvfio_user

PATIENCE = 10.0
SHORT = 0.2


def test_a_pause_delays_the_next_message_and_calls_then(
    device: Device, client: pyvfio_user.Client
) -> None:
    over = threading.Event()
    began = time.monotonic()
    device.server.submit(lambda: device.server.pause(SHORT, over.set)).result(PATIENCE)
    client.region_read(0, 0, 4)
    assert time.monotonic() - began >= SHORT
    assert over.wait(PATIENCE)


def test_what_is_submitted_runs_in_a_pause_and_can_end_it(
    device: Device, client: pyvfio_user.Client
) -> None:
    over = threading.Event()
    device.server.submit(lambda: device.server.pause(None, over.set)).result(PATIENCE)
    assert [device.server.submit(int).result(PATIENCE) for _ in range(3)] == [0, 0, 0]
    device.server.submit(device.server.resume).result(PATIENCE)
    client.region_read(0, 0, 4)
    assert not over.is_set()


def test_a_client_waits_no_longer_than_it_wants(device: Device) -> None:
    with pyvfio_user.Client(device.path, deadline=SHORT) as impatient:
        device.server.submit(device.server.pause).result(PATIENCE)
        with pytest.raises(pyvfio_user.Timeout):
            impatient.region_read(0, 0, 4)
    device.server.submit(device.server.resume).result(PATIENCE)


def test_a_stop_ends_a_pause(tmp_path: os.PathLike[str]) -> None:
    with pyvfio_user.Server(os.path.join(tmp_path, "s")) as server:
        server.pause()
        thread = threading.Thread(target=server.run)
        thread.start()
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_server_that_dies_leaves_its_socket_at_which_nobody_listens(
    tmp_path: os.PathLike[str],
) -> None:
    path = os.path.join(tmp_path, "s")
    with pyvfio_user.Server(path) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        with pyvfio_user.Client(path) as client:
            with contextlib.suppress(pyvfio_user.ListenError):
                server.submit(server.die).result(PATIENCE)
            with pytest.raises(pyvfio_user.ConnectionLost):
                client.region_read(0, 0, 4)
        thread.join(PATIENCE)
        assert (server.closed, server.died, os.path.exists(path)) == (True, True, True)
    with pytest.raises(pyvfio_user.ConnectError, match="refused"):
        pyvfio_user.Client(path)
    pyvfio_user.Server(path).close()
    assert not os.path.exists(path)
