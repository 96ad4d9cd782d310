"""Work requests in the rings of egress queues, and how the driver hears that they are done."""

from __future__ import annotations

import pytest
from frames import ethernet
from rxdriver import Rig
from txdriver import Outlet, TxDriver, inline, listed


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    return Outlet(rig)


@pytest.fixture
def driver(rig: Rig) -> TxDriver:
    return TxDriver(rig.host)


def frame(length: int, seed: int = 0) -> bytes:
    return ethernet(bytes((seed + n) % 256 for n in range(length - 14)))


def test_a_frame_in_its_work_request_leaves(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    driver.post(inline(frame(60)))
    rig.run()
    assert outlet.frames() == [frame(60)]
    assert rig.troubles == []


@pytest.mark.parametrize("count", [1, 2, 3, 4, 17])
def test_a_frame_is_gathered_from_the_hosts_memory(
    rig: Rig, outlet: Outlet, driver: TxDriver, count: int
) -> None:
    data = frame(1500)
    parts = [data[i::count] for i in range(count)]
    driver.post(listed(driver, parts))
    rig.run()
    assert outlet.frames() == [b"".join(parts)]


def test_a_work_request_wraps_in_any_of_its_parts(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    for round_ in range(3 * driver.entries):
        data = [frame(200 + round_, round_)[i::7] for i in range(7)]
        driver.post(listed(driver, data), inline(frame(190, round_)))
        rig.run()
        assert outlet.frames() == [b"".join(data), frame(190, round_)]
