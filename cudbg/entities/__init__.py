"""The entities, one file per block or subject. docs/reference/dump-entities.md has all of
them.

    cim_la, cim_queues         the embedded processor: logic analysers; queues and tables
    clk_hw_sched               timers and transmit schedulers, which depend on the core clock
    dump_context               contexts of the scatter-gather engine's queues
    firmware_logs              MBOX_LOG, DEV_LOG
    indirect, sge_indirect     *_INDIRECT: registers behind an index register
    le_tcam                    the lookup engine's table
    meminfo, memories          the memory map; EDC0, EDC1, MC0, MC1, HMA
    mps_tcam                   MAC addresses
    pci                        PCIE_CONFIG, VPD_DATA
    pm_stats                   counters of the payload memory
    qdesc                      the driver's own queues
    reg_dump                   plain registers
    tid_info                   ranges of connection, server and filter ids
    tp_tables, tp_ulp_la       the transport processor's tables; logic analysers of TP and ULP

A new entity is a class in one of these files or in a new one; no list names it:

    @entity(31, "HW_SCHED")                                   # number and name: cudbg_if.h
    class HwSched(Entity):
        '''The transmit schedulers: rates, gaps, pace table (cudbg_collect_hw_sched()).'''

        raw_bytes = sizeof(Layout)                            # or per_chip(t5=..., t6=...)
        accesses = 50

        def collect(self, io, chip, ctx):
            sched = Layout.from_buffer(ctx.area(sizeof(Layout)))           # 1
            sched.map = io.read(chip.r.TP_TX_MOD_QUEUE_REQ_MAP)            # 2
            pace = [Write(chip.r.TP_PACE_TABLE, Each(0xFFFF0000)),         # 3
                    Read(chip.r.TP_PACE_TABLE)]
            sched.pace_tab = u32s(io.run(pace, rows=8))

        def decode(self, blob, chip):
            sched = self.parse(Layout, blob)                               # 4
            return Decoded([Table("schedulers", COLUMNS, ...)])

1. `ctx.area(n)` returns `n` zeroed bytes of the dump. Call it where the kernel's collector calls
   cudbg_get_buff(): its position among the register accesses matters. Fill the area and return.
   A collector may take several areas in turn; memories use `for piece in ctx.pieces(n)`.
2. Single accesses wait for the device, which is fine for a dozen. Registers are `chip.r.NAME`,
   fields `chip.r.NAME.get(word, "field")`, `.of(field=value)`, `.mask("field")`.
3. Loops are programs (see `hw.io`), which wait only where they must. `Each(first, step)` and
   `Cell(i)` are values that differ from row to row. `out=` puts the words straight into an area,
   and `Put(number)` a number between them, which makes whole records. Polls and checks take the
   kernel's attempts, delays and error.
4. `self.parse(Layout, blob)` and `self.need(blob, n)` take whole entities only. Of others,
   `Entity.decode_remains` shows what does not depend on the bytes that are missing. Layouts are
   `chip.layout.LittleStruct`, and `layouts` names them for the page of entities. A decoder returns
   parts of `cudbg.decoded`.

A decoder need not ask whether its bytes were measured: `cudbg.blank` looks first, and does not call
it for an entity that is all ones, or what the collector makes of all ones. The entity declares two
things: `all_zero`, what zeros mean, and, if it consists of records, `entry_bytes` (with
`entries_from`, `entry_reads`). Its decoder leaves out the records that `is_silent`.

Number and `stage` determine when an entity is collected; the default stage, HARDWARE, fits all but
the logs and the memories. `raw_bytes` and `accesses` are the kernel's, and None if they depend on
the card; tests compare them with a dump.

Failures are part of the entity:

- An uncaught DeviceError (a poll that never succeeds, ...) becomes `sys_err`, with the code -29.
  Where the kernel returns the plain code instead, catch it and raise `Status(error.code)`.
- `Status(code, sys_err)` is any other failure; `ctx.warn(code)` sets `sys_warn`.
- With `chips = (T6,)` in the class, the entity is "not found" (-24) on the other chip.

One class may serve several entities; further arguments of the decorator become attributes:

    @entity(6, "CIM_IBQ_TP0", queue=0)
    @entity(7, "CIM_IBQ_TP1", queue=1)
    class InboundQueue(Entity):
        queue: int

Its tests are in `tests/cudbg/test_<file>.py`: its bytes, each failure, and what the decoder shows.
"""
