/* The entry points of the BARs and of configuration space, and what each kind of word does. The
 * rules are in core.h. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmcoredd/emu/core.h"
#include "vmcoredd/emu/engine/engine.h"
#include "pyvfio_user/io.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are stored in bus order");

/* Servers and transports call the entry points through this type. */
static const region_access entries[] __attribute__((unused)) = {emu_access, emu_config_access};

int emu_log_access(struct core *core, enum log_kind kind, const struct space *space,
                   uint64_t offset, uint32_t length, int is_write)
{
    return core->log_access(core->handle, (int)kind, space->number, offset, length, is_write);
}

static int log_word(struct core *core, const struct space *space, uint32_t index,
                    enum log_kind kind, int is_write)
{
    return emu_log_access(core, kind, space, index, 1, is_write);
}

/* A hook may be what the card is removed by (a fault that waits for the access): then there is
 * nobody to answer any more. */
static int hook_read(struct core *core, struct space *space, uint32_t index, uint32_t *value)
{
    int rc;

    *value = space->words[index];
    rc = core->hook_read(core->handle, space->links[index], value);
    return core->gone ? -ENODEV : rc;
}

static int hook_write(struct core *core, const struct space *space, uint32_t index, uint32_t value)
{
    int rc = core->hook_write(core->handle, space->links[index], value);

    return core->gone ? -ENODEV : rc;
}

int emu_word_read(struct core *core, struct space *space, uint32_t index, uint32_t *value)
{
    *value = 0;
    if (index >= space->count)
        return log_word(core, space, index, LOG_UNDESCRIBED, 0);
    *value = space->words[index];
    if (!space->kinds)
        return 0;
    switch ((enum word_kind)space->kinds[index]) {
    case WORD_UNDESCRIBED:
        return log_word(core, space, index, LOG_UNDESCRIBED, 0);
    case WORD_UNIMPLEMENTED:
        return log_word(core, space, index, LOG_UNIMPLEMENTED, 0);
    case WORD_COMMAND:
        return emu_command_read(core, space, index, value);
    case WORD_DATA:
        return emu_data_read(core, space, index, value);
    case WORD_HOOK:
        return hook_read(core, space, index, value);
    case WORD_WINDOW: {
        int copied = emu_window_copy(core, space, index, 1, value, 0);
        return copied < 0 ? copied : 0;
    }
    case WORD_ALIAS:
        return emu_word_read(core, space, space->links[index], value);
    case WORD_DOORBELL:
        *value = 0;
        return 0;
    default:
        return 0;
    }
}

static int store(struct space *space, uint32_t index, uint32_t value)
{
    space->words[index] = value;
    return 0;
}

static int log_and_store(struct core *core, struct space *space, uint32_t index, uint32_t value,
                         enum log_kind kind)
{
    int rc = log_word(core, space, index, kind, 1);
    return rc ? rc : store(space, index, value);
}

/* A doorbell links to its kind: 0 for SGE_PF_KDOORBELL, 1 for SGE_PF_GTS. */
static int doorbell_write(struct core *core, const struct space *space, uint32_t index,
                          uint32_t value)
{
    if (space->links[index])
        engine_gts(core->engine, value);
    else
        engine_kdoorbell(core->engine, value);
    return 0;
}

static int offset_write(struct core *core, struct space *space, uint32_t index, uint32_t value)
{
    store(space, index, value);
    emu_window_sync(core, space->links[index]);
    return 0;
}

int emu_word_write(struct core *core, struct space *space, uint32_t index, uint32_t value)
{
    if (index >= space->count)
        return log_word(core, space, index, LOG_UNDESCRIBED, 1);
    if (!space->kinds)
        return store(space, index, value);
    switch ((enum word_kind)space->kinds[index]) {
    case WORD_UNDESCRIBED:
        return log_and_store(core, space, index, value, LOG_UNDESCRIBED);
    case WORD_UNIMPLEMENTED:
    case WORD_DUMPED:
        return log_and_store(core, space, index, value, LOG_UNIMPLEMENTED);
    case WORD_READ_ONLY:
        return log_word(core, space, index, LOG_GUEST_READ_ONLY, 1);
    case WORD_CLEAR:
        return store(space, index, space->words[index] & ~value);
    case WORD_COMMAND:
        return emu_command_write(core, space, index, value);
    case WORD_DATA:
        return emu_data_write(core, space, index, value);
    case WORD_HOOK:
    case WORD_HOOK_WRITE:
        return hook_write(core, space, index, value);
    case WORD_WINDOW: {
        int copied = emu_window_copy(core, space, index, 1, &value, 1);
        return copied < 0 ? copied : 0;
    }
    case WORD_OFFSET:
        return offset_write(core, space, index, value);
    case WORD_ALIAS:
        return emu_word_write(core, space, space->links[index], value);
    case WORD_DOORBELL:
        return doorbell_write(core, space, index, value);
    case WORD_PLAIN:
        break;
    }
    return store(space, index, value);
}

/* Accesses one word, or as much of a window as `count` allows. Returns the number of words, or
 * -errno. */
