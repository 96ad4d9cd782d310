/* The in-process transport: every access is a function call, so a fence has nothing to wait for. */
#include <stddef.h>
#include <stdint.h>

#include "pyvfio_user/io.h"

#include "vmcoredd/driver/inproc.h"

static int access_now(void *cookie, uint64_t offset, void *data, uint32_t bytes, int is_write)
{
    struct inproc *inproc = cookie;
    if (!inproc->error)
        inproc->error = inproc->access(inproc->cookie, offset, data, bytes, is_write);
    return inproc->error;
}

static int inproc_write(void *cookie, uint64_t offset, const void *data, uint32_t width,
                        uint32_t count)
{
    return access_now(cookie, offset, (void *)(uintptr_t)data, width * count, 1);
}

static int inproc_read(void *cookie, uint64_t offset, void *into, uint32_t width, uint32_t count)
{
    return access_now(cookie, offset, into, width * count, 0);
}

static int inproc_fence(void *cookie)
{
    return ((struct inproc *)cookie)->error;
}

void inproc_init(struct inproc *inproc, uintptr_t access, uintptr_t cookie)
{
    inproc->io = (struct io){inproc, inproc_write, inproc_read, inproc_fence};
    inproc->access = (region_access)access;
    inproc->cookie = (void *)cookie;
    inproc->error = 0;
}
