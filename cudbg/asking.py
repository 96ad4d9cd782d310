"""What a driver that has attached to the firmware asks it, where it would read registers otherwise.

The firmware uses the same index registers. What it refuses is read from registers after all.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmcoredd.chip.firmware import Dev, LdstSpace, Params, param
from vmcoredd.chip.firmware.ldst import LdstAddress, LdstContext, LdstMpsReplication
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.chip.sge import CONTEXT_WORDS, ContextType
from vmcoredd.cudbg.entity import Context
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.io import Cell, Io, Read, Write

TP_SPACES = {
    "tp_pio": LdstSpace.TP_PIO,
    "tp_tm_pio": LdstSpace.TP_TM_PIO,
    "tp_mib": LdstSpace.TP_MIB,
}
"""The spaces of the transport processor that the firmware reads (t4_tp_indirect_rw())."""
_REGISTERS = {
    LdstSpace.TP_PIO: ("TP_PIO_ADDR", "TP_PIO_DATA"),
    LdstSpace.TP_TM_PIO: ("TP_TM_PIO_ADDR", "TP_TM_PIO_DATA"),
    LdstSpace.TP_MIB: ("TP_MIB_INDEX", "TP_MIB_DATA"),
}
_CONTEXTS = {
    ContextType.EGRESS: LdstSpace.SGE_EGRC,
    ContextType.INGRESS: LdstSpace.SGE_INGC,
    ContextType.FLM: LdstSpace.SGE_FLMC,
    ContextType.CNM: LdstSpace.SGE_CONMC,
}
_FLUSH = 0
"""enum fw_params_param_dev_fwcache, FLUSH."""


def tp_words(io: Io, ctx: Context, space: LdstSpace, indices: Sequence[int]) -> bytes:
    """Returns words of the transport processor (t4_tp_indirect_rw())."""
    try:
        replies = [
            ctx.ask(LdstAddress(read=1, addrspace=space, addr=index)).val for index in indices
        ]
    except DeadDevice:
        raise
    except DeviceError:
        address, data = (ctx.device.chip.r[name] for name in _REGISTERS[space])
        return bytes(io.run([Write(address, Cell()), Read(data)], indices))
    return b"".join(value.to_bytes(WORD_BYTES, "little") for value in replies)


def context_words(ctx: Context, kind: ContextType, queue: int) -> bytes | None:
    """Returns a queue's context (t4_sge_ctxt_rd()); None if the firmware refuses it."""
    try:
        reply = ctx.ask(LdstContext(read=1, addrspace=_CONTEXTS[kind], physid=queue))
    except DeadDevice:
        raise
    except DeviceError:
        return None
    words = (getattr(reply, f"ctxt_data{i}") for i in range(CONTEXT_WORDS))
    return b"".join(word.to_bytes(WORD_BYTES, "little") for word in words)


def flush_contexts(ctx: Context, kind: ContextType) -> None:
    """Has the contexts that the engine holds written to memory (t4_sge_ctxt_flush()); the driver
    does not look whether it was done."""
    try:
        ctx.ask(LdstContext(read=1, addrspace=_CONTEXTS[kind], ctxtflush=1))
    except DeadDevice:
        raise
    except DeviceError:
        pass


def replication(ctx: Context, entry: int) -> list[int] | None:
    """Returns the map of an MPS TCAM entry, lowest word first; None if the firmware refuses it."""
    try:
        reply = ctx.ask(LdstMpsReplication(read=1, addrspace=LdstSpace.MPS, idx=entry))
    except DeadDevice:
        raise
    except DeviceError:
        return None
    return [getattr(reply, f"rplc{32 * i + 31}_{32 * i}") for i in range(8)]


def flush_cache(ctx: Context) -> None:
    """Has the firmware write its processor's cache to memory (cudbg_t4_fwcache()), or warns."""
    if not ctx.device.attached:
        return
    flush = (param(Dev.FWCACHE), _FLUSH)
    try:
        ctx.ask(Params.writing([flush], pfn=ctx.device.pf))
    except DeadDevice:
        raise
    except DeviceError as error:
        ctx.warn(error.code)


def parameters(ctx: Context, ids: Sequence[int]) -> list[int]:
    """Returns parameters' values (t4_query_params()). Raises DeviceError if one is refused."""
    reply = ctx.ask(Params.reading(ids, pfn=ctx.device.pf))
    return [reply.param[i].val for i in range(len(ids))]
