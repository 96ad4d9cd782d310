/* What the card puts into a trace of its own accesses. The records are described in trace/ring.h.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmcoredd/trace/ring.h"

#include "vmcoredd/emu/core.h"
#include "vmcoredd/emu/engine/engine.h"

/* While a client is attached, it is the one who accesses the card. */
static uint8_t source_of(const struct core *core)
{
    return core->engine->host ? TRACE_CLIENT : TRACE_DRIVER;
}

static uint8_t error_of(int rc)
{
    return (uint8_t)(rc < 0 ? -rc : rc);
}

/* The bytes that do not fit `value` are carried behind the record. */
static uint32_t carried(uint32_t length)
{
    return length > sizeof(uint64_t) ? length : 0;
}

static void keep_bytes(struct trace_ring *ring, struct trace_record *record, const void *data)
{
    if (record->carried)
        trace_carry(ring, record, data);
    else
        memcpy(&record->value, data, record->length);
}

/* The bytes of a read have their room from the start; if it fails, zeros take it. */
static void keep_read(struct trace_ring *ring, struct trace_record *record, const void *data,
                      int rc)
{
    if (!rc)
        keep_bytes(ring, record, data);
    else if (record->carried)
        trace_carry(ring, record, NULL);
}

/* Returns up to two stored words; a read of them has no effect. */
static uint64_t stored(const struct space *space, uint32_t index, uint32_t length)
{
    uint64_t words = 0;

    if (space->kinds && space->kinds[index] == WORD_ALIAS)
        index = space->links[index];
    memcpy(&words, space->words + index, length == 8 && index + 1 < space->count ? 8 : 4);
    return words;
}

/* Records an access of a valid shape. */
static int record_words(const struct region *region, struct trace_ring *ring,
                        struct trace_record *record, void *data)
{
    const struct space *space = region->space;
    const uint32_t index = (uint32_t)(record->address / 4), length = record->length;
    const int is_write = record->kind == TRACE_WRITE;
    int rc;

    if (space->kinds && space->kinds[index] == WORD_WINDOW) {
        record->detail = TRACE_WINDOW;
        record->before = emu_window_address(region->core, space, index);
    } else if (length <= sizeof(uint64_t)) {
        record->before = stored(space, index, length);
    }
    if (is_write)
        keep_bytes(ring, record, data);
    rc = emu_plain_access(region, record->address, data, length, is_write);
    if (!is_write)
        keep_read(ring, record, data, rc);
    if (record->detail != TRACE_WINDOW && length <= sizeof(uint64_t))
        record->after = stored(space, index, length);
    return rc;
}

int emu_recorded_access(const struct region *region, struct trace_ring *ring, uint64_t offset,
                        void *data, uint32_t length, int is_write)
{
    const int malformed = emu_shape(region->space, offset, length);
    struct trace_record *record =
        trace_begin(ring, is_write ? TRACE_WRITE : TRACE_READ, malformed ? 0 : carried(length));
    int rc;

    if (record) {
        record->source = source_of(region->core);
        record->space = region->bar;
        record->length = length;
        record->address = offset;
    }
    if (!record || malformed)
        rc = emu_plain_access(region, offset, data, length, is_write);
    else
        rc = record_words(region, ring, record, data);
    if (record) {
        record->detail |= malformed ? TRACE_MALFORMED : 0;
        record->error = error_of(rc);
    }
    trace_end(ring, record);
    return rc;
}

int emu_recorded_config(const struct config *config, struct trace_ring *ring, uint64_t offset,
                        void *data, uint32_t length, int is_write)
{
    const int malformed = !length || offset > config->size || length > config->size - offset;
    struct trace_record *record =
        trace_begin(ring, is_write ? TRACE_WRITE : TRACE_READ, malformed ? 0 : carried(length));
    int rc;

    if (record) {
        record->source = source_of(config->core);
        record->space = TRACE_CONFIG_SPACE;
        record->length = length;
        record->address = offset;
        record->detail = malformed ? TRACE_MALFORMED : 0;
        if (!malformed && length <= sizeof(uint64_t))
            memcpy(&record->before, config->bytes + offset, length);
        if (!malformed && is_write)
            keep_bytes(ring, record, data);
    }
    rc = emu_plain_config(config, offset, data, length, is_write);
    if (record && !malformed) {
        if (!is_write)
            keep_read(ring, record, data, rc);
        if (length <= sizeof(uint64_t))
            memcpy(&record->after, config->bytes + offset, length);
    }
    if (record)
        record->error = error_of(rc);
    trace_end(ring, record);
    return rc;
}
