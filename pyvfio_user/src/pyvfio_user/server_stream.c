/* What libvfio-user receives and sends on a connection: its system calls, taken over with ld's
 * --wrap.
 *
 * By itself the library makes three for each request, waits for ever for the rest of a message,
 * loses a client whose header comes in two pieces, takes a signal for a broken connection, and
 * leaks descriptors that were too many. Here requests that arrived together are received
 * together, and their replies are sent together. */

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

enum {
    DELAYED_MAX = 32, /* replies: the client should have something to do meanwhile */
    REPLY_PARTS = 4,  /* libvfio-user uses at most 3 */
};

static void close_fds(struct stream *stream)
{
    while (stream->fd_count)
        close(stream->fds[--stream->fd_count]);
}

/* What one client sent, and what it was not sent, does not concern the next. */
void server_clear_stream(struct server *server)
{
    struct stream *stream = &server->stream;

    close_fds(stream);
    stream->in_start = stream->in_end = stream->out_length = stream->delayed = 0;
}

/* The client is not worth waiting for: its connection ends here. */
static void give_up(struct server *server, const char *why)
{
    server_log(server, LOG_WARNING, why);
    server_disconnect(server);
}

/* Send the replies that were delayed. */
static bool flush(struct server *server, int fd)
{
    struct stream *stream = &server->stream;
    struct iovec part = {stream->out, stream->out_length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    stream->out_length = stream->delayed = 0;
    return part.iov_len == 0 || server_send(server, fd, &message);
}

/* Keep the descriptors that came. They belong to the last message that came with them: what is
 * sent with descriptors is received alone or last. */
static bool keep_fds(struct stream *stream, struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        size_t size = at->cmsg_len - CMSG_LEN(0);
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(stream->fds, CMSG_DATA(at), size); /* no more than there is room for in `control` */
        stream->fd_count = (uint32_t)(size / sizeof(int));
    }
    return !(message->msg_flags & MSG_CTRUNC);
}

/* Receive what is there, or wait for it; the buffer is empty. Returns as recvmsg() does. */
static ssize_t fill(struct server *server, int fd)
{
    struct stream *stream = &server->stream;
    char control[CMSG_SPACE(sizeof(stream->fds))];
    struct iovec part = {stream->in, sizeof(stream->in)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};

    close_fds(stream);
    if (!flush(server, fd))
        return 0;
    ssize_t done = server_receive_first(server, fd, &message);
    if (done <= 0)
        return done;
    stream->in_start = 0;
    stream->in_end = (uint32_t)done;
    if (!keep_fds(stream, &message)) {
        give_up(server, "a client sent too many descriptors");
        return 0;
    }
    return done;
}

/* The next `length` bytes: from the buffer, then from the socket. */
static bool take(struct server *server, int fd, void *into, size_t length)
{
    struct stream *stream = &server->stream;
    size_t have = stream->in_end - stream->in_start;

    have = have < length ? have : length;
    memcpy(into, stream->in + stream->in_start, have);
    stream->in_start += (uint32_t)have;
    if (have == length)
        return true;
    if (flush(server, fd) && server_receive_rest(server, fd, (char *)into + have, length - have))
        return true;
    give_up(server, "a client left or fell silent half way through a message");
    return false;
}

/* Give the library the message's descriptors. Too many for it: it refuses the message. */
static void hand_over_fds(struct stream *stream, struct msghdr *message)
{
    size_t size = stream->fd_count * sizeof(int);
    size_t payload = stream->header.msg_size - sizeof(stream->header);
    bool last = payload >= stream->in_end - stream->in_start;

    if (!stream->fd_count || !last) {
        message->msg_controllen = 0;
    } else if (CMSG_SPACE(size) > message->msg_controllen) {
        close_fds(stream);
        message->msg_flags |= MSG_CTRUNC;
    } else {
        message->msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *rights = CMSG_FIRSTHDR(message);
        *rights = (struct cmsghdr){CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(rights), stream->fds, size);
        stream->fd_count = 0;
    }
}

/* The library asks for a header. */
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct server *server = serving;

    if (!server || message->msg_iovlen != 1 ||
        message->msg_iov->iov_len != sizeof(server->stream.header))
        return __real_recvmsg(fd, message, flags);
    struct stream *stream = &server->stream;
    if (stream->in_start == stream->in_end) {
        ssize_t done = fill(server, fd);
        if (done <= 0)
            return done;
    }
    if (!take(server, fd, &stream->header, sizeof(stream->header)))
        return 0;
    memcpy(message->msg_iov->iov_base, &stream->header, sizeof(stream->header));
    message->msg_flags = 0;
    hand_over_fds(stream, message);
    return sizeof(stream->header);
}

/* The library asks for the payload of the header it got. */
ssize_t __wrap_recv(int fd, void *into, size_t length, int flags)
{
    struct server *server = serving;

    if (!server)
        return __real_recv(fd, into, length, flags);
    if (!take(server, fd, into, length))
        return 0;
    if (server_message_is_harmful(server, &server->stream.header, into, length)) {
        errno = EINVAL;
        return -1;
    }
    return (ssize_t)length;
}

/* Is the next message here, so that its reply can go with this one? */
static bool more_to_reply(const struct stream *stream)
{
    size_t have = stream->in_end - stream->in_start;
    struct vfio_user_header header;

    if (have < sizeof(header) || stream->delayed == DELAYED_MAX)
        return false;
    memcpy(&header, stream->in + stream->in_start, sizeof(header));
    return header.msg_size <= have;
}

static size_t total(const struct msghdr *message)
{
    size_t length = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++)
        length += message->msg_iov[i].iov_len;
    return length;
}

static void delay(struct stream *stream, const struct msghdr *message)
{
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const struct iovec *part = &message->msg_iov[i];
        if (part->iov_len)
            memcpy(stream->out + stream->out_length, part->iov_base, part->iov_len);
        stream->out_length += (uint32_t)part->iov_len;
    }
    stream->delayed++;
}

/* The library sends a reply: now, behind those that were delayed, or with the next. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct server *server = serving;
    struct iovec parts[1 + REPLY_PARTS];

    if (!server || message->msg_iovlen > REPLY_PARTS)
        return __real_sendmsg(fd, message, flags);
    struct stream *stream = &server->stream;
    size_t length = total(message);
    if (!message->msg_control && more_to_reply(stream) &&
        length <= sizeof(stream->out) - stream->out_length) {
        delay(stream, message);
        return (ssize_t)length;
    }
    if (message->msg_control && !flush(server, fd)) /* descriptors go with the first byte */
        return -1;
    struct msghdr all = *message;
    parts[0] = (struct iovec){stream->out, stream->out_length};
    memcpy(parts + 1, message->msg_iov, message->msg_iovlen * sizeof(*parts));
    all.msg_iov = parts;
    all.msg_iovlen = message->msg_iovlen + 1;
    stream->out_length = stream->delayed = 0;
    return server_send(server, fd, &all) ? (ssize_t)length : -1;
}
