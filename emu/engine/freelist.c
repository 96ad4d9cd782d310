/* Free lists: the buffers that the driver gives for frames.
 *
 * The list's CIDX counts units of eight pointers; `pointer` is the current one of these. A buffer
 * that is partly filled stays the current one. In packing mode the next frame begins behind the
 * last one, aligned, if it fits there; else, and always without packing, it begins a new buffer,
 * and its response says so (NEWBUF). Only a frame that begins a buffer may go on in the next. The
 * driver counts buffers from these rules, so both sides must agree. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    POINTERS = 8, /* of a unit */
    POINTER_BYTES = 8,
    POINTER_SIZE_INDEX = 0xf, /* the bits of a pointer that choose its SGE_FL_BUFFER_SIZE */
};

static struct cursor cursor_of(const struct egress *list)
{
    return (struct cursor){list->cidx, list->pointer, list->offset, list->buffer,
                           list->buffer_bytes};
}

static void move_to(struct engine *engine, uint32_t id, const struct cursor *at)
{
    struct egress *list = &engine->egress[id];

    set_bit(engine->egress_changed, id);
    list->cidx = at->cidx;
    list->pointer = at->pointer;
    list->offset = at->offset;
    list->buffer = at->buffer;
    list->buffer_bytes = at->bytes;
}

/* Where the next frame in a packed buffer may begin: the greater of two boundaries. */
static uint32_t alignment(const struct engine *engine, const struct egress *list)
{
    uint32_t packing = field(reg(engine, SGE_CONTROL2), SGE_CONTROL2_INGPACKBOUNDARY);
    uint32_t padding = field(reg(engine, SGE_CONTROL), SGE_CONTROL_INGPADBOUNDARY);
    uint32_t pack = packing ? 32u << packing : 16;
    uint32_t pad = 1u << (padding + engine->chip.pad_shift);

    return list->padding && pad > pack ? pad : pack;
}

static void next_buffer(const struct egress *list, struct cursor *at)
{
    at->offset = 0;
    if (++at->pointer < POINTERS)
        return;
    at->pointer = 0;
    at->cidx = at->cidx + 1 < list->entries ? at->cidx + 1 : 0;
}

/* Whether the driver can add no buffers until the card takes some. */
static bool is_full(const struct egress *list)
{
    return ring_distance(list->cidx, list->pidx, list->entries) == list->entries - 1;
}

/* Reads the pointer to a new buffer. A frame for which a full list is too small never fits. */
static enum room open_buffer(struct engine *engine, uint32_t id, struct cursor *at)
{
    struct egress *list = &engine->egress[id];
    uint64_t place = list->address + at->cidx * DESCRIPTOR + at->pointer * POINTER_BYTES;
    uint8_t raw[POINTER_BYTES];
    uint64_t pointer;

    if (at->cidx == list->pidx)
        return is_full(list) ? ROOM_NEVER : ROOM_LATER;
    list->halted = dma_read(engine, id, place, raw, sizeof(raw)) != 0;
    if (list->halted)
        return ROOM_NEVER;
    pointer = get64(raw);
    at->buffer = pointer & ~(uint64_t)POINTER_SIZE_INDEX;
    at->bytes = reg(engine, SGE_FL_BUFFER_SIZE0 + 4 * (uint32_t)(pointer & POINTER_SIZE_INDEX)) &
                T6_SGE_FL_BUFFER_SIZE0_SIZE; /* 16 MiB are more than any frame needs */
    if (at->bytes)
        return ROOM_NOW;
    list->halted = 1;
    engine_report(engine, TROUBLE_BUFFER, id, pointer, 0);
    return ROOM_NEVER;
}

/* Takes the part of the current buffer that the rest of a frame can use. */
static enum room take_part(struct engine *engine, uint32_t id, struct cursor *at,
                           struct landing *landing, uint32_t left, uint32_t *taken)
{
    enum room room = at->offset ? ROOM_NOW : open_buffer(engine, id, at);

    if (room != ROOM_NOW)
        return room;
    if (landing->parts == LANDING_PARTS)
        return ROOM_NEVER;
    *taken = left < at->bytes - at->offset ? left : at->bytes - at->offset;
    landing->part[landing->parts++] = (struct part){at->buffer + at->offset, *taken};
    return ROOM_NOW;
}

enum room freelist_reserve(struct engine *engine, uint32_t id, uint32_t length,
                           struct landing *landing)
{
    struct egress *list = &engine->egress[id];
    struct cursor at = landing->before = cursor_of(list);
    uint32_t taken = 0;
    enum room room;

    if (at.offset && (uint64_t)at.offset + length > at.bytes)
        next_buffer(list, &at);
    landing->new_buffer = at.offset == 0;
    landing->parts = 0;
    for (uint32_t left = length; left; left -= taken) {
        if (left < length)
            next_buffer(list, &at);
        room = take_part(engine, id, &at, landing, left, &taken);
        if (room != ROOM_NOW)
            return room;
    }
    if (list->packing)
        at.offset += (taken + alignment(engine, list) - 1) & ~(alignment(engine, list) - 1);
    else
        next_buffer(list, &at);
    move_to(engine, id, &at);
    return ROOM_NOW;
}

void freelist_cancel(struct engine *engine, uint32_t id, const struct landing *landing)
{
    move_to(engine, id, &landing->before);
}

void freelist_write(struct engine *engine, uint32_t id, const struct landing *landing, uint32_t at,
                    const uint8_t *data, uint32_t length)
{
    for (uint32_t i = 0; i < landing->parts && length; i++) {
        const struct part *part = &landing->part[i];
        uint32_t bytes = at < part->length ? part->length - at : 0;

        if (bytes > length)
            bytes = length;
        if (bytes && dma_write(engine, id, part->address + at, data, bytes))
            engine->egress[id].halted = 1;
        data += bytes;
        length -= bytes;
        at -= at < part->length ? at : part->length;
    }
}
