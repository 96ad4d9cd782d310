/* What the device initiates (host.h): DMA. Interrupts are in server_irq.c. */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

/* Returns whether it took the lock: the serving thread, in a callback, already holds it. */
bool server_enter(struct server *server)
{
    if (server_is_mine(server))
        return false;
    server->entering++;
    pthread_mutex_lock(&server->busy);
    server->entering--;
    return true;
}

void server_leave(struct server *server, bool entered)
{
    if (entered)
        pthread_mutex_unlock(&server->busy);
}

/* The usual case: one part, in memory that cannot go away. */
static void copy_sealed(const struct iovec *ours, const struct iovec *theirs, bool is_write)
{
    if (is_write)
        memcpy(theirs->iov_base, ours->iov_base, ours->iov_len);
    else
        memcpy(ours->iov_base, theirs->iov_base, ours->iov_len);
}

/* If the file's owner has truncated it, process_vm_readv() returns an error where memcpy() would
 * raise SIGBUS. */
static ssize_t copy_any(const struct iovec *ours, const struct iovec *theirs, size_t count,
                        bool is_write)
{
    pid_t self = getpid();

    return is_write ? process_vm_writev(self, ours, 1, theirs, count, 0)
                    : process_vm_readv(self, ours, 1, theirs, count, 0);
}

/* Returns the bytes that were copied, or -1 with errno. */
static ssize_t copy(struct server *server, const struct iovec *ours, const struct iovec *theirs,
                    size_t count, bool is_write)
{
    if (count != 1 || !server_is_sealed(server, theirs))
        return copy_any(ours, theirs, count, is_write);
    copy_sealed(ours, theirs, is_write);
    return (ssize_t)ours->iov_len;
}

static int transfer(struct server *server, uint64_t address, void *data, uint64_t length,
                    bool is_write)
{
    struct iovec theirs[DMA_PARTS];
    struct iovec ours = {data, length};

    if (length > INT64_MAX || length > UINT64_MAX - address) /* the library adds them as pointers */
        return -ENOENT;
    int count = vfu_addr_to_sgl(server->ctx, (vfu_dma_addr_t)(uintptr_t)address, length,
                                server->parts, DMA_PARTS, is_write ? PROT_WRITE : PROT_READ);
    if (count <= 0)
        return count == -1 ? -errno : -E2BIG;
    if (vfu_sgl_get(server->ctx, server->parts, theirs, (size_t)count, 0) < 0)
        return -errno;
    ssize_t done = copy(server, &ours, theirs, (size_t)count, is_write);
    int error = done < 0 ? -errno : 0;
    vfu_sgl_put(server->ctx, server->parts, theirs, (size_t)count);
    return !error && (uint64_t)done < length ? -EFAULT : error;
}

int server_dma(struct server *server, uint64_t address, void *data, uint64_t length, int is_write)
{
    if (length == 0)
        return 0;
    bool entered = server_enter(server);
    int error = transfer(server, address, data, length, is_write != 0);

    server_leave(server, entered);
    return error;
}

static int host_irq(void *cookie, uint32_t vector)
{
    return server_irq(cookie, vector);
}

static int host_dma_read(void *cookie, uint64_t address, void *into, uint64_t length)
{
    return server_dma(cookie, address, into, length, false);
}

static int host_dma_write(void *cookie, uint64_t address, const void *data, uint64_t length)
{
    return server_dma(cookie, address, (void *)(uintptr_t)data, length, true);
}

void server_init_host(struct server *server)
{
    server->host = (struct host){server, host_irq, host_dma_read, host_dma_write};
}

const struct host *server_host(const struct server *server)
{
    return &server->host;
}
