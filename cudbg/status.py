"""Status codes of an entity, as they stand in its header. Source: cudbg_if.h and errno."""

from __future__ import annotations

from vmcoredd.hw.errors import errno_name

NO_MEM = -19
ENTITY_NOT_FOUND = -24
NOT_IMPLEMENTED = -28
SYSTEM_ERROR = -29
CCLK_NOT_DEFINED = -32
PARTIAL_DATA = -41

_OWN = {
    NO_MEM: "no room left in the dump (or no such device)",
    ENTITY_NOT_FOUND: "this adapter has none",
    NOT_IMPLEMENTED: "not implemented (or no space left)",
    SYSTEM_ERROR: "system error",
    CCLK_NOT_DEFINED: "core clock unknown",
    PARTIAL_DATA: "partial data",
}


def describe(code: int) -> str:
    """A status in words: `-19: no room left in the dump (or no such device)`."""
    if code == 0:
        return "good"
    return f"{code}: {_OWN[code]}" if code in _OWN else f"{code}: {errno_name(code)}"
