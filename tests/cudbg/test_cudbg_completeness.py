"""Every entity of a crash-time dump, T5 and T6: sizes, accesses, decoders, refusals.

The numbers were measured by running the kernel's own driver against plain registers; they are
given as (raw bytes, accesses) for each chip, None where they depend on the card.
"""

import pytest
from carddump import CARDS, collected

import cudbg
from chip import T5, T6
from cudbg.entity import units
from cudbg.errors import FormatError

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
    "MEMINFO": ((560, None), (560, None)),
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
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)


def test_the_52_entities_are_listed_in_the_kernels_order() -> None:
    assert list(cudbg.ORDER.values()) == list(FACTS)


def test_every_entity_has_a_unit_and_no_unit_is_left_over() -> None:
    assert units().keys() == cudbg.ORDER.keys()


@CHIPS
@pytest.mark.parametrize("name", FACTS)
def test_an_entity_has_the_size_and_the_accesses_of_the_kernels(chip, name: str) -> None:
    expected = FACTS[name][(T5, T6).index(chip)]
    entity = collected(chip).entity(name)
    if expected is None:
        assert not entity.good
        return
    size, accesses = expected
    assert entity.good
    assert size in (None, entity.raw_bytes)
    assert accesses in (None, entity.counts.total)


@CHIPS
def test_a_good_path_has_the_kernels_failures_and_no_other(chip) -> None:
    failed = {
        entity.name: (entity.code, entity.sys_err) for entity in collected(chip).report.failed
    }
    absent, not_found = (-29, -24), (-24, 0)
    expected = {
        T5: {"MC1": absent, "MA_INDIRECT": not_found, "HMA_INDIRECT": not_found, "HMA": absent},
        T6: {"MC1": absent, "HMA": absent},
    }
    assert failed == expected[chip]


@CHIPS
def test_everything_in_a_dump_is_decoded(chip) -> None:
    dump = collected(chip).dump
    for entity in dump.entities:
        if entity.good:
            decoded = dump.decode(entity.name)
            assert list(decoded), entity.name
            assert decoded.json(), entity.name


@CHIPS
@pytest.mark.parametrize("number", cudbg.ORDER)
def test_a_decoder_refuses_a_blob_that_is_too_short_or_too_long(chip, number: int) -> None:
    unit = units()[number]
    dump = collected(chip).dump
    if not any(entity.name == unit.name and entity.good for entity in dump.entities):
        blob = bytes(4096)
    elif dump.size(unit.name) > 1 << 20:
        return  # memories and QDESC are whatever size they are
    else:
        blob = dump.raw(unit.name)
    for wrong in (blob[:-1], blob + b"\0", b""):
        if not wrong and unit.name in ("MC1", "HMA"):
            continue
        with pytest.raises(FormatError):
            list(map(list, _parts(unit.decode(wrong, chip))))


def _parts(decoded):
    """What is lazy in a decoded entity, so that it is walked."""
    return [getattr(part, "rows", getattr(part, "lines", ())) for part in decoded]
