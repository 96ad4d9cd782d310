"""A crash with traffic on every queue: the dump, the guest's memory, and what its kernel had said.

The first kernel drives a fresh card, its ports are joined by a wire, and it panics while frames
flow. `make test` has a T6, `make test-long` a T5 too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import guest_memory
import pytest
import recorded
from crashes import SMALL, assert_same, our_dump, port_counters

from vmcoredd import cudbg, emu, vmcore
from vmcoredd.diagnosis import diagnose
from vmcoredd.emu import wires
from vmcoredd.qemu import kdump
from vmcoredd.qemu.prepare import Prepared, serve_cards

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
pytestmark = [pytest.mark.guest, pytest.mark.interop]

CARDS = ["t62100-cr", *(["t520-cr"] if THOROUGH else [])]
BAD_BY_DESIGN = {
    "t62100-cr": {"MC1", "HMA"},
    "t520-cr": {"MC1", "MA_INDIRECT", "HMA_INDIRECT", "HMA"},
}
INTERFACES = ("eth0", "eth1")
CPUS = 2
LARGEST_REQUEST = 8
"""Descriptors of the largest work request: a CPU that stopped in the middle of one has not rung."""


DEVLOG = re.compile(r"(?m)^ *(\d+) +\d+ +\w+ +\w+  (.*)$")
"""A line of debugfs' devlog: sequence number, time, level, facility, message."""


@dataclass
class Crash:
    """A run with traffic, and its card as it was just before the crash kernel dumped it."""

    name: str
    report: kdump.Report
    card: emu.Card
    state: emu.Snapshot
    prepared: Prepared

    @cached_property
    def dump(self) -> cudbg.Dump:
        """The kernel's dump."""
        with vmcore.Reader(self.report.vmcore) as reader:
            return cudbg.Dump(bytes(reader.payload(0)))

    @cached_property
    def memory(self) -> guest_memory.Memory:
        """The driver's own structures."""
        program = guest_memory.opened(self.report.vmcore, self.prepared.kernel)
        (adapter,) = guest_memory.adapters(program)
        return adapter

    @cached_property
    def before(self) -> dict[str, str]:
        """What the kernel said just before it panicked, by command."""
        return recorded.answers(self.report.before)

    def table(self, entity: str, name: str) -> list[dict[str, Any]]:
        """Returns the rows of a decoded table."""
        parts = self.dump.decode(entity).json()
        (rows,) = [part["rows"] for part in parts if part.get("table") == name]
        return rows

    def contexts(self, kind: str) -> dict[int, dict[str, Any]]:
        """Returns the contexts of a kind (`egress`, `ingress`) by queue."""
        return {row["queue"]: row for row in self.table("DUMP_CONTEXT", f"{kind} contexts")}


@pytest.fixture(scope="module", params=CARDS)
def crash(
    request: pytest.FixtureRequest,
    prepared: Prepared,
    tmp_path_factory: pytest.TempPathFactory,
    progress: Callable[..., None],
) -> Crash:
    folder = tmp_path_factory.mktemp("traffic")
    card = emu.Card.load(request.param, scene="fresh", memory=SMALL, map_window=True)
    wires.plug(["0=1"], {"a": card})
    states: list[emu.Snapshot] = []

    def on_stage(stage: kdump.Stage) -> None:
        if stage is kdump.Stage.CRASHED:
            states.append(card.snapshot())

    with serve_cards([card], folder) as adapters:
        report = kdump.run(
            adapters,
            folder / "vmcore",
            flow=kdump.Flow(traffic=("eth0=eth1",)),
            prepared=prepared,
            on_stage=on_stage,
            progress=progress,
        )
    return Crash(request.param, report, card, states[0], prepared)


# The dump


def test_the_kernel_dumps_a_card_that_had_traffic(crash: Crash) -> None:
    assert list(crash.report.device_dumps) == ["cxgb4_0000:00:02.0"]
    bad = {entity.name for entity in crash.dump.entities if not entity.good}
    assert bad == BAD_BY_DESIGN[crash.name]


def test_our_dump_of_the_same_state_equals_the_kernels(crash: Crash, tmp_path: Path) -> None:
    crash.card.restore(crash.state)
    ours = our_dump(crash.card, tmp_path)
    assert_same(crash.dump, ours, crash.prepared.kernel.release)


def test_traffic_alone_raises_no_alarm(crash: Crash) -> None:
    assert diagnose(crash.dump).alarming == ()


# The dump and the guest's memory


@pytest.mark.parametrize("kind", ["free list", "tx", "control", "ptp"])
def test_egress_contexts_are_the_drivers_rings(crash: Crash, kind: str) -> None:
    contexts, rings = crash.contexts("egress"), crash.memory.of(kind)
    assert rings
    for queue, ring in rings.items():
        context = contexts[queue]
        assert (context["BaseAddress"], context["QueueSize"]) == (ring.address, ring.entries), queue
        assert (context["kind"] == "free list") == (kind == "free list")


@pytest.mark.parametrize("kind", ["rx", "firmware events"])
def test_ingress_contexts_are_the_drivers_rings(crash: Crash, kind: str) -> None:
    contexts, rings = crash.contexts("ingress"), crash.memory.of(kind)
    assert rings
    for queue, ring in rings.items():
        context = contexts[queue]
        assert (context["BaseAddress"], context["QueueSize"]) == (ring.address, ring.entries), queue


