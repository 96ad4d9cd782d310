"""What the engine has to know of the chip, for C."""

from __future__ import annotations

from typing import Any

from vmcoredd.chip import Chip
from vmcoredd.chip.le import FILTER_FIELDS, filter_fields
from vmcoredd.chip.sge import ContextType

CONTEXT_FIELDS = {
    "egress_pidx": (ContextType.EGRESS, "PIDX"),
    "egress_cidx": (ContextType.EGRESS, "CIDX"),
    "egress_valid": (ContextType.EGRESS, "Valid"),
    "ingress_pidx": (ContextType.INGRESS, "PIDX"),
    "ingress_cidx": (ContextType.INGRESS, "CIDX"),
    "ingress_generation": (ContextType.INGRESS, "Generation"),
    "ingress_valid": (ContextType.INGRESS, "Queue_Valid"),
    "ingress_armed": (ContextType.INGRESS, "InterruptArmed"),
    "ingress_count_armed": (ContextType.INGRESS, "SEInterruptArmed"),
    "ingress_counter": (ContextType.INGRESS, "RxIntCounter"),
    "ingress_timer_pending": (ContextType.INGRESS, "TimerPending"),
    "flm_pidx": (ContextType.FLM, "PIDX"),
    "flm_cidx": (ContextType.FLM, "CIDX"),
    "flm_pack_offset": (ContextType.FLM, "PackOffset"),
    "flm_valid": (ContextType.FLM, "Valid"),
}
"""The fields of `struct context_layout`, and those of chip/sge.py that they are."""


def describe(c: Any, chip: Chip) -> None:
    """Fills a `struct engine_chip`, but for the core clock, which is the card's."""
    for name, (kind, field_name) in CONTEXT_FIELDS.items():
        fields = {field.name: field for field in chip.sge.context_fields(kind)}
        place = getattr(c.contexts, name)
        if field_name in fields:
            place.shift, place.width = fields[field_name].shift, fields[field_name].width
    for name, value in chip.messages._asdict().items():
        setattr(c, name, value)
    c.pad_shift = chip.sge.pad_shift
    c.ipv6_filter_tids = chip.le.ipv6_filter_tids


def describe_filters(tuple_: Any, mode: int) -> None:
    """Fills the `tuple` of a `struct engine`, under a value of TP_VLAN_PRI_MAP."""
    fields = {field.name: field for field in filter_fields(mode)}
    for place, (name, _) in zip(tuple_, FILTER_FIELDS, strict=True):
        place.shift = fields[name].shift if name in fields else 0
        place.width = fields[name].width if name in fields else 0