static int some_words(struct core *core, struct space *space, uint32_t index, uint32_t count,
                      uint8_t *data, int is_write)
{
    uint32_t value;
    int rc;

    if (space->kinds[index] == WORD_WINDOW)
        return emu_window_copy(core, space, index, count, data, is_write);
    if (is_write) {
        memcpy(&value, data, sizeof(value));
        rc = emu_word_write(core, space, index, value);
    } else {
        rc = emu_word_read(core, space, index, &value);
        memcpy(data, &value, sizeof(value));
    }
    return rc ? rc : 1;
}

static void count_words(struct core *core, uint32_t block, uint32_t count, int is_write)
{
    struct block_counts *counts = &core->block_counts[block];

    *(is_write ? &counts->writes : &counts->reads) += count;
}

/* Returns the block of words that are accessed at once: one, or some of a window. */
static uint32_t block_of(const struct core *core, const struct space *space, uint32_t index)
{
    return space->kinds[index] == WORD_WINDOW ? BLOCK_MEMORY : core->blocks[index];
}

/* An access that nobody answers. */
static int no_answer(void *data, uint32_t length, int is_write)
{
    if (!is_write)
        memset(data, 0xff, length);
    return 0;
}

static int all_words(struct core *core, struct space *space, uint32_t index, uint32_t count,
                     uint8_t *data, int is_write)
{
    while (count) {
        int done = some_words(core, space, index, count, data, is_write);

        if (done < 0)
            return core->gone ? no_answer(data, count * 4, is_write) : done;
        count_words(core, block_of(core, space, index), (uint32_t)done, is_write);
        index += (uint32_t)done;
        count -= (uint32_t)done;
        data += (size_t)done * 4;
    }
    return 0;
}

void emu_plain_copy(struct space *space, uint32_t index, uint32_t count, void *data, int is_write)
{
    if (is_write)
        memcpy(space->words + index, data, (size_t)count * 4);
    else
        memcpy(data, space->words + index, (size_t)count * 4);
}

int emu_shape(const struct space *space, uint64_t offset, uint32_t length)
{
    const uint64_t size = (uint64_t)space->count * 4;

    if (offset > size || length > size - offset)
        return -ERANGE;
    return length && offset % 4 == 0 && length % 4 == 0 ? 0 : -EINVAL;
}

static int refuse_shape(struct core *core, struct space *space, uint64_t offset, uint32_t length,
                        int is_write)
{
    const int error = emu_shape(space, offset, length);
    int rc;

    if (!error)
        return 0;
    rc = emu_log_access(core, LOG_GUEST_SIZE, space, offset, length, is_write);
    return rc ? rc : error;
}

static void count_access(struct access_counts *counts, uint32_t length, int is_write)
{
    if (length == 4) {
        *(is_write ? &counts->write4 : &counts->read4) += 1;
    } else if (length == 8) {
        *(is_write ? &counts->write8 : &counts->read8) += 1;
    } else {
        *(is_write ? &counts->write_runs : &counts->read_runs) += 1;
        *(is_write ? &counts->write_run_words : &counts->read_run_words) += length / 4;
    }
}

int emu_plain_access(const struct region *region, uint64_t offset, void *data, uint32_t length,
                     int is_write)
{
    struct space *space = region->space;
    const uint32_t index = (uint32_t)(offset / 4);
    int rc = refuse_shape(region->core, space, offset, length, is_write);

    if (rc)
        return rc;
    if (__builtin_expect(region->core->gone, 0))
        return no_answer(data, length, is_write);
    if (!space->kinds) {
        emu_plain_copy(space, index, length / 4, data, is_write);
        count_words(region->core, region->block, length / 4, is_write);
        if (is_write && region->written)
            region->written(region->core->engine, (uint32_t)offset, length);
        return 0;
    }
    count_access(&region->core->counts, length, is_write);
    return all_words(region->core, space, index, length / 4, data, is_write);
}

int emu_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write)
{
    const struct region *region = cookie;
    struct trace_ring *trace = region->core->trace; /* another thread may end it meanwhile */

    if (__builtin_expect(trace != NULL, 0))
        return emu_recorded_access(region, trace, offset, data, length, is_write);
    return emu_plain_access(region, offset, data, length, is_write);
}

int emu_config_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write)
{
    const struct config *config = cookie;
    struct trace_ring *trace = config->core->trace;

    if (__builtin_expect(trace != NULL, 0))
        return emu_recorded_config(config, trace, offset, data, length, is_write);
    return emu_plain_config(config, offset, data, length, is_write);
}

int emu_plain_config(const struct config *config, uint64_t offset, void *data, uint32_t length,
                     int is_write)
{
    if (!length || offset > config->size || length > config->size - offset)
        return -EINVAL;
    if (__builtin_expect(config->core->gone, 0))
        return no_answer(data, length, is_write);
    count_words(config->core, BLOCK_CONFIG, (length + 3) / 4, is_write);
    if (is_write || config->polls)
        return config->access(config->handle, offset, data, length, is_write);
    memcpy(data, config->bytes + offset, length);
    return 0;
}
