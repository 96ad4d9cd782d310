"""What the dump could not collect: a block that does not answer shows there too."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from vmcoredd.chip.memory import MemoryId
from vmcoredd.cudbg import DumpEntity
from vmcoredd.cudbg.driver_state import DriverState, driver_state
from vmcoredd.cudbg.errors import Code
from vmcoredd.cudbg.status import Condition
from vmcoredd.diagnosis.card import Card, NotJudged
from vmcoredd.diagnosis.consequences import READ_THROUGH
from vmcoredd.diagnosis.finding import ERROR, NOTE, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, Rule, register, rule

_HANGS = {-errno.EBUSY, -errno.EAGAIN, -errno.ETIMEDOUT, -errno.EIO, -errno.ENXIO}
_VPD = "VPD_DATA"


def _kind(entity: DumpEntity) -> str:
    """Returns why an entity is not, or only in part, in the dump; empty if nothing is wrong."""
    codes = {entity.code, entity.sys_err, entity.sys_warn}
    fine = (Condition.GOOD, Condition.ABSENT, Condition.LEFT_OUT)
    if entity.condition in fine or entity.is_misplaced:
        return ""
    if entity.name == _VPD:
        return "vpd"
    if Code.NO_MEM in codes and not codes & _HANGS:
        return "room"
    if entity.name in MemoryId.__members__ and Code.ENTITY_NOT_FOUND in codes:
        return "memory"
    return "partial" if entity.condition is Condition.PARTIAL else "failed"


class _Lacks:
    """Whether entities of a kind are not, or only in part, in the dump: a hit for each reason, and
    for those that are read through the same register."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, card: Card) -> Iterator[Hit]:
        groups: dict[tuple[str, str], list[DumpEntity]] = {}
        for entity in card.dump.entities:
            if _kind(entity) == self.kind:
                way = "" if self.kind == "room" else _way(entity.name)
                groups.setdefault((_advice(entity) or entity.status, way), []).append(entity)
        for (_, way), entities in groups.items():
            names = [entity.name for entity in entities]
            reason = "; ".join(dict.fromkeys(entity.status for entity in entities))
            evidence = tuple(Evidence(entity.name, entity.status) for entity in entities)
            hangs = any({e.code, e.sys_err, e.sys_warn} & _HANGS for e in entities)
            severity = ERROR if self.kind == "failed" and hangs else None
            advice = (_advice(entities[0]) or _OTHER).format(way=_in_words(way))
            values = {"names": ", ".join(names), "reason": reason, "advice": advice}
            yield Hit(evidence, values, severity, lacks=tuple(names))


_ADVICE = (
    (
        {-errno.EBUSY, -errno.EAGAIN, -errno.ETIMEDOUT, -errno.EIO},
        "{way} did not answer in time: look for errors of that block; reset the card",
    ),
    (
        {-errno.ENXIO},
        "{way} leads nowhere: look at its base and at the firmware's state; reset the card",
    ),
    (
        {int(Code.ENTITY_NOT_FOUND)},
        "look whether a memory is switched off, and at the configuration file in the flash",
    ),
)
"""What to do, by status; the first that an entity has counts."""
_OTHER = "the status tells why; look for errors of the block"


def _advice(entity: DumpEntity) -> str:
    """Returns what to do about an entity's status; empty if nothing is known of it."""
    codes = {entity.code, entity.sys_err, entity.sys_warn}
    return next((advice for known, advice in _ADVICE if codes & known), "")


def _in_words(way: str) -> str:
    """Returns the way to an entity as the beginning of a sentence."""
    return (
        f"{way}, through which the driver reads it,"
        if way in READ_THROUGH
        else "what it is read from"
    )


def _way(entity: str) -> str:
    """Returns the register through which an entity is read; its own name if there is none."""
    for way, names in READ_THROUGH.items():
        if any(fnmatchcase(entity, pattern) for pattern in names.split()):
            return way
    return entity


