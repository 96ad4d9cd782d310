/* `struct io` over one region of a client: posted writes, split reads, a fence. */

#include <errno.h>

#include "pyvfio_user/client_internal.h"

/* Keeps the first error of this io, such as a refusal. The client keeps a lost connection. */
static int settle(struct client_io *io, int error)
{
    if (error && !io->error)
        io->error = error;
    return io->error;
}

static int check(const struct client_io *io, uint32_t width)
{
    if (io->error)
        return io->error;
    return width == 4 || width == 8 ? 0 : -EINVAL;
}

static int io_write(void *cookie, uint64_t offset, const void *data, uint32_t width, uint32_t count)
{
    struct client_io *io = cookie;
    int error = check(io, width);

    if (!error)
        error = client_post(io->client, io->region, offset, data, (uint64_t)width * count, width);
    return settle(io, error);
}

static int io_read(void *cookie, uint64_t offset, void *into, uint32_t width, uint32_t count)
{
    struct client_io *io = cookie;
    int error = check(io, width);

    if (!error)
        error = client_start_read(io->client, io->region, offset, into, (uint64_t)width * count,
                                  width, &io->error);
    return settle(io, error);
}

static int io_fence(void *cookie)
{
    struct client_io *io = cookie;

    return settle(io, io->error ? io->error : client_wait(io->client, 0));
}

void client_io_init(struct client_io *io, struct client *client, uint32_t region)
{
    *io = (struct client_io){
        .io = {io, io_write, io_read, io_fence}, .client = client, .region = region};
}
