/* Lookup ports: a command word selects a row of a table, data words show it. See core.h. */

#include "vmcoredd/emu/internal.h"

/* The first word of the row that the port's registers number; beyond any table if there is no such
 * row. */
static uint32_t row_start(const struct port *port)
{
    uint64_t row = 0;

    for (uint32_t i = 0; i < port->part_count; i++) {
        const struct row_part *part = &port->parts[i];

        row += (uint64_t)((*part->word >> part->shift) & part->mask) * part->scale;
    }
    return row < port->table->count ? (uint32_t)row * port->width : port->table->count;
}

/* Moves the first part on to the next row. */
static void port_step(const struct port *port)
{
    const struct row_part *part = &port->parts[0];
    const uint32_t next = ((*part->word >> part->shift) + 1) & part->mask;

    *part->word = (*part->word & ~(part->mask << part->shift)) | (next << part->shift);
}

int emu_port_fetch(struct core *core, const struct port *port)
{
    const uint32_t from = row_start(port);
    int rc = 0;

    for (uint32_t i = 0; i < port->width && !rc; i++) {
        uint32_t value;

        rc = emu_word_read(core, port->table, from + i, &value);
        port->target->words[port->first + i] = value;
    }
    return rc;
}

static int port_store(struct core *core, const struct port *port)
{
    const uint32_t to = row_start(port);
    int rc = 0;

    for (uint32_t i = 0; i < port->width && !rc; i++)
        rc = emu_word_write(core, port->table, to + i,
                            port->target->words[port->first + i] & port->store_mask);
    return rc;
}

static int port_accepts(const struct port *port, uint32_t value)
{
    return ((value & port->when_mask) == port->when_value) != (port->unless != 0);
}

static int port_run(struct core *core, const struct port *port, uint32_t value)
{
    int rc;

    if (!port_accepts(port, value))
        return 0;
    rc = port->store ? port_store(core, port) : emu_port_fetch(core, port);
    if (port->step == STEP_ON_COMMAND)
        port_step(port);
    return rc;
}

static int command_run(struct core *core, const struct command *command, struct space *space,
                       uint32_t index)
{
    const uint32_t value = space->words[index];
    int rc = 0;

    if (!command->stuck)
        for (int32_t i = command->first; i >= 0 && !rc; i = core->ports[i].next)
            rc = port_run(core, &core->ports[i], value);
    space->words[index] = (space->words[index] & ~command->clear) | command->set;
    return rc;
}

/* Whether any port takes `value` for a command. */
static int command_accepts(const struct core *core, const struct command *command, uint32_t value)
{
    for (int32_t i = command->first; i >= 0; i = core->ports[i].next)
        if (port_accepts(&core->ports[i], value))
            return 1;
    return 0;
}

int emu_command_write(struct core *core, struct space *space, uint32_t index, uint32_t value)
{
    struct command *command = &core->commands[space->links[index]];

    space->words[index] = value;
    command->pending = command->late && command_accepts(core, command, value) ? command->late : 0;
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
    const struct port *port = &core->ports[space->links[index]];

    *value = space->words[index];
    if (port->step != STEP_ON_READ || index != port->first + port->width - 1)
        return 0;
    port_step(port);
    return emu_port_fetch(core, port);
}

int emu_data_write(struct core *core, struct space *space, uint32_t index, uint32_t value)
{
    const struct port *port = &core->ports[space->links[index]];

    space->words[index] = value;
    return emu_word_write(core, port->table, row_start(port) + (index - port->first), value);
}
