/* Memory windows: apertures in BAR0 through which a guest reads and writes adapter memory. See
 * core.h. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "vmcoredd/emu/core.h"

static const struct memory *memory_at(const struct core *core, uint32_t address)
{
    for (size_t i = 0; i < sizeof(core->memories) / sizeof(core->memories[0]); i++) {
        const struct memory *memory = &core->memories[i];

        if (address >= memory->base && address - memory->base < memory->size)
            return memory;
    }
    return NULL;
}

int emu_memory_copy(struct core *core, uint32_t address, void *data, uint32_t length, int is_write)
{
    uint8_t *bytes = data;

    while (length) {
        const struct memory *memory = memory_at(core, address);
        uint32_t part;

        if (!memory)
            return -EFAULT;
        part = memory->size - (address - memory->base);
        part = part < length ? part : length;
        if (is_write)
            memcpy(memory->bytes + (address - memory->base), bytes, part);
        else
            memcpy(bytes, memory->bytes + (address - memory->base), part);
        bytes += part;
        address += part;
        length -= part;
    }
    return 0;
}

/* Returns the window's offset register without the function number in its low bits. */
static uint32_t window_address(const struct window *window)
{
    return *window->offset & ~(window->count * 4 - 1);
}

uint32_t emu_window_address(const struct core *core, const struct space *space, uint32_t index)
{
    const struct window *window = &core->windows[space->links[index]];

    return window_address(window) + (index - window->first) * 4;
}

int emu_window_copy(struct core *core, struct space *space, uint32_t index, uint32_t count,
                    void *data, int is_write)
{
    const struct window *window = &core->windows[space->links[index]];
    const uint32_t left = window->first + window->count - index;
    const uint32_t address = emu_window_address(core, space, index);
    int rc;

    count = count < left ? count : left;
    if (__builtin_expect(window->blind, 0)) {
        if (!is_write)
            memset(data, 0xff, count * sizeof(uint32_t));
        return (int)count;
    }
    if (window->shadow) { /* its words in BAR0 are what the guest sees */
        emu_plain_copy(space, index, count, data, is_write);
        return (int)count;
    }
    if (!emu_memory_copy(core, address, data, count * 4, is_write))
        return (int)count;
    rc = emu_log_access(core, LOG_GUEST_MEMORY, space, address, count * 4, is_write);
    return rc ? rc : -EFAULT;
}

/* Stores in memory the bytes that the guest has changed. */
static void write_back(struct core *core, const struct window *window, const uint8_t *page)
{
    const uint32_t size = window->count * 4;

    if (!memcmp(page, window->shadow, size))
        return;
    for (uint32_t i = 0; i < size; i++) {
        uint8_t byte = page[i];

        if (byte != window->shadow[i])
            (void)emu_memory_copy(core, window->shown + i, &byte, 1, 1);
    }
}

/* True for the first address behind a memory. When Linux has read the last piece of a memory, it
 * moves its window there but reads nothing: cudbg_memory_read() moves the window at the end of each
 * aperture, also of the last one. */
static int follows_memory(struct core *core, uint32_t address)
{
    uint32_t last;

    return address >= sizeof(last) &&
           !emu_memory_copy(core, address - (uint32_t)sizeof(last), &last, sizeof(last), 0);
}

void emu_window_sync(struct core *core, uint32_t number)
{
    struct window *window = &core->windows[number];
    uint8_t *page = (uint8_t *)(core->bar0->words + window->first);
    const uint32_t size = window->count * 4;

    if (!window->shadow)
        return;
    if (window->blind || core->gone) { /* what the guest has written is lost */
        memset(page, 0xff, size);
        return;
    }
    write_back(core, window, page);
    window->shown = window_address(window);
    if (emu_memory_copy(core, window->shown, window->shadow, size, 0)) {
        if (!follows_memory(core, window->shown))
            (void)emu_log_access(core, LOG_GUEST_MEMORY, core->bar0, window->shown, size, 0);
        memset(window->shadow, 0xff, size);
    }
    memcpy(page, window->shadow, size);
}

int emu_map_over(void *at, uint64_t size, int fd, uint64_t offset)
{
    const int flags = MAP_SHARED | MAP_FIXED;

    return mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset) == at ? 0 : -errno;
}
