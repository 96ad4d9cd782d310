/* The bytes between a client and the server, buffered: messages that arrive together are received
 * together, and their replies are sent together. */

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

enum { DELAYED_MAX = 128 }; /* replies; more would leave the client without work */

static void close_fds(struct stream *stream)
{
    while (stream->fd_count)
        close(stream->fds[--stream->fd_count]);
}

/* Drops a client's unprocessed bytes and unsent replies, which end with its connection. */
void server_clear_stream(struct server *server)
{
    struct stream *stream = &server->stream;

    close_fds(stream);
    stream->in_start = stream->in_end = stream->out_length = stream->delayed = 0;
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

/* Fills the empty buffer, waiting if nothing has arrived. Returns 0 or an errno: ENOMSG if the
 * client is gone. */
int server_fill(struct server *server)
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

/* Copies the next `length` bytes from the buffer, then from the socket. Returns false if they do
 * not arrive, which has ended the connection. */
bool server_take(struct server *server, void *into, size_t length)
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
    give_up(server, "a client left or fell silent in the middle of a message");
    return false;
}

/* Moves the descriptors of the message that `header` begins to `fds` (FDS_MAX). Returns
 * their number. */
size_t server_take_fds(struct server *server, const struct vfio_user_header *header, int *fds)
{
    struct stream *stream = &server->stream;
    size_t payload = header->msg_size - sizeof(*header);
    size_t count = stream->fd_count;

    if (payload < stream->in_end - stream->in_start) /* not the last message in the buffer */
        return 0;
    memcpy(fds, stream->fds, count * sizeof(*fds));
    stream->fd_count = 0;
    return count;
}

/* Returns whether the whole next message has arrived. */
static bool is_whole(const struct stream *stream)
{
    size_t have = stream->in_end - stream->in_start;
    struct vfio_user_header header;

    if (have < sizeof(header))
        return false;
    memcpy(&header, stream->in + stream->in_start, sizeof(header));
    return header.msg_size <= have;
}

/* Returns whether a reply can be sent with that to the next message. */
static bool more_to_reply(const struct stream *stream)
{
    return stream->delayed < DELAYED_MAX && is_whole(stream);
}

/* Returns the next message if it has arrived as a whole, in at least `length` bytes, and without
 * descriptors; else NULL. */
uint8_t *server_whole_message(struct server *server, size_t length)
{
    struct stream *stream = &server->stream;

    if (stream->fd_count || stream->in_end - stream->in_start < length || !is_whole(stream))
        return NULL;
    return stream->in + stream->in_start;
}

/* Takes that message, of `length` bytes, which stays where it is until the buffer is filled. */
void server_skip_message(struct server *server, size_t length)
{
    server->stream.in_start += (uint32_t)length;
    server->heard = true;
    server->messages++;
}

/* Returns zeroed room for a reply to delay; NULL if there is none, or it is time to send those that
 * are delayed. */
uint8_t *server_reply_room(struct server *server, size_t length)
{
    struct stream *stream = &server->stream;

    if (stream->delayed == DELAYED_MAX || length > sizeof(stream->out) - stream->out_length)
        return NULL;
    return memset(stream->out + stream->out_length, 0, length);
}

/* Adds the reply of `length` bytes that was put there. */
void server_delay_reply(struct server *server, size_t length)
{
    server->stream.out_length += (uint32_t)length;
    server->stream.delayed++;
}

/* Returns false if there is no room. */
static bool delay(struct stream *stream, const struct iovec *parts, size_t count)
{
    size_t length = 0;

    for (size_t i = 0; i < count; i++)
        length += parts[i].iov_len;
    if (length > sizeof(stream->out) - stream->out_length)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].iov_len)
            memcpy(stream->out + stream->out_length, parts[i].iov_base, parts[i].iov_len);
        stream->out_length += (uint32_t)parts[i].iov_len;
    }
    stream->delayed++;
    return true;
}

/* Sends a reply, whose parts begin at `parts` + 1; parts[0] is for the replies that were delayed.
 * If the next message is here, delays this one too. Returns false with errno. */
bool server_send_reply(struct server *server, struct iovec *parts, size_t count)
{
    struct stream *stream = &server->stream;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};

    if (more_to_reply(stream) && delay(stream, parts + 1, count - 1))
        return true;
    parts[0] = (struct iovec){stream->out, stream->out_length};
    stream->out_length = stream->delayed = 0;
    return server_send(server, &message);
}

/* Sends a reply with up to FDS_MAX descriptors. They travel with the first byte, so the delayed
 * replies are sent first. */
bool server_send_reply_with_fds(struct server *server, struct iovec *parts, size_t count,
                                const int *fds, size_t fd_count)
{
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr header;
    } control = {{0}};
    size_t size = fd_count * sizeof(int);
    struct msghdr message = {.msg_iov = parts + 1,
                             .msg_iovlen = count - 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(size)};

    control.header = (struct cmsghdr){CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fds, size);
    return flush(server) && server_send(server, &message);
}
