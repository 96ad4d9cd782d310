"""Every entity of a crash-time dump, T5 and T6: sizes, accesses, decoders, refusals.

The numbers were measured by running the kernel's own driver against plain registers; they are
given as (raw bytes, accesses) for each chip, None where they depend on what the card holds. Of the
latter, the tests of the entity (or of the kernel's code beside ours) say more.
"""

import pytest
from carddump import CARDS, collected, walk

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.entity import Entity, entities
from vmcoredd.cudbg.errors import Code, DumpFormatError

FACTS = {
    "MBOX_LOG": ((36864, 0), (36864, 0)),
    "QDESC": ((33554432, 0), (33554432, 0)),
    "DEV_LOG": ((131072, 32901), (131072, 32901)),
    "REG_DUMP": ((339968, 14392), (339968, 10322)),
    "CIM_LA": ((8196, 24588), (8204, 24588)),
    "CIM_MA_LA": ((2560, 962), (2560, 962)),
    "CIM_QCFG": ((360, 246), (360, 246)),
    "CIM_IBQ_TP0": ((2048, 1537), (2048, 1537)),
    "CIM_IBQ_TP1": ((2048, 1537), (2048, 1537)),
    "CIM_IBQ_ULP": ((2048, 1537), (2048, 1537)),
    "CIM_IBQ_SGE0": ((2048, 1537), (2048, 1537)),
    "CIM_IBQ_SGE1": ((2048, 1537), (2048, 1537)),
    "CIM_IBQ_NCSI": ((2048, 1537), (2048, 1537)),
    "CIM_OBQ_ULP0": ((2048, 1541), (2048, 1541)),
    "CIM_OBQ_ULP1": ((2048, 1541), (2048, 1541)),
    "CIM_OBQ_ULP2": ((2048, 1541), (2048, 1541)),
    "CIM_OBQ_ULP3": ((2048, 1541), (2048, 1541)),
    "CIM_OBQ_SGE": ((2048, 1541), (2048, 1541)),
    "CIM_OBQ_NCSI": ((2048, 1541), (2048, 1541)),
    "RSS": ((4096, 2048), (8192, 4096)),
    "RSS_VF_CONF": ((1024, 768), (2048, 1536)),
    "PATH_MTU": ((32, 32), (32, 32)),
    "PM_STATS": ((168, 60), (168, 84)),
    "HW_SCHED": ((104, 50), (104, 50)),
    "TP_INDIRECT": ((3024, 490), (2736, 508)),
    "SGE_INDIRECT": ((4536, 64), (4536, 1384)),
    "ULPRX_LA": ((16388, 4120), (16388, 4120)),
    "TP_LA": ((1032, 259), (1032, 259)),
    "MEMINFO": ((560, 65), (560, 63)),  # one more than without a doorbell FIFO
    "CIM_PIF_LA": ((3076, 1155), (3076, 1155)),
    "CLK": ((88, 10), (88, 10)),
    "CIM_OBQ_RXQ0": ((2048, 1541), (2048, 1541)),
    "CIM_OBQ_RXQ1": ((2048, 1541), (2048, 1541)),
    "PCIE_INDIRECT": ((864, 272), (864, 272)),
    "PM_INDIRECT": ((576, 212), (576, 212)),
    "TID_INFO": ((156, 3), (156, 3)),
    "PCIE_CONFIG": ((388, 273), (388, 273)),
    "DUMP_CONTEXT": ((None, None), (None, None)),
    "MPS_TCAM": ((45056, None), (45056, None)),
    "VPD_DATA": ((88, 14), (88, 14)),
    "LE_TCAM": ((172056, None), (387096, None)),
    "CCTRL": ((1024, 1024), (1024, 1024)),
    "MA_INDIRECT": (None, (864, 206)),
    "ULPTX_LA": ((26252, 6689), (26252, 6689)),
    "UP_CIM_INDIRECT": ((1872, 751), (3168, 1099)),
    "PBT_TABLE": ((2176, 2176), (2176, 2176)),
    "HMA_INDIRECT": (None, (144, 64)),
    "EDC0": ((2 << 20, None), (2 << 20, None)),
    "EDC1": ((2 << 20, None), (2 << 20, None)),
    "MC0": ((8 << 20, None), (8 << 20, None)),
    "MC1": (None, None),
    "HMA": (None, None),
}
CHIP_VERSION = 0x16
"""Where a dump's header says which chip it is of."""
MEMORIES = ("EDC0", "EDC1", "MC0", "MC1", "HMA")
ABSENT, NOT_FOUND = (
    (Code.SYSTEM_ERROR, Code.ENTITY_NOT_FOUND, 0),
    (Code.ENTITY_NOT_FOUND, 0, 0),
)
NO_ROOM = (Code.NO_MEM, 0, Code.PARTIAL_DATA)
FAILED = {
    T5: {"MC1": ABSENT, "MA_INDIRECT": NOT_FOUND, "HMA_INDIRECT": NOT_FOUND, "HMA": ABSENT},
    T6: {"MC1": ABSENT, "HMA": ABSENT},
}
"""By design: the chip or the card has none."""
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
ENTITIES = entities()


