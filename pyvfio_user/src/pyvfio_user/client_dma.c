/* Memory that the client shares, and the server's requests to read and write it. They go to the
 * files by pread() and pwrite(): no file that the server truncates can raise SIGBUS here. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pyvfio_user/client_internal.h"

_Static_assert(sizeof(struct dma_access) == 16, "vfio-user DMA access");
_Static_assert(DMA_REQUEST + DMA_MAX <= RECEIVE_MAX, "a request fits the buffer");

/* The memory */

int client_share(struct client *client, int fd, uint64_t offset, uint64_t address, uint64_t size,
                 uint32_t flags)
{
    if (client->share_count == SHARES)
        return -ENOSPC;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return -errno;
    client->shares[client->share_count++] = (struct share){address, size, offset, own, flags};
    return 0;
}

/* Of two shares that are equal, because the server has refused one, removes the newer. */
void client_unshare(struct client *client, uint64_t address, uint64_t size)
{
    for (uint32_t i = client->share_count; i-- > 0;) {
        if (client->shares[i].address != address || client->shares[i].size != size)
            continue;
        close(client->shares[i].fd);
        client->shares[i] = client->shares[--client->share_count];
        return;
    }
}

void client_unshare_all(struct client *client)
{
    while (client->share_count)
        close(client->shares[--client->share_count].fd);
}

static const struct share *share_at(const struct client *client, uint64_t address)
{
    for (uint32_t i = 0; i < client->share_count; i++) {
        const struct share *share = &client->shares[i];
        if (address >= share->address && address - share->address < share->size)
            return share;
    }
    return NULL;
}

/* Copies up to `length` bytes. Returns their number, or -errno. */
static ssize_t copy_some(const struct client *client, uint64_t address, uint8_t *data,
                         uint64_t length, bool is_write)
{
    const struct share *share = share_at(client, address);

    if (!share)
        return -ENOENT;
    if (!(share->flags & (is_write ? SHARE_WRITE : SHARE_READ)))
        return -EACCES;
    uint64_t at = address - share->address;
    length = length < share->size - at ? length : share->size - at;
    off_t offset = (off_t)(share->offset + at);
    ssize_t done =
        is_write ? pwrite(share->fd, data, length, offset) : pread(share->fd, data, length, offset);
    if (done < 0)
        return -errno;
    return done ? done : -EFAULT; /* the file ends before the memory does */
}

static int copy(const struct client *client, uint64_t address, uint8_t *data, uint64_t length,
                bool is_write)
{
    while (length) {
        ssize_t done = copy_some(client, address, data, length, is_write);
        if (done < 0)
            return (int)done;
        address += (uint64_t)done;
        data += done;
        length -= (uint64_t)done;
    }
    return 0;
}

/* Requests */

/* Returns the length of the request that `header` begins; -EPROTO if no server may send it. */
int client_request_length(const struct header *header)
{
    bool known = header->command == DMA_READ || header->command == DMA_WRITE;

    if (!known || (header->flags & FLAG_TYPE_MASK) != 0 || header->size < DMA_REQUEST ||
        header->size > DMA_REQUEST + DMA_MAX)
        return -EPROTO;
    return (int)header->size;
}

static int serve(struct client *client, const struct header *header,
                 const struct dma_access *access, const uint8_t *payload, uint8_t *into)
{
    bool is_write = header->command == DMA_WRITE;

    if (access->count > DMA_MAX || header->size != DMA_REQUEST + (is_write ? access->count : 0))
        return -EINVAL;
    return copy(client, access->address, is_write ? (uint8_t *)(uintptr_t)payload : into,
                access->count, is_write);
}

/* Serves a request whose payload begins at `data`, and composes the answer, or an error. */
void client_serve_request(struct client *client, const struct header *header, const uint8_t *data)
{
    struct header reply = {.id = header->id, .command = header->command, .flags = FLAG_REPLY};
    struct dma_access access;
    uint8_t *into = client->answer + DMA_REQUEST;

    memcpy(&access, data, sizeof(access));
    int error = serve(client, header, &access, data + sizeof(access), into);
    client->served++;
    if (header->flags & FLAG_NO_REPLY)
        return;
    reply.size = DMA_REQUEST;
    if (error) {
        reply.flags |= FLAG_ERROR;
        reply.error = (uint32_t)-error;
    } else if (header->command == DMA_READ) {
        reply.size += (uint32_t)access.count;
    }
    memcpy(client->answer, &reply, sizeof(reply));
    memcpy(client->answer + sizeof(reply), &access, sizeof(access));
    client->answer_length = reply.size;
}
