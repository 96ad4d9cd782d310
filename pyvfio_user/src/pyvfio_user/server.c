/* Serving one client after another, and what the device does on its own: interrupts and DMA. */

#define _GNU_SOURCE
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

enum { DRAIN_MAX = 65536 }; /* messages that may still be queued when a client is cut off */

static int attach(struct server *server)
{
    if (vfu_attach_ctx(server->ctx) == 0) {
        server->attached = true;
        return SERVER_CLIENT;
    }
    bool interrupted = errno == EINTR;
    server_forget_connection(server);
    return interrupted ? SERVER_INTERRUPTED : SERVER_TURNED_AWAY;
}

/* Cut the client off and have the library notice: it reads what is still queued first. */
static void drop(struct server *server)
{
    server_disconnect(server);
    for (int left = DRAIN_MAX; left; left--)
        if (vfu_run_ctx(server->ctx) < 0 && errno == ENOTCONN)
            return;
}

static int serve(struct server *server)
{
    int done = vfu_run_ctx(server->ctx);

    server->quiet = false;
    if (done >= 0 || (errno == EINTR && !server->stopping))
        return SERVER_INTERRUPTED;
    if (errno != ENOTCONN)
        drop(server);
    server_forget_connection(server);
    server->attached = false;
    return SERVER_GONE;
}

int server_run(struct server *server)
{
    int event = SERVER_STOPPED;

    pthread_mutex_lock(&server->busy);
    serving = server;
    if (server->attached)
        event = serve(server);
    else if (!server->stopping)
        event = attach(server);
    serving = NULL;
    pthread_mutex_unlock(&server->busy);
    return event;
}

void server_stop(struct server *server)
{
    server->stopping = true;
    eventfd_write(server->stop_event, 1);
    server_disconnect(server);
}

/* What the device does on its own */

/* Returns whether the lock was taken: callbacks run with it held. */
static bool enter(struct server *server)
{
    if (serving == server)
        return false;
    pthread_mutex_lock(&server->busy);
    return true;
}

static void leave(struct server *server, bool entered)
{
    if (entered)
        pthread_mutex_unlock(&server->busy);
}

int server_irq(struct server *server, uint32_t vector)
{
    bool entered = enter(server);

    server->quiet = true; /* the library reports a vector nobody listens to as an error */
    int error = vfu_irq_trigger(server->ctx, vector) < 0 ? -errno : 0;
    server->quiet = false;
    leave(server, entered);
    return error;
}

/* process_vm_readv() reports what a plain copy would die of: a file that its owner has shrunk. */
static ssize_t copy(const struct iovec *ours, const struct iovec *theirs, size_t count,
                    bool is_write)
{
    pid_t self = getpid();

    return is_write ? process_vm_writev(self, ours, 1, theirs, count, 0)
                    : process_vm_readv(self, ours, 1, theirs, count, 0);
}

static int transfer(struct server *server, uint64_t address, void *data, uint64_t length,
                    bool is_write)
{
    struct iovec theirs[DMA_PARTS];
    struct iovec ours = {data, length};

    int count = vfu_addr_to_sgl(server->ctx, (vfu_dma_addr_t)(uintptr_t)address, length,
                                server->parts, DMA_PARTS, is_write ? PROT_WRITE : PROT_READ);
    if (count <= 0)
        return count == -1 ? -errno : -E2BIG;
    if (vfu_sgl_get(server->ctx, server->parts, theirs, (size_t)count, 0) < 0)
        return -errno;
    ssize_t done = copy(&ours, theirs, (size_t)count, is_write);
    int error = done < 0 ? -errno : 0;
    vfu_sgl_put(server->ctx, server->parts, theirs, (size_t)count);
    return !error && (uint64_t)done < length ? -EFAULT : error;
}

int server_dma(struct server *server, uint64_t address, void *data, uint64_t length, int is_write)
{
    if (length == 0)
        return 0;
    bool entered = enter(server);
    int error = transfer(server, address, data, length, is_write != 0);

    leave(server, entered);
    return error;
}