SIZED = [
    (chip, name)
    for name in FACTS
    for chip in ENTITIES[name].chips or CARDS
    if name not in (*MEMORIES, "QDESC")
]
"""What has a size that says whether it is whole."""


def decoded(entity: Entity, blob: bytes, chip: Chip) -> int:
    """Walks all that a blob says; the number of parts."""
    return len(list(walk(entity.decode(blob, chip))))


def test_the_52_entities_are_listed_in_the_kernels_order() -> None:
    assert list(ENTITIES) == list(FACTS)
    assert len(FACTS) == 52


@CHIPS
@pytest.mark.parametrize("name", FACTS)
def test_an_entity_has_the_size_and_the_accesses_of_the_kernels(chip: Chip, name: str) -> None:
    expected = FACTS[name][(T5, T6).index(chip)]
    entity = collected(chip).entity(name)
    assert entity.good == (expected is not None)
    size, accesses = expected or (0, None)
    assert entity.raw_bytes == (entity.raw_bytes if size is None else size)
    assert entity.counts.total == (entity.counts.total if accesses is None else accesses)


@CHIPS
def test_a_zlib_dump_has_the_kernels_failures_and_no_other(chip: Chip) -> None:
    made = collected(chip)
    assert {entity.name: made.codes(entity.name) for entity in made.report.failed} == FAILED[chip]
    assert len(made.report.good) == {T5: 48, T6: 50}[chip]
    assert not any(entity.sys_warn for entity in made.dump.entities)


@CHIPS
def test_a_raw_dump_has_no_room_for_qdesc_besides(chip: Chip) -> None:
    made = collected(chip, "none")
    failed = {entity.name: made.codes(entity.name) for entity in made.report.failed}
    assert failed == FAILED[chip] | {"QDESC": NO_ROOM}
    assert len(made.report.good) == {T5: 47, T6: 49}[chip]


@CHIPS
def test_a_raw_dump_and_a_zlib_dump_say_the_same(chip: Chip) -> None:
    packed, plain = collected(chip), collected(chip, "none")
    for entity in plain.report.good:
        assert plain.dump.raw(entity.name) == packed.dump.raw(entity.name), entity.name


@CHIPS
def test_the_report_says_of_every_entity_what_its_header_says(chip: Chip) -> None:
    made = collected(chip)
    for entity in made.report.entities:
        assert made.codes(entity.name) == (entity.code, entity.sys_err, entity.sys_warn)
        assert entity.raw_bytes == (made.dump.size(entity.name) if entity.good else 0)


@CHIPS
@pytest.mark.parametrize("name", FACTS)
def test_everything_in_a_dump_is_decoded(chip: Chip, name: str) -> None:
    made = collected(chip)
    if made.entity(name).good:
        parts = made.dump.decode(name).json()
        assert parts
        assert all(len(part) > 1 for part in parts)
        return
    with pytest.raises(cudbg.NoSuchEntity, match=f"{name} is not in the dump: -2[49]: "):
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
    with pytest.raises(DumpFormatError, match=f"{name}: a T5 has none"):
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
    assert decoded(ENTITIES["QDESC"], bytes(blob), chip) == 2


@CHIPS
@pytest.mark.parametrize("size", [0, 15])
def test_queue_descriptors_without_their_header_are_refused(chip: Chip, size: int) -> None:
    with pytest.raises(DumpFormatError, match=f"QDESC: need 16 bytes, have {size}"):
        decoded(ENTITIES["QDESC"], bytes(size), chip)
