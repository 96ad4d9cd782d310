/* Ingress queues: responses, and the interrupts that tell of them.
 *
 * A queue that is armed raises one interrupt once it has entries that the driver has not taken: at
 * the end of its holdoff timer, when its packet threshold is reached, or when a frame waits for
 * room. Whatever may change that marks the queue; ingress_run() alone decides, from the queue's
 * state and the time, and a queue keeps its mark while it is armed and has entries. So no order of
 * entries, arming and timers can lose an interrupt.
 *
 * Arming itself can be lost where clients map the page of SGE_PF_GTS (doorbells_look()). There a
 * queue that is not armed raises an interrupt too if its driver leaves entries for some time
 * without a word. If it was not lost, that costs the driver one look at the queue. */

#include <stdatomic.h>

#include "vmcoredd/emu/engine/internal.h"

enum {
    ENTRY_MAX = 128,
    FLIT = 8,
    TIMERS = 6,
    TIMER_UPDATE_CIDX = 7, /* arms nothing; 6 arms without a timer */
    UNHEARD = 7,           /* interrupts without an answer that make the next one wait longer */
};

static const uint64_t NEVER = UINT64_MAX;

static struct ingress *allocated(struct engine *engine, uint32_t id)
{
    return id < ENGINE_QUEUES && engine->ingress[id].entries ? &engine->ingress[id] : NULL;
}

static uint32_t outstanding(const struct ingress *queue)
{
    return ring_distance(queue->cidx, queue->pidx, queue->entries);
}

/* Has ingress_run() look at a queue, and its context written. */
static void mark(struct engine *engine, uint32_t id)
{
    set_bit(engine->ingress_changed, id);
    set_bit(engine->ingress_marked, id);
}

/* Entries */

static bool runs(const struct ingress *queue)
{
    return queue && queue->entries > 1 && !queue->halted && queue->entry_bytes >= RSP_BYTES &&
           queue->entry_bytes <= ENTRY_MAX;
}

static enum room reserve_entry(struct engine *engine, uint32_t id, struct landing *landing)
{
    struct ingress *queue = &engine->ingress[id];

    if (outstanding(queue) + 1 == queue->entries)
        return ROOM_LATER;
    landing->ingress = id;
    landing->entry = queue->pidx;
    landing->generation = queue->generation;
    queue->produced++;
    if (++queue->pidx == queue->entries) {
        queue->pidx = 0;
        queue->generation ^= 1;
    }
    return ROOM_NOW;
}

static void cancel_entry(struct engine *engine, const struct landing *landing)
{
    engine->ingress[landing->ingress].pidx = landing->entry;
    engine->ingress[landing->ingress].produced--;
    engine->ingress[landing->ingress].generation = landing->generation;
}

/* Reserves buffers for a frame, if the queue's free list runs. */
static enum room reserve_buffers(struct engine *engine, uint32_t list, uint32_t length,
                                 struct landing *landing)
{
    if (list >= ENGINE_QUEUES || engine->egress[list].kind != EGRESS_FREE_LIST ||
        engine->egress[list].halted || engine->egress[list].entries < 2)
        return ROOM_NEVER;
    return freelist_reserve(engine, list, length, landing);
}

enum room ingress_reserve(struct engine *engine, uint32_t id, uint32_t length,
                          struct landing *landing)
{
    enum room room;

    if (!runs(allocated(engine, id)))
        return ROOM_NEVER;
    if (!engine->host || !engine->bus_master)
        return ROOM_LATER;
    room = reserve_entry(engine, id, landing);
    if (room == ROOM_NOW && length) {
        room = reserve_buffers(engine, engine->ingress[id].free_list, length, landing);
        if (room != ROOM_NOW)
            cancel_entry(engine, landing);
    }
    if (room == ROOM_LATER) {
        engine->ingress[id].pressed = 1;
        mark(engine, id);
    }
    return room;
}

void ingress_cancel(struct engine *engine, const struct landing *landing)
{
    cancel_entry(engine, landing);
    if (landing->parts)
        freelist_cancel(engine, engine->ingress[landing->ingress].free_list, landing);
}

