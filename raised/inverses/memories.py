"""The adapter's memories, the firmware's log in them, and the vital product data."""

from __future__ import annotations

from vmcoredd.chip.devlog import ADDRESS_UNIT, DEVLOG_PF
from vmcoredd.cudbg.dump import Dump
from vmcoredd.cudbg.entities.memories import AdapterMemory
from vmcoredd.cudbg.entity import entities
from vmcoredd.emu.memory import Memory
from vmcoredd.emu.vpd import Labelled, vpd_of
from vmcoredd.raised.raising import Raising, inverse
from vmcoredd.raised.reading import left_of, vital_data

PART = 1 << 20
"""Bytes that are copied at once."""


def memory_of(on: Raising, number: int) -> Memory | None:
    """Returns the memory of this number, if the card has it."""
    return next((memory for memory in on.card.memories if memory.type.number == number), None)


def memories(on: Raising, dump: Dump) -> list[str]:
    """Stores what the dump has of each memory; returns the entities that it took."""
    taken = []
    for name, entity in entities().items():
        if not isinstance(entity, AdapterMemory):
            continue
        memory, left = memory_of(on, entity.memory), left_of(dump, name)
        if memory is None or left is None:
            continue
        taken.append(name)
        for start, data in left.parts:
            for at in range(0, min(len(data), memory.size - start), PART):
                part = bytes(data[at : min(at + PART, memory.size - start)])
                if part.count(0) < len(part):  # a hole stays one
                    memory.memfd.view[start + at : start + at + len(part)] = part
    return taken


@inverse("DEV_LOG")
def device_log(on: Raising, blob: bytes) -> None:
    """Stores the log where PCIE_FW_PF says that it is; else where the memories have it, and the
    firmware will say so."""
    pointer = on.r.PCIE_FW_PF
    word, log = on.get(pointer, DEVLOG_PF), on.card.firmware.log
    if word:
        memory = memory_of(on, pointer.get(word, "MEMTYPE"))
        start = pointer.get(word, "ADDR16") * ADDRESS_UNIT
    else:
        memory, start = log.memory, log.offset
    if memory is None or start >= memory.size:
        return
    kept = blob[: memory.size - start]
    memory.memfd.view[start : start + len(kept)] = kept
    log.place(memory, start, len(kept))


@inverse("VPD_DATA")
def label(on: Raising, blob: bytes) -> None:
    """Makes vital product data that read as the dump's. The firmware's version is the profile's."""
    vital = vital_data(on.dump)
    if vital is None:
        return
    said = Labelled(
        id=vital.id[:-1],
        serial=vital.serial[:-1],
        part=vital.part[:-1],
        mac=vital.mac[:-1],
        version=str(vital.version).encode(),
    )
    image = vpd_of(said)
    on.card.config_space.vpd[: len(image)] = image
    on.set(on.r.PCIE_STATIC_SPARE2, vital.configuration)
