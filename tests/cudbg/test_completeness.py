"""Every entity of a crash-time dump, T5 and T6: order, size, accesses, decoder, refusals.

Each entity's class declares its size and the accesses of the kernel's driver;
docs/reference/dump-entities.md shows them all. This file holds the values that depend on the card,
for the cards of these tests.
"""

import pytest
from carddump import CARDS, collected, walk

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import sizeof
from vmcoredd.cudbg.entity import Entity, entities, measured
from vmcoredd.cudbg.errors import Code, DumpFormatError
from vmcoredd.cudbg.generate import PAGE, page

ENTITIES = entities()
QUEUES = ("ULP0", "ULP1", "ULP2", "ULP3", "SGE", "NCSI", "RXQ0", "RXQ1")
OF_THE_CARDS = {
    "DEV_LOG": {T5: (131072, 32901), T6: (131072, 32901)},
    **{f"CIM_OBQ_{name}": {T5: (2048, 1541), T6: (2048, 1541)} for name in QUEUES},
    "LE_TCAM": {T5: (172056, None), T6: (387096, None)},
    "EDC0": {T5: (2 << 20, None), T6: (2 << 20, None)},
    "EDC1": {T5: (2 << 20, None), T6: (2 << 20, None)},
    "MC0": {T5: (8 << 20, None), T6: (8 << 20, None)},
}
"""Bytes and accesses; None where the entity's own test checks them."""
UNMEASURED = {"DUMP_CONTEXT", "MC1", "HMA"}
"""Their size depends on the card's queues, or the cards have none."""
CHIP_VERSION = 0x16
"""The offset of the chip in a dump's header."""
MEMORIES = ("EDC0", "EDC1", "MC0", "MC1", "HMA")
ABSENT = (Code.SYSTEM_ERROR, Code.ENTITY_NOT_FOUND, 0)
NOT_FOUND = (Code.ENTITY_NOT_FOUND, 0, 0)
NO_ROOM = (Code.NO_MEM, 0, Code.PARTIAL_DATA)
FAILED = {
    T5: {"MC1": ABSENT, "MA_INDIRECT": NOT_FOUND, "HMA_INDIRECT": NOT_FOUND, "HMA": ABSENT},
    T6: {"MC1": ABSENT, "HMA": ABSENT},
}
"""By design: the chip or the card has none."""
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)

SIZED = [
    (chip, name)
    for name in ENTITIES
    for chip in ENTITIES[name].chips or CARDS
    if name not in (*MEMORIES, "QDESC")
]
"""Entities with a fixed size."""


def decoded(entity: Entity, blob: bytes, chip: Chip) -> int:
    """Decodes a blob completely, and returns the number of parts."""
    return len(list(walk(entity.decode(blob, chip))))


def test_the_layouts_of_an_entity_make_up_its_bytes() -> None:
    """One of each but the last, which is repeated; behind QDESC's there are descriptors."""
    named = {name: each for name, each in ENTITIES.items() if each.layouts and name != "QDESC"}
    assert len(named) > 20
    for name, each in named.items():
        *heads, last = (sizeof(layout) for layout in each.layouts)
        for chip in each.chips or CARDS:
            size = measured(each.raw_bytes, chip) or OF_THE_CARDS.get(name, {chip: (0,)})[chip][0]
            assert (size - sum(heads)) % last == 0 or name in UNMEASURED, name
        assert each.entry_bytes in (0, last)
        assert each.entries_from in (0, sum(heads))


def test_the_table_of_all_entities_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run python -m vmcoredd.cudbg.generate"


@pytest.mark.parametrize("name", ENTITIES)
def test_an_entity_declares_its_size_and_its_accesses(name: str) -> None:
    entity = ENTITIES[name]
    assert entity.accesses is None or measured(entity.accesses, T6) is not None
    assert entity.raw_bytes is not None or name in OF_THE_CARDS.keys() | UNMEASURED


