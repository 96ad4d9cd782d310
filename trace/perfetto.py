"""Events for Perfetto (ui.perfetto.dev): a track for each block, a slice for each access.

Needs the package `perfetto`, whose messages these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, Any

from vmcoredd.trace.events import MEMORY, REPLY, Event

_SEQUENCE = 1
_PROCESS, _FIRST_TRACK = 1, 2
"""Numbers of tracks."""


class _Track:
    """A track: its number, and when its open slices end, the innermost last."""

    def __init__(self, number: int) -> None:
        self.number, self.ends = number, list[int]()


class Export:
    """Writes events to a file, as they come; `header` is that of their trace."""

    def __init__(self, file: IO[bytes], header: Mapping[str, Any]) -> None:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema
        from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

        self._schema = schema
        self._builder = StreamingTraceProtoBuilder(file)
        self._tracks: dict[str, _Track] = {}
        self._names: dict[str, int] = {}
        self._describe(_PROCESS, f"{header.get('card') or header['chip']}", 0)

    def add(self, events: Iterable[Event]) -> None:
        """Adds events, then ends all slices."""
        for event in events:
            self._event(event)
        for track in self._tracks.values():
            self._end(track, None)

    def _event(self, event: Event) -> None:
        track = self._track(event.block)
        begin = max(event.time - event.spent, 0) if event.kind == REPLY else event.time
        self._end(track, begin)
        types = self._schema.TrackEvent
        if not event.spent:
            self._put(track, begin, types.TYPE_INSTANT, event)
            return
        self._put(track, begin, types.TYPE_SLICE_BEGIN, event)
        end = begin + event.spent
        track.ends.append(min([end, *track.ends[-1:]]))

    def _end(self, track: _Track, now: int | None) -> None:
        """Ends the slices of a track that are over; of those that end together, the inner first."""
        while track.ends and (now is None or track.ends[-1] <= now):
            self._put(track, track.ends.pop(), self._schema.TrackEvent.TYPE_SLICE_END, None)

    def _track(self, block: str) -> _Track:
        if block not in self._tracks:
            number = _FIRST_TRACK + len(self._tracks)
            self._tracks[block] = _Track(number)
            self._describe(number, block, _PROCESS)
        return self._tracks[block]

    def _describe(self, number: int, name: str, parent: int) -> None:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.track_descriptor.uuid = number
        packet.track_descriptor.name = name
        if parent:
            packet.track_descriptor.parent_uuid = parent
        else:
            packet.sequence_flags = self._schema.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        self._builder.write_packet(packet)

    def _put(self, track: _Track, time: int, kind: Any, event: Event | None) -> None:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.sequence_flags = self._schema.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        packet.timestamp = time
        packet.track_event.type = kind
        packet.track_event.track_uuid = track.number
        if event is not None:
            packet.track_event.name_iid = self._name(packet, _title(event))
            self._annotate(packet.track_event, event)
        self._builder.write_packet(packet)

    def _name(self, packet: Any, name: str) -> int:
        """Returns the number of a name, which the first packet that uses it says."""
        if name not in self._names:
            self._names[name] = len(self._names) + 1
            made = packet.interned_data.event_names.add()
            made.iid, made.name = self._names[name], name
        return self._names[name]

    def _annotate(self, into: Any, event: Event) -> None:
        if event.value is not None:
            self._number(into, "value", event.value)
        elif event.length:
            self._number(into, "bytes", event.length)
        if event.offset is not None:
            self._number(into, "offset", event.offset)
        for name, value in event.fields.items():
            if value:
                self._number(into, name, value)
        for name, detail in event.details.items():
            note = into.debug_annotations.add()
            note.name, note.string_value = name, str(detail)
        if event.error:
            note = into.debug_annotations.add()
            note.name, note.string_value = "error", event.error

    @staticmethod
    def _number(into: Any, name: str, value: int) -> None:
        note = into.debug_annotations.add()
        note.name, note.uint_value = name, value


def _title(event: Event) -> str:
    """The name of a slice: of reads, the register's alone."""
    name = event.name if event.block != MEMORY or not event.space else event.name.partition("+")[0]
    return name if event.kind == "read" else f"{event.kind} {name}"
