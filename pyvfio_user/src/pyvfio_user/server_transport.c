/* Our transport for libvfio-user, an implementation of its `struct transport_ops` (lib/tran.h).
 *
 * The library's own transport makes three system calls for each request, waits forever for the
 * rest of a message, loses a client whose header arrives in two pieces, and leaks descriptors if
 * there are too many. Ours sits on a buffered stream with deadlines (server_stream.c). The
 * library's transport still owns the listening socket. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"
#include "tran.h"
#include "tran_sock.h"

enum { REPLY_PARTS = 4 }; /* libvfio-user uses at most 2, and a version one more */
static const char DMA_FULL[] =
    "the client (a guest with many memory devices?) maps more DMA regions than this server takes; "
    "the device cannot reach the others";
_Static_assert(FDS_MAX <= VFIO_USER_CLIENT_MAX_MSG_FDS_LIMIT, "the library has room for them");

/* Receiving */

/* `fds` has room for VFIO_USER_CLIENT_MAX_MSG_FDS_LIMIT. EAGAIN: no message has come. */
static int get_request_header(vfu_ctx_t *ctx, struct vfio_user_header *header, int *fds,
                              size_t *fd_count)
{
    struct server *server = ctx->pvt;
    struct stream *stream = &server->stream;
    int error = server->dropped || (server->attached && server->stopping) ? ENOMSG : 0;

    if (!error && stream->in_start == stream->in_end)
        error = server_fill(server);
    if (!error && !server_take(server, header, sizeof(*header)))
        error = ENOMSG;
    if (error)
        return ERROR_INT(error);
    server->heard = true;
    server->messages++;
    *fd_count = stream->fd_count ? server_take_fds(server, header, fds) : 0;
    return 0;
}

/* Returns whether the client has mapped all the DMA regions that it may, and says so once. */
static bool dma_is_full(struct server *server)
{
    if (server->dma_regions < DMA_REGIONS)
        return false;
    if (!server->dma_full_said && server->callbacks.log)
        server->callbacks.log(server->callbacks.handle, LOG_WARNING, DMA_FULL);
    server->dma_full_said = true;
    return true;
}

/* Fails with errno 0 if nothing is left to do: the library replies with the errno. It frees the
 * body; `in.iov.iov_len` is at most SERVER_MAX_MSG_SIZE. */
static int recv_body(vfu_ctx_t *ctx, vfu_msg_t *message)
{
    struct server *server = ctx->pvt;
    void *body = malloc(message->in.iov.iov_len);
    int error;
    bool done = false;

    if (!body)
        return -1;
    if (message->hdr.cmd == VFIO_USER_DEVICE_SET_IRQS)
        server->work_ready = true;
    if (!server_take(server, body, message->in.iov.iov_len))
        error = ENOMSG;
    else if (message->hdr.cmd == VFIO_USER_DMA_MAP && dma_is_full(server))
        error = ENOSPC;
    else
        error = server_refuse(server, message, body);
    if (!error && server_sets_irqs(message, body)) {
        error = server_set_irqs_of(server, message, body);
        done = true;
    }
    if (!error && !done) {
        message->in.iov.iov_base = body;
        return 0;
    }
    free(body);
    return ERROR_INT(error);
}

/* Receives a whole message. The library uses this only for the client's version. */
static int recv_msg(vfu_ctx_t *ctx, vfu_msg_t *message)
{
    struct vfio_user_header *header = &message->hdr;
    int fds[FDS_MAX];
    size_t fd_count;

    if (get_request_header(ctx, header, fds, &fd_count) < 0)
        return -1;
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    if (fd_count || header->flags.type != VFIO_USER_F_TYPE_COMMAND ||
        header->msg_size < sizeof(*header) || header->msg_size > SERVER_MAX_MSG_SIZE)
        return ERROR_INT(EINVAL);
    message->in.iov.iov_len = header->msg_size - sizeof(*header);
    return message->in.iov.iov_len ? recv_body(ctx, message) : 0;
}

/* Replying */

/* Announces the limit of DMA regions, which libvfio-user keeps to itself, in the version's JSON.
 * `parts` has room for one more. Returns the number of parts. */
static size_t announce(struct iovec *parts, size_t count, char *text, size_t room)
{
    static const char capabilities[] = "{\"capabilities\":{";
    const size_t length = sizeof(capabilities) - 1;
    struct iovec *json = &parts[1];

    if (count != 2 || json->iov_len < length || memcmp(json->iov_base, capabilities, length) != 0)
        return count;
    int size = snprintf(text, room, "%s\"max_dma_maps\":%d,", capabilities, DMA_REGIONS);
    parts[2] = (struct iovec){(char *)json->iov_base + length, json->iov_len - length};
    parts[1] = (struct iovec){text, (size_t)size};
    return 3;
}

