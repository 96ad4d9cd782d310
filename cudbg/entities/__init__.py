"""The entities, one file each. A new one is a new file; no list names it.

    @entity(31, "HW_SCHED")                                   # number and name: cudbg_if.h
    class HwSched(Entity):
        '''Transmit schedulers: rates, gaps, pace table (cudbg_collect_hw_sched()).'''

        def collect(self, io, chip, ctx):
            sched = Layout.from_buffer(ctx.area(sizeof(Layout)))           # 1
            sched.map = io.read(chip.r.TP_TX_MOD_QUEUE_REQ_MAP)            # 2
            pace = [Write(chip.r.TP_PACE_TABLE, Each(0xFFFF0000)),         # 3
                    Read(chip.r.TP_PACE_TABLE)]
            sched.pace_tab = u32s(io.run(pace, rows=8))

        def decode(self, blob, chip):
            sched = self.parse(Layout, blob)                               # 4
            return Decoded([Table("schedulers", COLUMNS, ...)])

1. `ctx.area(n)` gives the room, zeroed, and stands where the kernel's collector has its
   cudbg_get_buff(): before or after certain register accesses. Fill it and return. Several areas
   may be taken one after the other; memories take `for piece in ctx.pieces(n)`.
2. Single accesses are waited for: fine for a dozen. Registers are `chip.r.NAME`, fields
   `chip.r.NAME.get(word, "field")`, `.of(field=value)`, `.mask("field")`.
3. Loops are programs (see `hw.io`), so that nothing waits that need not: `Each(first, step)` and
   `Cell(i)` are what differs from row to row. `out=` puts the words straight into an area, and
   `Put(number)` a number between them, so that whole records come out.
   Polls and checks carry the kernel's attempts, delays and error.
4. `self.parse(Layout, blob)` refuses any other size; `self.need(blob, n)` gives n raw bytes.
   Layouts are `chip.layout.LittleStruct`. A decoder gives parts of `cudbg.decoded`.

Failures, which are part of the entity:

- A DeviceError (a poll that never came true, ...) may escape: it becomes `sys_err`, and the code
  -29. Where the kernel returns the plain code instead, catch it and raise `Status(error.code)`.
- `Status(code, sys_err)` is any other failure; `ctx.warn(code)` sets `sys_warn`.
- `chips = (T6,)` in the class: on the other chip the entity is "not found" (-24).

One class may serve several entities; what the decorator is given besides becomes an attribute:

    @entity(6, "CIM_IBQ_TP0", queue=0)
    @entity(7, "CIM_IBQ_TP1", queue=1)
    class InboundQueue(Entity):
        queue: int

Tests: `tests/cudbg/test_cudbg_<name>.py`; collected from a card, the number of accesses as the
kernel's driver makes them, each failure, and the decoder's refusals.
"""
