/* Lookups: a command word selects a row of a table, and data words show it. See core.h. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmcoredd/emu/core.h"

/* Returns the index of the first word of the lookup's current row; past the table's end if the
 * table has no such row. */
static uint32_t row_start(const struct lookup *lookup)
{
    uint64_t row = 0;

    for (uint32_t i = 0; i < lookup->part_count; i++) {
        const struct row_part *part = &lookup->parts[i];

        row += (uint64_t)((*part->word >> part->shift) & part->mask) * part->scale;
    }
    return row < lookup->table->count ? (uint32_t)row * lookup->width : lookup->table->count;
}

/* Steps the first part to the next row. */
static void lookup_step(const struct lookup *lookup)
{
    const struct row_part *part = &lookup->parts[0];
    const uint32_t next = ((*part->word >> part->shift) + 1) & part->mask;

    *part->word = (*part->word & ~(part->mask << part->shift)) | (next << part->shift);
}

int emu_lookup_fetch(struct core *core, const struct lookup *lookup)
{
    const uint32_t from = row_start(lookup);
    int rc = 0;

    for (uint32_t i = 0; i < lookup->width && !rc; i++) {
        uint32_t value;

        rc = emu_word_read(core, lookup->table, from + i, &value);
        lookup->target->words[lookup->first + i] = value;
    }
    return rc;
}

static int lookup_store(struct core *core, const struct lookup *lookup)
{
    const uint32_t to = row_start(lookup);
    int rc = 0;

    for (uint32_t i = 0; i < lookup->width && !rc; i++)
        rc = emu_word_write(core, lookup->table, to + i,
                            lookup->target->words[lookup->first + i] & lookup->store_mask);
    return rc;
}

static int lookup_accepts(const struct lookup *lookup, uint32_t value)
{
    return ((value & lookup->when_mask) == lookup->when_value) != (lookup->unless != 0);
}

static int lookup_run(struct core *core, const struct lookup *lookup, uint32_t value)
{
    int rc;

    if (!lookup_accepts(lookup, value))
        return 0;
    rc = lookup->store ? lookup_store(core, lookup) : emu_lookup_fetch(core, lookup);
    if (lookup->step == STEP_ON_COMMAND)
        lookup_step(lookup);
    return rc;
}

static int command_run(struct core *core, const struct command *command, struct space *space,
                       uint32_t index)
{
    const uint32_t value = space->words[index];
    int rc = 0;

    if (!command->hung)
        for (int32_t i = command->first; i >= 0 && !rc; i = core->lookups[i].next)
            rc = lookup_run(core, &core->lookups[i], value);
    space->words[index] = (space->words[index] & ~command->clear) | command->set;
    return rc;
}

/* Whether `value` is a command for any of the lookups. */
static int command_accepts(const struct core *core, const struct command *command, uint32_t value)
{
    for (int32_t i = command->first; i >= 0; i = core->lookups[i].next)
        if (lookup_accepts(&core->lookups[i], value))
            return 1;
    return 0;
}

int emu_command_write(struct core *core, struct space *space, uint32_t index, uint32_t value)
{
    struct command *command = &core->commands[space->links[index]];

    space->words[index] = value;
    command->pending = command->delay && command_accepts(core, command, value) ? command->delay : 0;
    return command->pending ? 0 : command_run(core, command, space, index);
}

int emu_command_read(struct core *core, struct space *space, uint32_t index, uint32_t *value)
{
    struct command *command = &core->commands[space->links[index]];

    *value = space->words[index];
    if (!command->pending)
        return 0;
    *value = ((*value & ~command->clear) | command->set) ^ command->done;
    return --command->pending ? 0 : command_run(core, command, space, index);
}

int emu_data_read(struct core *core, struct space *space, uint32_t index, uint32_t *value)
{
    const struct lookup *lookup = &core->lookups[space->links[index]];

    *value = space->words[index];
    if (lookup->step != STEP_ON_READ || index != lookup->first + lookup->width - 1)
        return 0;
    lookup_step(lookup);
    return emu_lookup_fetch(core, lookup);
}

int emu_data_write(struct core *core, struct space *space, uint32_t index, uint32_t value)
{
    const struct lookup *lookup = &core->lookups[space->links[index]];

    space->words[index] = value;
    return emu_word_write(core, lookup->table, row_start(lookup) + (index - lookup->first), value);
}
