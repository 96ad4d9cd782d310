/* Configuration space: reads in C, whatever acts in Python. See core.h. */

#include "vmcoredd/emu/internal.h"
#include "pyvfio_user/io.h"

static const region_access entry __attribute__((unused)) = emu_config_access;

int emu_config_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write)
{
    const struct config *config = cookie;

    if (!length || offset > config->size || length > config->size - offset)
        return -EINVAL;
    if (is_write || config->polls)
        return config->access(config->handle, offset, data, length, is_write);
    memcpy(data, config->bytes + offset, length);
    return 0;
}
