/* What the packet engine puts into the card's trace. See trace/ring.h. */

#include "vmcoredd/emu/engine/internal.h"

void record_carrying(struct engine *engine, struct trace_record what, const void *data,
                     uint32_t carried)
{
    struct trace_ring *trace = engine->core->trace;
    struct trace_record *record;

    if (!trace)
        return;
    what.source = TRACE_ENGINE;
    what.carried = carried;
    record = trace_begin(trace, what.kind, carried);
    if (record) {
        what.time = record->time;
        *record = what;
        trace_carry(trace, record, data);
    }
    trace_end(trace, record);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void record_dma(struct engine *engine, enum trace_kind kind, uint32_t queue, uint64_t address,
                const void *data, uint32_t length, int error)
{
    const struct trace_record what = {.kind = (uint8_t)kind,
                                      .error = (uint8_t)-error,
                                      .length = length,
                                      .detail = queue,
                                      .address = address};
    const bool has_data = !error || kind == TRACE_DMA_WRITE;
    const struct trace_ring *trace = engine->core->trace;

    if (trace)
        record_carrying(engine, what, data, has_data ? least(length, trace->dma_carried) : 0);
}

void record_frame(struct engine *engine, enum trace_kind kind, uint32_t port,
                  const struct frame *frame)
{
    const struct trace_record what = {
        .kind = (uint8_t)kind, .length = frame->length, .detail = port};

    record_carrying(engine, what, frame->data, least(frame->length, TRACE_FRAME_CARRIED));
}
