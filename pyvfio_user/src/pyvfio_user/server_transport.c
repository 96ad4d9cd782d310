/* Our transport for libvfio-user: what its `struct transport_ops` (lib/tran.h) asks of a socket.
 *
 * The library's own transport makes three system calls for each request, waits for ever for the
 * rest of a message, loses a client whose header arrives in two pieces, and leaks descriptors if
 * there are too many. Ours receives together what arrived together, sends the replies together,
 * and bounds every wait. It leaves the listening socket to the library's. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"
#include "tran.h"
#include "tran_sock.h"

enum {
    DELAYED_MAX = 32, /* replies: the client should have something to do meanwhile */
    REPLY_PARTS = 4,  /* libvfio-user uses at most 2 */
};
_Static_assert(FDS_MAX <= VFIO_USER_CLIENT_MAX_MSG_FDS_LIMIT, "the library has room for them");

/* Receiving */

static void close_fds(struct stream *stream)
{
    while (stream->fd_count)
        close(stream->fds[--stream->fd_count]);
}

/* Ends the connection with a client that breaks the protocol. */
static void give_up(struct server *server, const char *why)
{
    if (server->callbacks.log)
        server->callbacks.log(server->callbacks.handle, LOG_WARNING, why);
    server_disconnect(server);
}

/* Sends the delayed replies. */
static bool flush(struct server *server)
{
    struct stream *stream = &server->stream;
    struct iovec part = {stream->out, stream->out_length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    stream->out_length = stream->delayed = 0;
    return part.iov_len == 0 || server_send(server, &message);
}

/* Keeps the received descriptors. The kernel ends a receive at a message with descriptors, so they
 * belong to the last message in the buffer. Returns false if there were too many. */
static bool keep_fds(struct stream *stream, struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        size_t size = at->cmsg_len - CMSG_LEN(0);
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(stream->fds, CMSG_DATA(at), size); /* `control` has room for FDS_MAX */
        stream->fd_count = (uint32_t)(size / sizeof(int));
    }
    return !(message->msg_flags & MSG_CTRUNC);
}

/* Fills the empty buffer, waiting if nothing has arrived. Returns 0 or an errno; ENOMSG: the client
 * is gone. */
static int fill(struct server *server)
{
    struct stream *stream = &server->stream;
    char control[CMSG_SPACE(sizeof(stream->fds))];
    struct iovec part = {stream->in, sizeof(stream->in)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};

    close_fds(stream);
    if (!flush(server))
        return ENOMSG;
    ssize_t done = server_receive_first(server, &message);
    if (done <= 0)
        return done < 0 ? errno : ENOMSG;
    stream->in_start = 0;
    stream->in_end = (uint32_t)done;
    if (keep_fds(stream, &message))
        return 0;
    give_up(server, "a client sent too many descriptors");
    return ENOMSG;
}

/* Copies the next `length` bytes from the buffer, then from the socket. */
static bool take(struct server *server, void *into, size_t length)
{
    struct stream *stream = &server->stream;
    size_t have = stream->in_end - stream->in_start;

    have = have < length ? have : length;
    memcpy(into, stream->in + stream->in_start, have);
    stream->in_start += (uint32_t)have;
    if (have == length)
        return true;
    if (flush(server) && server_receive_rest(server, (char *)into + have, length - have))
        return true;
    give_up(server, "a client left or fell silent half way through a message");
    return false;
}

/* Moves the descriptors of the message under `header` to `fds`. Returns how many there are. */
static size_t take_fds(struct stream *stream, const struct vfio_user_header *header, int *fds)
{
    size_t payload = header->msg_size - sizeof(*header);
    size_t count = stream->fd_count;

    if (payload < stream->in_end - stream->in_start) /* not the last message in the buffer */
        return 0;
    memcpy(fds, stream->fds, count * sizeof(*fds));
    stream->fd_count = 0;
    return count;
}

static int take_header(struct server *server, struct vfio_user_header *header)
{
    struct stream *stream = &server->stream;
    int error = stream->in_start == stream->in_end ? fill(server) : 0;

    return error || take(server, header, sizeof(*header)) ? error : ENOMSG;
}

/* `*fd_count` is VFIO_USER_CLIENT_MAX_MSG_FDS_LIMIT on entry. EAGAIN: no message has come. */
static int get_request_header(vfu_ctx_t *ctx, struct vfio_user_header *header, int *fds,
                              size_t *fd_count)
{
    struct server *server = ctx->pvt;
    int error = take_header(server, header);

    if (error)
        return ERROR_INT(error);
    *fd_count = take_fds(&server->stream, header, fds);
    return 0;
}

/* The library frees the body; `in.iov.iov_len` is at most SERVER_MAX_MSG_SIZE. */
static int recv_body(vfu_ctx_t *ctx, vfu_msg_t *message)
{
    struct server *server = ctx->pvt;
    void *body = malloc(message->in.iov.iov_len);
    int error = 0;

    if (!body)
        return -1;
    if (!take(server, body, message->in.iov.iov_len))
        error = ENOMSG;
    else if (server_message_is_harmful(server, &message->hdr, body, message->in.iov.iov_len))
        error = EINVAL;
    if (!error) {
        message->in.iov.iov_base = body;
        return 0;
    }
    free(body);
    return ERROR_INT(error);
}

