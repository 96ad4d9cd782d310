"""A dump without what its driver read after the adapter was lost.

This driver stops when it notices the loss: what follows fails. Linux's goes on, and fills the rest
of its dump with what it makes of all ones, which is nothing that the card held.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from vmcoredd.chip.register import BAR0, Location
from vmcoredd.cudbg.blank import why_blank
from vmcoredd.cudbg.dump import Dump, DumpEntity
from vmcoredd.cudbg.entity import Entity, Stage, entities
from vmcoredd.cudbg.errors import DumpFormatError, UnknownFormat
from vmcoredd.cudbg.loss import Later, loss_of
from vmcoredd.cudbg.remains import Remains
from vmcoredd.cudbg.words import RegisterEntity


@dataclass(frozen=True)
class Lost:
    """Where the adapter was lost."""

    entity: str
    """What was being collected, or what came next."""
    spans: Sequence[range] = ()
    """What of it was lost, if the driver went on; else it failed, and has no bytes."""


class Answered(Dump):
    """What of a dump the adapter answered."""

    def __init__(self, dump: Dump) -> None:
        super().__init__(dump.data)
        self.lost_at = _went_on(dump) or _stopped(dump)

    def follows_loss(self, name: str) -> bool:
        """Returns whether an entity was collected after the loss, or failed by it."""
        if self.lost_at is None or name not in entities():
            return False
        names = [*entities()]
        after = names.index(name) - names.index(self.lost_at.entity)
        return after > 0 or (not after and not self.lost_at.spans)

    def remains(self, name: str) -> Remains:
        """Returns what is left of an entity, as `Dump.remains`, and was answered."""
        left = super().remains(name)
        if self.follows_loss(name):
            return replace(left, parts=[])
        if self.lost_at is None or name != self.lost_at.entity:
            return left
        return replace(left, parts=[*_without(left, self.lost_at.spans)])

    @property
    def first_lost(self) -> Location | None:
        """The register whose read was the first that was lost; None if that is not known."""
        if self.lost_at is None:
            return None
        entity = entities()[self.lost_at.entity]
        if not isinstance(entity, RegisterEntity):
            return None
        spans, r = self.lost_at.spans, self.chip.r
        lost = (
            r.at(offset)
            for space, offset, position in entity.places(self.chip)
            if space == BAR0 and any(position in span for span in spans)
        )
        return next(filter(None, lost), None)


def _collected(dump: Dump) -> list[tuple[Entity, DumpEntity]]:
    """Returns the entities that were read from the adapter, in that order."""
    there = {entity.name: entity for entity in dump.entities if not entity.left_out}
    known = entities().items()
    return [(e, there[n]) for n, e in known if n in there and e.stage != Stage.DRIVER]


_NO_MEMORY = -errno.ENXIO
"""What Linux's driver has of each memory if MA's registers read as all ones."""


def _stopped(dump: Dump) -> Lost | None:
    """Returns the entity whose collection noticed the loss, which all that follow failed by."""
    first = None
    for entity, found in reversed(_collected(dump)):
        is_memory = entity.stage == Stage.MEMORIES
        if found.code != -errno.EIO and not (is_memory and found.sys_err == _NO_MEMORY):
            break
        first = entity.name
    return Lost(first) if first else None


def _went_on(dump: Dump) -> Lost | None:
    """Returns the first entity that ends in what is made of all ones, if nothing answered later.

    Not a memory: it may hold ones, which are raised as such.
    """
    collected = _collected(dump)
    for place, (entity, found) in enumerate(collected):
        if entity.stage == Stage.MEMORIES:
            break
        with suppress(DumpFormatError, UnknownFormat):
            if not found.good or dump.decoder(entity.name) is not entity:
                continue
            blob = dump.blob(entity.name)
            loss = loss_of(entity, blob, _later(dump, collected[place + 1 :]), dump.chip)
            if loss.is_certain and why_blank(entity, blob, dump.chip) is None:
                return Lost(entity.name, loss.spans)
            if loss.is_certain:
                return Lost(_first_failed(collected[: place + 1]))
    return None


def _first_failed(collected: Sequence[tuple[Entity, DumpEntity]]) -> str:
    """Returns the last entity, or the first of those just before it that failed."""
    first = collected[-1][0].name
    for entity, found in reversed(collected[:-1]):
        if not (found.is_incomplete and not found.good):
            break
        first = entity.name
    return first


def _later(dump: Dump, collected: Sequence[tuple[Entity, DumpEntity]]) -> Later:
    for entity, found in collected:
        with suppress(DumpFormatError, UnknownFormat):
            if found.good:
                yield entity, dump.blob(entity.name)
            elif found.is_incomplete:
                yield entity, None


def _without(left: Remains, spans: Sequence[range]) -> Iterator[tuple[int, bytes]]:
    """Yields the parts between spans of bytes."""
    for start, data in left.parts:
        end, at = start + len(data), start
        for span in (*spans, range(end, end)):
            stop = min(max(span.start, at), end)
            if stop > at:
                yield at, bytes(data[at - start : stop - start])
            at = max(at, span.stop)
