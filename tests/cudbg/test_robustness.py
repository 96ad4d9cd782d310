"""Untrusted bytes: the reader refuses or shows any content of a dump."""

from __future__ import annotations

from random import Random

import pytest
from carddump import CARDS, SMALL, collect, collected, walk

from vmcoredd import cudbg, emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.container import HEADERS_BYTES
from vmcoredd.cudbg.decoded import Allowance
from vmcoredd.cudbg.entity import Stage, entities
from vmcoredd.cudbg.errors import CudbgError, DumpFormatError

ROUNDS = 12
LARGE = 64 << 10
"""Bytes of entities that take long to show."""
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutated(data: bytes, random: Random, places: int) -> bytearray:
    """Replaces some words by extreme numbers or noise."""
    result = bytearray(data)
    for _ in range(places):
        at = random.randrange(max(len(result) - 4, 1)) & ~3
        value = random.choice((*NUMBERS, random.getrandbits(32)))
        result[at : at + 4] = value.to_bytes(4, "little")
    return result[: len(data)]


def shown(name: str, blob: bytes, chip: Chip) -> bool:
    """Whether a blob was decoded, and not refused; anything else raises."""
    try:
        for part in walk(entities()[name].decode(blob, chip)):
            part.json()
    except DumpFormatError:
        return False
    return True


SIZED = [
    (chip, entity.name)
    for entity in entities().values()
    for chip in entity.chips or CARDS
    if entity.name not in ("QDESC", "EDC0", "EDC1", "MC0", "MC1", "HMA")
]


@pytest.mark.parametrize(("chip", "name"), SIZED, ids=repr)
def test_no_content_of_the_right_size_crashes_a_decoder(chip: Chip, name: str) -> None:
    raw = collected(chip).dump.raw(name)
    random = Random(entities()[name].number)
    for pattern in (b"\0", b"\xff", random.randbytes(64)):
        shown(name, (pattern * len(raw))[: len(raw)], chip)
    rounds = ROUNDS // 2 if len(raw) < LARGE else 1
    for _ in range(rounds):
        shown(name, bytes(mutated(raw, random, 16)), chip)
        shown(name, bytes(mutated(raw[:64], random, 4)) + raw[64:], chip)


EXPLAINED = [
    (chip, entity.name)
    for entity in entities().values()
    for chip in entity.chips or CARDS
    if entity.explained_by and entity.name not in ("QDESC", "MC1", "HMA")
]


@pytest.mark.parametrize(("chip", "name"), EXPLAINED, ids=repr)
def test_no_content_of_those_that_explain_it_makes_an_entity_unreadable(
    chip: Chip, name: str
) -> None:
    dump, entity, random = collected(chip).dump, entities()[name], Random(71)
    size = LARGE if entity.stage == Stage.MEMORIES else dump.size(name)
    blob = bytes(dump.blob(name)[:size])
    known = {other: dump.raw(other) for other in entity.explained_by}
    noise = {other: random.randbytes(len(raw)) for other, raw in known.items()}
    short = {other: raw[: len(raw) // 2] for other, raw in known.items()}
    changed = [
        {other: bytes(mutated(raw, random, 16)) for other, raw in known.items()} for _ in range(4)
    ]
    ones = {other: b"\xff" * len(raw) for other, raw in known.items()}
    for others in (noise, short, ones, *changed):
        for part in walk(entity.decode_with(blob, others, chip)):
            part.json(Allowance(1000))


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_no_content_of_qdesc_crashes_its_decoder(chip: Chip) -> None:
    random = Random(70)
    head = bytes(collected(chip).dump.blob("QDESC")[:16])
    assert shown("QDESC", head + bytes(4096), chip)
    for _ in range(ROUNDS):
        shown("QDESC", bytes(mutated(head + bytes(256), random, 3)), chip)


@pytest.fixture(scope="module", params=[(T5, "zlib"), (T6, "zlib"), (T6, "none")], ids=str)
def data(request: pytest.FixtureRequest) -> bytes:
    """A dump without the large entities."""
    chip, compress = request.param
    names = tuple(set(entities()) - {"QDESC", "EDC0", "EDC1", "MC0", "LE_TCAM"})
    made = collect(emu.Card.load(CARDS[chip], **SMALL), compress, names)
    return bytes(made.data[: made.report.data_len])


def read_all(data: bytes | bytearray) -> int:
    """Reads a dump as far as possible; returns how many entities were decoded."""
    try:
        dump = cudbg.Dump(data)
        entities = dump.entities
    except CudbgError:
        return 0
    return sum(_decoded(dump, entity.name) for entity in entities)


def _decoded(dump: cudbg.Dump, name: str) -> bool:
    try:
        list(walk(dump.decode(name)))
    except CudbgError:
        return False
    return True


def test_a_complete_dump_is_decoded(data: bytes) -> None:
    assert read_all(data) >= 42


def test_a_truncated_dump_is_read_as_far_as_possible(data: bytes) -> None:
    random = Random(1)
    sizes = [0, 1, 55, 56, 57, 107, HEADERS_BYTES - 1, HEADERS_BYTES]
    sizes += [random.randrange(len(data)) for _ in range(4)]
    counts = [read_all(data[:size]) for size in sorted(sizes)]
    assert counts == sorted(counts)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_dump_with_corrupt_headers_is_refused_or_read(data: bytes, seed: int) -> None:
    random = Random(seed)
    read_all(bytes(mutated(data[:HEADERS_BYTES], random, 12)) + data[HEADERS_BYTES:])


@pytest.mark.parametrize("seed", range(ROUNDS // 2))
def test_a_dump_with_corrupt_bytes_is_refused_or_read(data: bytes, seed: int) -> None:
    read_all(mutated(data, Random(seed), len(data) // 20_000))