@CHIPS
@pytest.mark.parametrize("name", ENTITIES)
def test_an_entity_has_the_kernels_size_and_accesses(chip: Chip, name: str) -> None:
    entity, made = ENTITIES[name], collected(chip).entity(name)
    if name in FAILED[chip]:
        assert (made.good, made.raw_bytes) == (False, 0)
        return
    size, accesses = OF_THE_CARDS.get(name, {}).get(chip, (None, None))
    size = size or measured(entity.raw_bytes, chip)
    accesses = accesses or measured(entity.accesses, chip)
    assert made.good
    assert size in (None, made.raw_bytes)
    assert accesses in (None, made.counts.total)


@CHIPS
def test_a_zlib_dump_has_exactly_the_kernels_failures(chip: Chip) -> None:
    made = collected(chip)
    assert {entity.name: made.codes(entity.name) for entity in made.report.failed} == FAILED[chip]
    assert len(made.report.good) == len(ENTITIES) - len(FAILED[chip])
    assert not any(entity.sys_warn for entity in made.dump.entities)


@CHIPS
def test_a_raw_dump_also_has_no_room_for_qdesc(chip: Chip) -> None:
    made = collected(chip, "none")
    failed = {entity.name: made.codes(entity.name) for entity in made.report.failed}
    assert failed == FAILED[chip] | {"QDESC": NO_ROOM}
    assert len(made.report.good) == len(ENTITIES) - len(FAILED[chip]) - 1


@CHIPS
def test_a_raw_dump_and_a_zlib_dump_have_the_same_content(chip: Chip) -> None:
    packed, plain = collected(chip), collected(chip, "none")
    for entity in plain.report.good:
        assert plain.dump.raw(entity.name) == packed.dump.raw(entity.name), entity.name


@CHIPS
def test_the_report_and_the_header_of_every_entity_agree(chip: Chip) -> None:
    made = collected(chip)
    for entity in made.report.entities:
        assert made.codes(entity.name) == (entity.code, entity.sys_err, entity.sys_warn)
        assert entity.raw_bytes == (made.dump.size(entity.name) if entity.good else 0)


@CHIPS
@pytest.mark.parametrize("name", ENTITIES)
def test_everything_in_a_dump_is_decoded(chip: Chip, name: str) -> None:
    made = collected(chip)
    if made.entity(name).good:
        parts = made.dump.decode(name).json()
        assert parts
        assert all(len(part) > 1 for part in parts)
        return
    with pytest.raises(
        cudbg.NoSuchEntity, match=f"{name} is not in the dump: this adapter has none"
    ):
        made.dump.decode(name)


@pytest.mark.parametrize(("chip", "name"), SIZED, ids=repr)
def test_a_decoder_refuses_a_blob_that_is_too_short_or_too_long(chip: Chip, name: str) -> None:
    blob = collected(chip).dump.raw(name)
    for wrong in (blob[:-1], blob + b"\0", blob[:1], b""):
        with pytest.raises(DumpFormatError, match=f"^{name}"):
            decoded(ENTITIES[name], wrong, chip)


@pytest.mark.parametrize("name", ["MA_INDIRECT", "HMA_INDIRECT"])
def test_an_entity_that_a_chip_lacks_is_not_decoded_for_it(name: str) -> None:
    data = bytearray(collected(T6).data)
    data[CHIP_VERSION] = 0x50
    with pytest.raises(cudbg.UnknownFormat, match=f"{name}: none is known on a T5"):
        cudbg.Dump(data).decode(name)


@CHIPS
@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("size", [0, 1, 65536])
def test_a_memory_is_shown_whatever_its_size(chip: Chip, name: str, size: int) -> None:
    (memory,) = ENTITIES[name].decode(bytes(size), chip)
    assert len(memory.data) == size


@CHIPS
@pytest.mark.parametrize("size", [16, 17, 65536])
def test_queue_descriptors_end_where_the_dump_was_full(chip: Chip, size: int) -> None:
    blob = collected(chip).dump.blob("QDESC")[:size]
    assert decoded(ENTITIES["QDESC"], bytes(blob), chip) == 3


@CHIPS
@pytest.mark.parametrize("size", [0, 15])
def test_queue_descriptors_without_their_header_are_refused(chip: Chip, size: int) -> None:
    with pytest.raises(DumpFormatError, match=f"QDESC: need 16 bytes, have {size}"):
        decoded(ENTITIES["QDESC"], bytes(size), chip)