/* The card's clock: core clock ticks. */
static uint64_t timestamp(const struct engine *engine)
{
    uint64_t khz = engine->chip.core_clock_khz;

    return engine->now / 1000000 * khz + engine->now % 1000000 * khz / 1000000;
}

/* Tells a driver that polls its queue for that, not for generations, that an entry is there. */
static void write_status(struct engine *engine, const struct landing *landing)
{
    struct ingress *queue = &engine->ingress[landing->ingress];
    uint8_t status[STATUS_PAGE_BYTES] = {0};

    put(status, STATUS_PAGE_QID, landing->ingress);
    put(status, STATUS_PAGE_CIDX, queue->cidx);
    put(status, STATUS_PAGE_PIDX, (landing->entry + 1) % queue->entries);
    atomic_thread_fence(memory_order_release);
    queue->halted = dma_write(engine, landing->ingress,
                              queue->address + (uint64_t)queue->entries * queue->entry_bytes,
                              status, sizeof(status)) != 0;
}

void ingress_publish(struct engine *engine, const struct landing *landing, uint32_t type,
                     const void *cpl, uint32_t length, uint32_t word)
{
    struct ingress *queue = &engine->ingress[landing->ingress];
    uint64_t address = queue->address + (uint64_t)landing->entry * queue->entry_bytes;
    uint32_t room = queue->entry_bytes - RSP_BYTES, last = queue->entry_bytes - FLIT;
    uint8_t entry[ENTRY_MAX] = {0}, *control = entry + room;

    if (length)
        memcpy(entry, cpl, length < room ? length : room);
    put32(control + 4, word);
    put(control, RSP_GEN, landing->generation);
    put(control, RSP_TYPE, type);
    put(control, RSP_TIMESTAMP, timestamp(engine));
    if (__builtin_expect((engine->broken & BREAKS_RECEIVED) != 0, 0) && landing->parts) {
        mark(engine, landing->ingress);
        return;
    }
    queue->halted = dma_write(engine, landing->ingress, address, entry, last) != 0;
    atomic_thread_fence(memory_order_release); /* the last flit makes the entry valid */
    if (!queue->halted)
        queue->halted =
            dma_write(engine, landing->ingress, address + last, entry + last, FLIT) != 0;
    if (!queue->halted && queue->tells_status)
        write_status(engine, landing);
    mark(engine, landing->ingress);
}

int engine_cpl(struct engine *engine, uint32_t ingress, const void *cpl, uint32_t length)
{
    struct landing landing = {.parts = 0};
    enum room room = ingress_reserve(engine, ingress, 0, &landing);

    if (room == ROOM_NOW) {
        ingress_publish(engine, &landing, RSPD_TYPE_CPL, cpl, length, 0);
        engine_wake(engine);
    }
    return room == ROOM_LATER ? ENGINE_HELD : ENGINE_DONE;
}

/* Interrupts */

void ingress_gts(struct engine *engine, uint32_t id, uint32_t increment, uint32_t timer,
                 bool count_armed)
{
    struct ingress *queue = allocated(engine, id);

    if (!queue || increment > outstanding(queue))
        engine_report(engine, TROUBLE_GTS, id, increment, queue ? 0 : -ENOENT);
    if (!queue)
        return;
    if (increment > outstanding(queue))
        increment = outstanding(queue);
    queue->cidx = (queue->cidx + increment) % queue->entries;
    queue->unheard = 0;
    if (timer != TIMER_UPDATE_CIDX) {
        queue->armed = timer < TIMERS || count_armed;
        queue->count_armed = count_armed;
        queue->timer = (uint8_t)timer;
    }
    if (timer != TIMER_UPDATE_CIDX || !queue->armed)
        queue->due = 0;
    mark(engine, id);
    engine_wake(engine);
}

