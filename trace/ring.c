/* The ring of a trace. See ring.h. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "vmcoredd/trace/ring.h"

_Static_assert(sizeof(struct trace_record) == 64, "a record");
_Static_assert(sizeof(struct trace_data) == sizeof(struct trace_record), "data take records");
_Static_assert(offsetof(struct trace_record, time) == 16, "without gaps");
_Static_assert(offsetof(struct trace_record, spent) == 56, "without gaps");
_Static_assert(sizeof(((struct trace_data *)0)->bytes) == TRACE_DATA_BYTES, "the bytes");
_Static_assert(TRACE_DATA == 0, "the kind comes first in both");

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct trace_record *slot(const struct trace_ring *ring, uint64_t number)
{
    return &ring->records[number & (ring->capacity - 1)];
}

static uint64_t data_slots(uint32_t bytes)
{
    return ((uint64_t)bytes + TRACE_DATA_BYTES - 1) / TRACE_DATA_BYTES;
}

static struct trace_record *put(struct trace_ring *ring, int kind)
{
    struct trace_record *record = slot(ring, ring->reserved++);

    memset(record, 0, sizeof(*record));
    record->kind = (uint8_t)kind;
    record->time = now();
    return record;
}

static void tell_lost(struct trace_ring *ring)
{
    struct trace_record *record = put(ring, TRACE_LOST);

    record->source = TRACE_RECORDER;
    record->value = ring->lost;
    ring->lost = 0;
}

static int has_room(const struct trace_ring *ring, uint64_t slots)
{
    const uint64_t used = ring->reserved - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

    return slots <= ring->capacity - used;
}

struct trace_record *trace_begin(struct trace_ring *ring, int kind, uint32_t carried)
{
    struct trace_record *record;

    ring->depth++;
    if (!has_room(ring, 1 + data_slots(carried) + (ring->lost ? 1 : 0))) {
        ring->lost++;
        ring->lost_in_all++;
        return NULL;
    }
    if (ring->lost)
        tell_lost(ring);
    record = put(ring, kind);
    record->carried = carried;
    ring->reserved += data_slots(carried);
    ring->events++;
    return record;
}

void trace_carry(struct trace_ring *ring, struct trace_record *record, const void *data)
{
    uint64_t number = (uint64_t)(record - ring->records);
    const uint8_t *bytes = data;

    for (uint32_t at = 0; at < record->carried; at += TRACE_DATA_BYTES) {
        const uint32_t left = record->carried - at;
        const uint32_t part = left < TRACE_DATA_BYTES ? left : TRACE_DATA_BYTES;
        struct trace_data *into = (struct trace_data *)slot(ring, ++number);

        *into = (struct trace_data){.kind = TRACE_DATA, .length = part};
        if (bytes)
            memcpy(into->bytes, bytes + at, part);
    }
}

void trace_end(struct trace_ring *ring, struct trace_record *record)
{
    if (record)
        record->spent = now() - record->time;
    if (ring->depth == 1)
        __atomic_store_n(&ring->head, ring->reserved, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->depth, ring->depth - 1, __ATOMIC_RELEASE);
}

void trace_note(struct trace_ring *ring, int kind, int source, const void *data, uint32_t length)
{
    struct trace_record *record = trace_begin(ring, kind, length);

    if (record) {
        record->source = (uint8_t)source;
        trace_carry(ring, record, data);
    }
    trace_end(ring, record);
}

void trace_tell(struct trace_ring *ring, const struct trace_record *what)
{
    struct trace_record *record = trace_begin(ring, what->kind, 0);

    if (record) {
        const uint64_t time = record->time;

        *record = *what;
        record->time = time;
    }
    trace_end(ring, record);
}

uint64_t trace_ready(const struct trace_ring *ring)
{
    return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - ring->tail;
}

void trace_taken(struct trace_ring *ring, uint64_t count)
{
    __atomic_store_n(&ring->tail, ring->tail + count, __ATOMIC_RELEASE);
}

int trace_idle(const struct trace_ring *ring)
{
    return __atomic_load_n(&ring->depth, __ATOMIC_ACQUIRE) == 0;
}
