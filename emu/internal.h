/* What the core's C files share with each other and with nobody else. */

#ifndef EMU_INTERNAL_H
#define EMU_INTERNAL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmcoredd/emu/core.h"

/* A word was written: run the ports bound to it, now or when it was read often enough. */
int emu_command_write(struct core *core, struct space *space, uint32_t index, uint32_t value);
int emu_command_read(struct core *core, struct space *space, uint32_t index, uint32_t *value);

/* A data word of a port that stores or steps. */
int emu_data_read(struct core *core, struct space *space, uint32_t index, uint32_t *value);
int emu_data_write(struct core *core, struct space *space, uint32_t index, uint32_t value);

/* Words of a window, from `index` on: at most `count`, all in one window. Returns how many, or
 * -errno. */
int emu_window_copy(struct core *core, struct space *space, uint32_t index, uint32_t count,
                    void *data, int is_write);

static inline int emu_log_access(struct core *core, enum log_kind kind, const struct space *space,
                                 uint64_t offset, uint32_t length, int is_write)
{
    return core->log_access(core->handle, (int)kind, space->number, offset, length, is_write);
}

#endif