_EACH = "cudbg_lib.c: the collector of each entity"
for _of, _name, _severity, _meaning, _to_do, _source in (
    (
        "failed",
        "entity-failed",
        WARNING,
        "the dump lacks {names}: {reason}",
        "{advice}",
        _EACH,
    ),
    (
        "partial",
        "entity-partial",
        WARNING,
        "the dump has {names} only in part: {reason}",
        "look at what there is of it, and for errors of its block",
        _EACH,
    ),
    (
        "room",
        "entity-without-room",
        NOTE,
        "the dump had no room for {names}",
        "look at the cause, if one is named: -19 is also the status of a device that is missing; "
        "else nothing: a device dump in a vmcore has at most 32 MiB",
        "cudbg_lib.c: cudbg_get_buff()",
    ),
    (
        "vpd",
        "vpd-unreadable",
        WARNING,
        "the card's vital product data could not be read: {reason}",
        "after a time-out look for errors of PCIe; else the EEPROM's contents are not valid; the "
        "serial number is on the card's label",
        "cudbg_lib.c: cudbg_collect_vpd_data()",
    ),
):
    register(Rule(_name, _severity, _meaning, _to_do, _source, _Lacks(_of)))


@rule(
    "firmware-not-asked",
    NOTE,
    "the driver was not attached to the firmware when it made the dump: CLK, HW_SCHED, TID_INFO "
    "and the replication of MPS_TCAM are what the driver assumed, or what it can see without it",
    to_do="do not rely on these entities' times, rates and ranges",
    source="cudbg_lib.c: is_fw_attached(); cxgb4.h: CXGB4_FW_OK",
)
def not_asked(card: Card) -> Iterator[Hit]:
    state, flags = _driver(card)
    if state.had_attached is False:
        yield Hit((flags,))


@rule(
    "back-door-used",
    NOTE,
    "the driver had attached to the firmware, but made the dump without it: TID_INFO lacks what "
    "is asked for each dump, DUMP_CONTEXT has queues 0 to 255 only, and the replication of "
    "MPS_TCAM was read without selecting an entry",
    to_do="if the firmware is dead, find out why; else clear use_backdoor (debugfs) and dump again",
    source="cudbg_lib.c: is_fw_attached(); t4_hw.c: t4_report_fw_error()",
)
def back_door_used(card: Card) -> Iterator[Hit]:
    state, flags = _driver(card)
    if state.had_attached and state.asked is False:
        yield Hit((flags,))


def _driver(card: Card) -> tuple[DriverState, Evidence]:
    """Returns the driver's state, and its flags; CLK may be missing."""
    flags = card.items("TID_INFO").get("flags")
    if flags is None:
        raise NotJudged("TID_INFO ends before the driver's flags")
    blobs = {"TID_INFO": card.blob("TID_INFO"), **card.held(("CLK",))}
    return driver_state(blobs), Evidence("TID_INFO", str(flags), field="flags")


def _set(card: Card, fields: Mapping[str, str]) -> Iterator[Hit]:
    """Yields a hit for each register whose field is set."""
    for name, field in fields.items():
        for word in card.words(name):
            if word.get(field):
                explained = tuple(READ_THROUGH[name].split())
                yield Hit(Evidence.of(word, field), {"register": name}, explains=explained)


_BUSY = {
    "CIM_HOST_ACC_CTRL": "HostBusy",
    "CIM_IBQ_DBG_CFG": "IbqDbgBusy",
    "CIM_OBQ_DBG_CFG": "ObqDbgBusy",
    "LE_DB_DBGI_CONFIG": "DBGICMDBUSY",
}
_RUNNING = {"TP_DBG_LA_CONFIG": "DbgLaEnable", "CIM_DEBUGCFG": "LADbgEn"}


@rule(
    "debug-interface-busy",
    ERROR,
    "{register} is still busy with the last request of the dump: the block does not answer",
    to_do="look for errors of the block; reset the card",
    source="t4_hw.c: t4_cim_read(), t4_read_cim_ibq(), t4_read_cim_obq(); cudbg_lib.c: LE's",
    explains=" ".join(READ_THROUGH[name] for name in _BUSY),
)
def debug_busy(card: Card) -> Iterator[Hit]:
    yield from _set(card, _BUSY)


@rule(
    "logic-analyser-running",
    NOTE,
    "{register}: a logic analyser still runs, so its memory has what came last",
    to_do="nothing",
    source="t4_hw.c: t4_tp_read_la(), t4_cim_read_pif_la()",
)
def analyser_running(card: Card) -> Iterator[Hit]:
    yield from _set(card, _RUNNING)
    with card.in_part():
        value = card.items("CIM_LA").get("UpDbgLaEn")
        if isinstance(value, int) and value:
            yield Hit((Evidence("CIM_LA", value, field="UpDbgLaEn"),), {"register": "CIM_LA"})