/* A whole message: the library uses this only for the client's version. */
static int recv_msg(vfu_ctx_t *ctx, vfu_msg_t *message)
{
    struct server *server = ctx->pvt;
    struct vfio_user_header *header = &message->hdr;
    int error = take_header(server, header);

    if (error)
        return ERROR_INT(error);
    if (server->stream.fd_count || header->flags.type != VFIO_USER_F_TYPE_COMMAND ||
        header->msg_size < sizeof(*header) || header->msg_size > SERVER_MAX_MSG_SIZE)
        return ERROR_INT(EINVAL);
    message->in.iov.iov_len = header->msg_size - sizeof(*header);
    return message->in.iov.iov_len ? recv_body(ctx, message) : 0;
}

/* Replying */

/* A reply: what was delayed, its header, its data. */
struct reply {
    struct vfio_user_header header;
    struct iovec parts[2 + REPLY_PARTS];
    size_t count;
};

static int compose(struct reply *reply, const vfu_msg_t *message, int error)
{
    const struct iovec *data = message->out_iovecs ? message->out_iovecs : &message->out.iov;
    size_t count = message->out_iovecs ? message->nr_out_iovecs : 1;
    size_t size = sizeof(reply->header);

    if (count > REPLY_PARTS || message->out.nr_fds > FDS_MAX)
        return -1;
    for (size_t i = 0; i < count; i++)
        size += data[i].iov_len;
    memcpy(reply->parts + 2, data, count * sizeof(*data));
    reply->parts[1] = (struct iovec){&reply->header, sizeof(reply->header)};
    reply->count = 2 + count;
    reply->header = (struct vfio_user_header){.msg_id = message->hdr.msg_id,
                                              .cmd = message->hdr.cmd,
                                              .msg_size = (uint32_t)size,
                                              .flags.type = VFIO_USER_F_TYPE_REPLY,
                                              .flags.error = error != 0,
                                              .error_no = (uint32_t)error};
    return 0;
}

/* Has the whole next message arrived, so that its reply can be sent together with this one? */
static bool more_to_reply(const struct stream *stream)
{
    size_t have = stream->in_end - stream->in_start;
    struct vfio_user_header header;

    if (have < sizeof(header) || stream->delayed == DELAYED_MAX)
        return false;
    memcpy(&header, stream->in + stream->in_start, sizeof(header));
    return header.msg_size <= have;
}

static void delay(struct stream *stream, const struct reply *reply)
{
    for (size_t i = 1; i < reply->count; i++) {
        const struct iovec *part = &reply->parts[i];
        if (part->iov_len)
            memcpy(stream->out + stream->out_length, part->iov_base, part->iov_len);
        stream->out_length += (uint32_t)part->iov_len;
    }
    stream->delayed++;
}

static bool send_now(struct server *server, struct reply *reply)
{
    struct stream *stream = &server->stream;
    struct msghdr message = {.msg_iov = reply->parts, .msg_iovlen = reply->count};

    reply->parts[0] = (struct iovec){stream->out, stream->out_length};
    stream->out_length = stream->delayed = 0;
    return server_send(server, &message);
}

/* Descriptors travel with the first byte, so what was delayed is sent before. */
static bool send_with_fds(struct server *server, struct reply *reply, const vfu_msg_t *request)
{
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr header;
    } control = {{0}};
    size_t size = request->out.nr_fds * sizeof(int);
    struct msghdr message = {.msg_iov = reply->parts + 1,
                             .msg_iovlen = reply->count - 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(size)};

    control.header = (struct cmsghdr){CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), request->out.fds, size);
    return flush(server) && server_send(server, &message);
}

/* The library frees the data after this. ECONNRESET: it resets the device and detaches. */
static int reply_to(vfu_ctx_t *ctx, vfu_msg_t *message, int error)
{
    struct server *server = ctx->pvt;
    struct stream *stream = &server->stream;
    struct reply reply;
    bool sent = true;

    if (compose(&reply, message, error) < 0)
        return ERROR_INT(EMSGSIZE);
    if (message->out.nr_fds)
        sent = send_with_fds(server, &reply, message);
    else if (more_to_reply(stream) &&
             reply.header.msg_size <= sizeof(stream->out) - stream->out_length)
        delay(stream, &reply);
    else
        sent = send_now(server, &reply);
    return sent ? 0 : ERROR_INT(ECONNRESET);
}

/* Connecting */

/* A client's unprocessed bytes and unsent replies end with its connection. */
static void detach(vfu_ctx_t *ctx)
{
    struct server *server = ctx->pvt;
    struct stream *stream = &server->stream;

    close_fds(stream);
    stream->in_start = stream->in_end = stream->out_length = stream->delayed = 0;
    server_close_connection(server);
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

/* Requests of the server, which only DMA to memory without a descriptor would need. */
static int send_msg(vfu_ctx_t *ctx, uint16_t id, enum vfio_user_command command, void *data,
                    size_t length, struct vfio_user_header *header, void *reply, size_t room)
{
    (void)ctx, (void)id, (void)command, (void)data, (void)length;
    (void)header, (void)reply, (void)room;
    return ERROR_INT(ENOTSUP);
}

static struct transport_ops transport = {
    .get_poll_fd = get_poll_fd,
    .attach = attach,
    .get_request_header = get_request_header,
    .recv_body = recv_body,
    .reply = reply_to,
    .recv_msg = recv_msg,
    .send_msg = send_msg,
    .detach = detach,
    .fini = fini,
};

/* Right after vfu_create_ctx(), which has made the library's transport listen. */
void server_set_transport(struct server *server)
{
    server->ctx->tran = &transport;
}
