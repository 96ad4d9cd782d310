"""DEV_LOG: the firmware's own words."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.devlog import DEVLOG_PF
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import ERROR, NOTE, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule
from vmcoredd.plural import counted

_LAST = 20
_SERIOUS = ("EMERG", "CRIT")


@rule(
    "device-log-errors",
    WARNING,
    "the firmware logged {count}, the last: {last}",
    to_do="read what DEV_LOG has before and after",
    source="t4fw_api.h: enum fw_devlog_level",
)
def errors(card: Card) -> Iterator[Hit]:
    lines = [row for row in card.rows("DEV_LOG") if row["level"] in (*_SERIOUS, "ERR")]
    if lines:
        evidence = tuple(
            Evidence("DEV_LOG", f"{row['level']} {row['facility']}: {row['message']}")
            for row in reversed(lines[-_LAST:])
        )
        severity = ERROR if any(row["level"] in _SERIOUS for row in lines) else None
        count = counted(len(lines), "error")
        values = {"count": count, "last": lines[-1]["message"]}
        yield Hit(evidence, values, severity)


@rule(
    "device-log-not-found",
    NOTE,
    "no register tells where the device log is: the firmware is old, or was never started",
    to_do="nothing, if DEV_LOG is in the dump: then the firmware was asked",
    source="t4_hw.c: t4_init_devlog_params()",
)
def not_found(card: Card) -> Iterator[Hit]:
    for word in card.words("PCIE_FW_PF"):
        if word.element == DEVLOG_PF and not word.value:
            yield Hit(Evidence.of(word))
