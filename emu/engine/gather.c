/* The bytes of a packet: those in its work request, then those that a scatter-gather list names. */

#include "vmcoredd/emu/engine/internal.h"

/* The bytes of a list of `count` elements. The last pair of a list may be half. */
static uint32_t list_bytes(uint32_t count)
{
    uint32_t others = count - 1;

    return SGL_BYTES + others / 2 * SGL_PAIR_BYTES + others % 2 * (SGL_PAIR_BYTES - 8);
}

/* An element of a list: its length and address. */
static uint32_t element(const uint8_t *list, uint32_t index, uint64_t *address)
{
    const uint8_t *pair = list + SGL_BYTES + (index - 1) / 2 * SGL_PAIR_BYTES;

    if (index == 0) {
        *address = get(list, SGL_ADDR0);
        return (uint32_t)get(list, SGL_LEN0);
    }
    *address = index % 2 ? get(pair, SGL_PAIR_ADDR0) : get(pair, SGL_PAIR_ADDR1);
    return (uint32_t)(index % 2 ? get(pair, SGL_PAIR_LEN0) : get(pair, SGL_PAIR_LEN1));
}

bool gather_list(struct gather *gather, const uint8_t *list, uint32_t room)
{
    if (room < SGL_BYTES || get(list, SGL_CMD) != ULP_TX_SC_DSGL)
        return false;
    gather->list = list;
    gather->elements = (uint32_t)get(list, SGL_NSGE);
    return gather->elements && list_bytes(gather->elements) <= room;
}

uint64_t gather_length(const struct gather *gather)
{
    uint64_t length = gather->inlined_bytes, address;

    for (uint32_t i = 0; i < gather->elements; i++)
        length += element(gather->list, i, &address);
    return length;
}

int gather_read(struct engine *engine, uint32_t queue, const struct gather *gather, uint64_t from,
                uint8_t *into, uint32_t length)
{
    uint64_t address, at = gather->inlined_bytes;

    if (from < at && length) {
        uint32_t part = at - from < length ? (uint32_t)(at - from) : length;

        memcpy(into, gather->inlined + from, part);
        into += part, from += part, length -= part;
    }
    for (uint32_t i = 0; i < gather->elements && length; i++) {
        uint32_t bytes = element(gather->list, i, &address);
        uint64_t left = at + bytes > from ? at + bytes - from : 0;
        uint32_t part = left < length ? (uint32_t)left : length;

        if (part && dma_read(engine, queue, address + (from - at), into, part))
            return -EFAULT;
        into += part, from += part, length -= part;
        at += bytes;
    }
    return length ? -EINVAL : 0;
}