/* When the holdoff timer of a queue ends that starts now. */
static uint64_t timer_end(const struct engine *engine, uint32_t timer)
{
    uint32_t khz = engine->chip.core_clock_khz, pair, ticks;

    if (timer >= TIMERS)
        return NEVER;
    pair = reg(engine, SGE_TIMER_VALUE_0_AND_1 + timer / 2 * 4);
    ticks = field(pair, timer % 2 ? SGE_TIMER_VALUE_0_AND_1_TIMERVALUE1
                                  : SGE_TIMER_VALUE_0_AND_1_TIMERVALUE0);
    return engine->now + (khz ? ticks * (uint64_t)1000000 / khz : 0);
}

static uint32_t packet_threshold(const struct engine *engine, uint32_t which)
{
    return reg(engine, SGE_INGRESS_RX_THRESHOLD) >> (3 - which % 4) * 8 &
           SGE_INGRESS_RX_THRESHOLD_THRESHOLD_3;
}

/* Puts the interrupt of queue `id` into the queue that gets its interrupts. False: it is full. */
static bool forward(struct engine *engine, uint32_t id)
{
    struct landing landing = {.parts = 0};
    enum room room = ingress_reserve(engine, engine->ingress[id].vector, 0, &landing);

    if (room == ROOM_NOW) {
        ingress_publish(engine, &landing, RSPD_TYPE_INTR, NULL, 0, id);
        engine_wake(engine);
    }
    return room != ROOM_LATER;
}

/* Raises a queue's interrupt, its only one for this arming. */
static void fire(struct engine *engine, uint32_t id)
{
    struct ingress *queue = &engine->ingress[id];

    if (queue->forwarded && !forward(engine, id))
        return;
    if (!queue->forwarded)
        irq_raise(engine, queue->vector);
    queue->armed = 0;
    set_bit(engine->ingress_changed, id);
}

static bool waits(const struct engine *engine, const struct ingress *queue)
{
    return queue->entries && queue->interrupts && outstanding(queue) &&
           (queue->armed || engine->shared_doorbells);
}

static bool is_due(const struct engine *engine, const struct ingress *queue)
{
    if (queue->due <= engine->now)
        return true;
    return queue->armed &&
           (queue->pressed || (queue->count_armed &&
                               outstanding(queue) >= packet_threshold(engine, queue->threshold)));
}

/* When a queue that has entries is to raise an interrupt. Without a word from the driver, each
 * waits twice as long as the one before, up to a second: the driver may be dead. */
static uint64_t wait_end(const struct engine *engine, const struct ingress *queue)
{
    if (queue->armed)
        return timer_end(engine, queue->timer);
    return engine->now + ((uint64_t)ENGINE_LOOK << queue->unheard);
}

/* Starts a queue's holdoff timer or raises its interrupt. Returns when its timer ends. */
static uint64_t settle(struct engine *engine, uint32_t id)
{
    struct ingress *queue = &engine->ingress[id];

    if (!queue->due)
        queue->due = wait_end(engine, queue);
    if (!queue->halted && is_due(engine, queue)) {
        if (!queue->armed && queue->unheard < UNHEARD)
            queue->unheard++;
        if (queue->armed || !engine->hold_outside) /* hardware would not ask again */
            fire(engine, id);
        if (!queue->armed)
            queue->due = wait_end(engine, queue);
    }
    return waits(engine, queue) && queue->due > engine->now ? queue->due : NEVER;
}

uint64_t ingress_run(struct engine *engine)
{
    uint64_t next = NEVER;

    for (uint32_t word = 0; word < ENGINE_QUEUES / 64; word++) {
        for (uint64_t bits = engine->ingress_marked[word]; bits; bits &= bits - 1) {
            uint32_t id = word * 64 + (uint32_t)__builtin_ctzll(bits);
            struct ingress *queue = &engine->ingress[id];
            uint64_t end = waits(engine, queue) ? settle(engine, id) : NEVER;

            next = end < next ? end : next;
            queue->pressed = 0; /* what waits for room presses again when it is offered again */
            if (waits(engine, queue))
                continue;
            queue->due = 0;
            engine->ingress_marked[word] &= ~(bits & -bits);
        }
    }
    return next;
}
