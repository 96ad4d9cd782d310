"""Runs and loops as one, filters, and the formats: nothing is left out of what they say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.trace.conftest import Recording, events, read
from vmcoredd import cudbg, driver, emu
from vmcoredd.trace import jsonlines, text
from vmcoredd.trace.events import Decoder, Event
from vmcoredd.trace.filters import Wanted
from vmcoredd.trace.folding import Loop, Run, Step, folded
from vmcoredd.trace.perfetto import Export
from vmcoredd.trace.records import Kind


@pytest.fixture
def dumped(card: emu.Card, path: Path, recorded: Recording) -> Path:
    """A trace of some entities of a dump."""
    entities = ["CIM_QCFG", "TP_INDIRECT", "RSS", "SGE_INDIRECT", "CCTRL", "ULPRX_LA"]
    with recorded(), driver.open_card(card) as adapter:
        buffer = memoryview(bytearray(cudbg.DUMP_SIZE))
        adapter.collect(buffer, compress="none", entities=entities)
    return path


def events_in(step: Step) -> int:
    """How many events a step stands for at least: of a loop whose rounds differ, the least."""
    if isinstance(step, Run):
        return step.times
    rounds = (sum(map(events_in, one)) for one in (step.first, step.last))
    return step.times * min(rounds)


def test_folding_stands_for_all_events(dumped: Path) -> None:
    found = events(dumped)
    steps = list(folded(found))
    assert len(steps) < len(found) / 20
    assert any(isinstance(step, Loop) for step in steps)
    assert sum(map(events_in, steps)) <= len(found)


def test_a_run_has_its_ends_and_its_size(card: emu.Card, path: Path, recorded: Recording) -> None:
    with recorded():
        for offset in range(0x1008, 0x1108, 4):
            card.read(offset)
    (run,) = folded(events(path))
    assert isinstance(run, Run)
    assert (run.times, run.bytes, run.ascending) == (64, 256, True)
    (line,) = text.lines(events(path))
    assert "SGE_CONTROL .. " in line
    assert "(256 bytes)" in line


def test_an_index_and_its_data_are_a_loop(card: emu.Card, path: Path, recorded: Recording) -> None:
    r = card.chip.r
    with recorded():
        for index in range(0x20, 0x30):
            card.write(r.TP_PIO_ADDR, index)
            card.read(r.TP_PIO_DATA)
    head, write, read_back = text.lines(events(path))
    assert head.endswith("16 times:")
    assert "TP_PIO_ADDR = 0x00000020 .. 0x0000002f" in write
    assert "TP_PIO_DATA" in read_back


def test_a_write_says_what_the_register_stores(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    cause = card.chip.r.PL_INT_CAUSE
    card.core.spaces.set(cause, 0b11)
    with recorded():
        card.write(cause, 0b01)
    (line,) = text.lines(events(path))
    assert "= 0x00000001" in line
    assert "(stores 0x2" in line


def test_filters_choose_by_block_name_and_kind(dumped: Path) -> None:
    found = events(dumped)

    def names(**wanted: list[str]) -> set[str]:
        return {event.name for event in Wanted(**wanted).events(found)}

    assert names(names=["tp_pio_*"]) == {"TP_PIO_ADDR", "TP_PIO_DATA"}
    assert names(blocks=["TP"], kinds=["write"], names=["TP_PIO*"]) == {"TP_PIO_ADDR"}
    blocks = Counter(event.block for event in Wanted(blocks=["tp", "cim"]).events(found))
    assert set(blocks) == {"TP", "CIM"}
    assert not names(kinds=["interrupt"])


def test_json_lines_have_every_event(dumped: Path) -> None:
    reader, records = read(dumped)
    decoder = Decoder(reader.header)
    found = list(decoder.events(records))
    lines = [json.loads(line) for line in jsonlines.lines(reader.header, decoder, found)]
    end = json.loads(jsonlines.last_line(reader.end, reader.damage))
    assert lines[0]["card"] == "t62100-cr"
    assert len(lines) == 1 + len(found)
    assert (end["complete"], end["events"]) == (True, len(records))
    by_name = {line["name"]: line for line in lines[1:]}
    assert by_name["TP_PIO_ADDR"]["value"] is not None
    assert any(line.get("fields") for line in lines[1:])
    runs = [line for line in lines[1:] if line.get("registers")]
    assert all(len(run["data"]) >= 8 or run["value"] is not None for run in runs)


def test_perfettos_schema_reads_tracks_nesting_and_counts(dumped: Path, tmp_path: Path) -> None:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

    reader, records = read(dumped)
    found = list(Decoder(reader.header).events(records))
    out = tmp_path / "out.pftrace"
    with out.open("wb") as file:
        Export(file, reader.header).add(found)
    trace = Trace.FromString(out.read_bytes())
    tracks = {
        p.track_descriptor.uuid: p.track_descriptor
        for p in trace.packet
        if p.HasField("track_descriptor")
    }
    blocks = {track.name for track in tracks.values() if track.parent_uuid}
    assert blocks == {event.block for event in found}
    assert {track.parent_uuid for track in tracks.values()} <= {0, *tracks}
    kinds = Counter(p.track_event.type for p in trace.packet if p.HasField("track_event"))
    begun, ended = kinds[TrackEvent.TYPE_SLICE_BEGIN], kinds[TrackEvent.TYPE_SLICE_END]
    assert begun == ended
    assert begun + kinds[TrackEvent.TYPE_INSTANT] == len(found)
    by_block = Counter(
        tracks[p.track_event.track_uuid].name
        for p in trace.packet
        if p.HasField("track_event") and p.track_event.type != TrackEvent.TYPE_SLICE_END
    )
    assert by_block == Counter(event.block for event in found)
    names = {one.iid: one.name for p in trace.packet for one in p.interned_data.event_names}
    assert "write TP_PIO_ADDR" in names.values()
    _check_nesting(trace)


def _check_nesting(trace: object) -> None:
    """On each track, in order of time, slices begin and end like brackets."""
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

    depth: Counter[int] = Counter()
    last: dict[int, int] = {}
    for packet in trace.packet:  # type: ignore[attr-defined]
        if not packet.HasField("track_event"):
            continue
        track = packet.track_event.track_uuid
        assert packet.timestamp >= last.get(track, 0)
        last[track] = packet.timestamp
        depth[track] += packet.track_event.type == TrackEvent.TYPE_SLICE_BEGIN
        depth[track] -= packet.track_event.type == TrackEvent.TYPE_SLICE_END
        assert depth[track] >= 0
    assert not any(depth.values())


def test_what_was_lost_passes_every_filter() -> None:
    lost = Event(0, 0, "lost", "recorder", "emulator", "events", times=7)
    assert list(Wanted(kinds=["write"], blocks=["SGE"]).events([lost])) == [lost]
    assert Kind.LOST.name.lower() == lost.kind
