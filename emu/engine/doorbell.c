/* Doorbells: the indices that the driver moves. They come through BAR2, where each queue has a part
 * of a page of its function, or through SGE_PF_KDOORBELL and SGE_PF_GTS. */

#include "vmcoredd/emu/engine/internal.h"

static void record_moved(struct engine *engine, enum trace_kind kind, uint32_t queue,
                         uint32_t count, uint32_t value)
{
    const struct trace_record what = {
        .kind = (uint8_t)kind, .detail = queue, .length = count, .value = value};

    if (is_recorded(engine))
        record_carrying(engine, what, NULL, 0);
}

/* Adds to an egress queue's producer index, in descriptors or units of eight buffers. */
static void produce(struct engine *engine, uint32_t id, uint32_t count, uint32_t value)
{
    struct egress *queue = &engine->egress[id < ENGINE_QUEUES ? id : 0];
    bool exists = id < ENGINE_QUEUES && queue->entries;

    record_moved(engine, TRACE_DOORBELL, id, count, value);
    if (!exists || count > egress_room(queue)) {
        engine_report(engine, TROUBLE_DOORBELL, id, value, exists ? 0 : -ENOENT);
        return;
    }
    queue->pidx = (queue->pidx + count) % queue->entries;
    queue->produced += count;
    egress_mark(engine, id);
    engine_wake(engine);
}

static void kdoorbell(struct engine *engine, uint32_t queue, uint32_t value)
{
    produce(engine, queue + field(value, MYPF_SGE_PF_KDOORBELL_QID),
            field(value, MYPF_SGE_PF_KDOORBELL_PIDX), value);
}

static void gts(struct engine *engine, uint32_t queue, uint32_t value)
{
    const uint32_t id = queue + field(value, MYPF_SGE_PF_GTS_INGRESSQID);
    const uint32_t increment = field(value, MYPF_SGE_PF_GTS_CIDXINC);

    record_moved(engine, TRACE_GTS, id, increment, value);
    ingress_gts(engine, id, increment, field(value, MYPF_SGE_PF_GTS_TIMERREG),
                value & MYPF_SGE_PF_GTS_SEINTARM);
}

void engine_kdoorbell(struct engine *engine, uint32_t value)
{
    kdoorbell(engine, 0, value);
}

void engine_gts(struct engine *engine, uint32_t value)
{
    gts(engine, 0, value);
}

/* The queue whose part of BAR2 has this offset; `per_page` is SGE_*_QUEUES_PER_PAGE_PF. A page may
 * have more queues than parts. The others share its first part, and a write there names its queue
 * by its number in the page; zero, for the others. */
static uint32_t queue_at(const struct engine *engine, uint32_t offset, uint32_t per_page)
{
    uint32_t nibble = 4 * engine->pf;
    uint32_t page_shift = SGE_PAGE_SHIFT + (reg(engine, SGE_HOST_PAGE_SIZE) >> nibble & 15);
    uint32_t queues_shift = reg(engine, per_page) >> nibble & 15;
    uint32_t part = (offset & ((1u << page_shift) - 1)) / SGE_UDB_SIZE;

    if (part >> queues_shift)
        return ENGINE_NO_QUEUE;
    return (offset >> page_shift << queues_shift) + part;
}

static void word_written(struct engine *engine, uint32_t offset)
{
    uint32_t value = engine->doorbells[offset / 4];

    switch (offset % SGE_UDB_SIZE) {
    case SGE_UDB_KDOORBELL:
        kdoorbell(engine, queue_at(engine, offset, SGE_EGRESS_QUEUES_PER_PAGE_PF), value);
        break;
    case SGE_UDB_GTS:
        gts(engine, queue_at(engine, offset, SGE_INGRESS_QUEUES_PER_PAGE_PF), value);
        break;
    case SGE_UDB_WCDOORBELL + DESCRIPTOR - 4: /* a whole descriptor, which is in the ring as well */
        produce(engine, queue_at(engine, offset, SGE_EGRESS_QUEUES_PER_PAGE_PF), 1, value);
        break;
    }
}

/* Where clients map the page of these registers, nothing tells of a write there, and of two writes
 * between two looks only the last is seen. That serves drivers that ring in BAR2, as all do on
 * these chips, and write here only to arm a queue for the first time: see ingress.c. */
uint64_t doorbells_look(struct engine *engine)
{
    uint32_t value;

    if (!engine->shared_doorbells || !engine->host || engine->core->gone)
        return UINT64_MAX;
    value = __atomic_exchange_n(&engine->shared_doorbells[0], 0, __ATOMIC_ACQUIRE);
    if (value)
        engine_kdoorbell(engine, value);
    value = __atomic_exchange_n(&engine->shared_doorbells[1], 0, __ATOMIC_ACQUIRE);
    if (value)
        engine_gts(engine, value);
    return engine->now + ENGINE_LOOK;
}

void engine_bar2_written(struct engine *engine, uint32_t offset, uint32_t length)
{
    for (uint32_t end = offset + length; offset < end; offset += 4)
        word_written(engine, offset);
}