static struct vfio_user_header reply_header(const vfu_msg_t *message, size_t size, int error)
{
    return (struct vfio_user_header){.msg_id = message->hdr.msg_id,
                                     .cmd = message->hdr.cmd,
                                     .msg_size = (uint32_t)size,
                                     .flags.type = VFIO_USER_F_TYPE_REPLY,
                                     .flags.error = error != 0,
                                     .error_no = (uint32_t)error};
}

/* Sets the reply's data and returns the number of parts. The library's own data is wrong in two
 * cases: an error has none, and a successful access to 0 bytes repeats the request. */
static size_t reply_data(const vfu_msg_t *message, int error, struct iovec *parts)
{
    uint16_t command = message->hdr.cmd;
    const struct iovec *data = message->out_iovecs ? message->out_iovecs : &message->out.iov;
    size_t count = message->out_iovecs ? message->nr_out_iovecs : 1;

    if (error)
        return 0;
    if (count < REPLY_PARTS)
        memcpy(parts, data, count * sizeof(*data));
    if (!message->out_iovecs && data->iov_len == 0 &&
        (command == VFIO_USER_REGION_READ || command == VFIO_USER_REGION_WRITE))
        parts[0] = (struct iovec){message->in.iov.iov_base, sizeof(struct vfio_user_region_access)};
    return count;
}

/* The library frees the data afterwards. On ECONNRESET it resets the device and detaches. */
static int reply(vfu_ctx_t *ctx, vfu_msg_t *message, int error)
{
    struct server *server = ctx->pvt;
    struct iovec parts[2 + REPLY_PARTS]; /* [0]: see server_send_reply() */
    size_t count = reply_data(message, error, parts + 2);
    size_t fd_count = error ? 0 : message->out.nr_fds;
    struct vfio_user_header header;
    char text[64]; /* see announce() */
    size_t size = sizeof(header);
    bool sent;

    if (count >= REPLY_PARTS || fd_count > FDS_MAX)
        return ERROR_INT(EMSGSIZE);
    if (message->hdr.cmd == VFIO_USER_VERSION)
        count = announce(parts + 2, count, text, sizeof(text));
    for (size_t i = 0; i < count; i++)
        size += parts[2 + i].iov_len;
    header = reply_header(message, size, error);
    parts[1] = (struct iovec){&header, sizeof(header)};
    if (fd_count)
        sent = server_send_reply_with_fds(server, parts, 2 + count, message->out.fds, fd_count);
    else
        sent = server_send_reply(server, parts, 2 + count);
    return sent ? 0 : ERROR_INT(ECONNRESET);
}

/* Connecting */

static void detach(vfu_ctx_t *ctx)
{
    struct server *server = ctx->pvt;

    server_clear_stream(server);
    server_close_connection(server);
    server->dma_full_said = server->dropped = false;
}

/* The library's transport never has a connection here: its descriptor is the listening one. */
static int attach(vfu_ctx_t *ctx)
{
    if (server_accept(ctx->pvt, tran_sock_ops.get_poll_fd(ctx)) < 0)
        return -1;
    if (tran_negotiate(ctx) == 0)
        return 0;
    int error = errno;
    detach(ctx);
    return ERROR_INT(error);
}

static int get_poll_fd(vfu_ctx_t *ctx)
{
    struct server *server = ctx->pvt;

    return server->attached ? server->connection : tran_sock_ops.get_poll_fd(ctx);
}

static void fini(vfu_ctx_t *ctx)
{
    tran_sock_ops.fini(ctx);
}

/* Sends a request to the client. Only DMA to memory without a descriptor would need that. */
static int send_msg(vfu_ctx_t *ctx, uint16_t id, enum vfio_user_command command, void *data,
                    size_t length, struct vfio_user_header *header, void *into, size_t room)
{
    (void)ctx, (void)id, (void)command, (void)data, (void)length;
    (void)header, (void)into, (void)room;
    return ERROR_INT(ENOTSUP);
}

static struct transport_ops transport = {
    .get_poll_fd = get_poll_fd,
    .attach = attach,
    .get_request_header = get_request_header,
    .recv_body = recv_body,
    .reply = reply,
    .recv_msg = recv_msg,
    .send_msg = send_msg,
    .detach = detach,
    .fini = fini,
};

/* Call it right after vfu_create_ctx(), which makes the library's transport listen. */
void server_set_transport(struct server *server)
{
    server->ctx->tran = &transport;
}