def test_no_queue_is_in_the_dump_that_the_driver_does_not_have(crash: Crash) -> None:
    egress = {ring.queue for ring in crash.memory.rings if ring.pidx is not None}
    ingress = {ring.queue for ring in crash.memory.rings if ring.pidx is None}
    assert set(crash.contexts("egress")) == egress
    assert set(crash.contexts("ingress")) == ingress


@pytest.mark.parametrize("kind", ["free list", "tx", "control"])
def test_producer_indices_are_what_the_driver_rang(crash: Crash, kind: str) -> None:
    """A CPU that the panic stopped between a work request and its doorbell is ahead."""
    contexts, ahead = crash.contexts("egress"), []
    for queue, ring in crash.memory.of(kind).items():
        context = contexts[queue]
        ahead.append((ring.pidx - context["PIDX"]) % context["ring"])
    assert max(ahead) <= LARGEST_REQUEST
    assert sum(map(bool, ahead)) <= CPUS


def test_the_card_sent_all_it_was_told_to_and_the_driver_knows_of_most(crash: Crash) -> None:
    contexts = crash.contexts("egress")
    for queue, ring in crash.memory.of("tx").items():
        context = contexts[queue]
        behind = (context["CIDX"] - ring.cidx) % context["ring"]
        used = (ring.pidx - ring.cidx) % context["ring"]
        assert behind <= used, queue


def test_consumer_indices_of_ingress_queues_are_what_the_driver_returned(crash: Crash) -> None:
    """The driver returns entries in batches; it cannot have returned more than it has taken."""
    contexts = crash.contexts("ingress")
    for queue, ring in crash.memory.of("rx").items():
        context = contexts[queue]
        taken = (ring.cidx - context["CIDX"]) % context["ring"]
        written = (context["PIDX"] - context["CIDX"]) % context["ring"]
        assert taken <= written, queue


def test_the_table_of_mac_addresses_has_the_interfaces_at_their_places(crash: Crash) -> None:
    rows = {row["entry"]: row for row in crash.table("MPS_TCAM", "MAC addresses")}
    for interface in crash.memory.interfaces:
        row = rows[interface.mac_index]
        assert row["address"] == interface.mac
        assert row["ports"] == 1 << interface.port
        assert row["valid"]


# The dump and what the kernel said


def test_every_queue_had_traffic_and_the_dump_shows_it(crash: Crash) -> None:
    said = crash.before["cat /sys/kernel/debug/cxgb4/0000:00:02.0/sge_qinfo"]
    queues = recorded.queues(said, "Ethernet")
    assert len(queues) == len(crash.memory.of("tx"))
    assert [queue["RspQ ID"] for queue in queues if queue["RxPackets"] == "0"] == []
    egress, ingress = crash.contexts("egress"), crash.contexts("ingress")
    unsent = [queue for queue in queues if not egress[int(queue["TxQ ID"])]["PIDX"]]
    assert len(unsent) <= 1  # at the end of a lap; two at a time is beyond chance
    for queue in queues:
        received = ingress[int(queue["RspQ ID"])]
        assert received["PIDX"] or received["CIDX"] or not received["Generation"], queue


def test_the_indirection_table_is_what_debugfs_showed(crash: Crash) -> None:
    said = crash.before["cat /sys/kernel/debug/cxgb4/0000:00:02.0/rss"]
    shown = [int(word) for line in said.splitlines() for word in line.partition(":")[2].split()]
    rows = crash.table("RSS", "queue ids")
    assert [row[f"+{place}"] for row in rows for place in range(8)] == shown


def test_mac_counters_go_on_from_what_ethtool_said(crash: Crash) -> None:
    counters = port_counters(crash.dump)
    for port, name in enumerate(INTERFACES):
        said = recorded.statistics(crash.before[f"ethtool -S {name}"])
        for ours, ethtools in COUNTERS.items():
            assert counters[port, ours] >= said[ethtools], (name, ethtools)
        assert said["tx_frames_ok"] > 1000


COUNTERS = {
    "MPS_PORT_STAT_TX_PORT_BYTES": "tx_octets_ok",
    "MPS_PORT_STAT_TX_PORT_FRAMES": "tx_frames_ok",
    "MPS_PORT_STAT_TX_PORT_UCAST": "tx_unicast_frames",
    "MPS_PORT_STAT_RX_PORT_BYTES": "rx_octets_ok",
    "MPS_PORT_STAT_RX_PORT_FRAMES": "rx_frames_ok",
}


def test_what_one_port_sent_the_other_received(crash: Crash) -> None:
    counters = port_counters(crash.dump)
    for way in ("BYTES", "FRAMES"):
        for port in (0, 1):
            sent = counters[port, f"MPS_PORT_STAT_TX_PORT_{way}"]
            assert counters[1 - port, f"MPS_PORT_STAT_RX_PORT_{way}"] == sent


def test_the_device_log_has_what_debugfs_showed(crash: Crash) -> None:
    said = crash.before["cat /sys/kernel/debug/cxgb4/0000:00:02.0/devlog"]
    shown = {int(line[1]): line[2].strip() for line in DEVLOG.finditer(said)}
    (rows,) = [part["rows"] for part in crash.dump.decode("DEV_LOG").json()]
    dumped = {row["seqno"]: row["message"] for row in rows}
    assert len(shown) > 50
    assert {number: dumped.get(number) for number in shown} == shown
