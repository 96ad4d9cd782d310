/* The socket: whole sends, bounded waits, descriptors in both directions. */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "pyvfio_user/client_internal.h"

enum { MAX_FDS = 16 };

uint64_t client_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool overdue(const struct client *client)
{
    return client_now() - client->progress_at > client->deadline_ms * UINT64_C(1000000);
}

/* What a failed system call means for the connection. */
static int failure(struct client *client)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return client_fail(client, -ETIMEDOUT);
    return client_fail(client, -EIO);
}

/* Wait until the socket takes more; replies that arrive meanwhile are taken in, for a server
 * that cannot send does not receive either. */
static int wait_writable(struct client *client)
{
    struct pollfd poller = {.fd = client->fd, .events = POLLOUT};

    if (client->in_flight)
        poller.events |= POLLIN;
    int ready = poll(&poller, 1, (int)client->deadline_ms);
    if (ready < 0)
        return errno == EINTR ? 0 : failure(client);
    if (ready == 0 || overdue(client))
        return client_fail(client, -ETIMEDOUT);
    if (poller.revents & POLLIN)
        return client_receive(client, false);
    return 0;
}

static void attach(struct msghdr *message, void *control, const int *fds, uint32_t fd_count)
{
    size_t size = fd_count * sizeof(int);

    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *rights = CMSG_FIRSTHDR(message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(rights), fds, size);
}

/* Send it all; `fds` go with the first byte. */
int client_send(struct client *client, const void *data, uint32_t length, const int *fds,
                uint32_t fd_count)
{
    uint8_t control[CMSG_SPACE(MAX_FDS * sizeof(int))] = {0};
    uint32_t sent = 0;

    if (fd_count > MAX_FDS)
        return -EINVAL;
    client->progress_at = client_now();
    while (sent < length) {
        struct iovec part = {(uint8_t *)(uintptr_t)data + sent, length - sent};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (fd_count && sent == 0)
            attach(&message, control, fds, fd_count);
        ssize_t done = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done > 0) {
            sent += (uint32_t)done;
            client->counters.sends++;
            client->counters.bytes_sent += (uint64_t)done;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            int error = wait_writable(client);
            if (error)
                return error;
        } else if (errno != EINTR) {
            return failure(client);
        }
    }
    return 0;
}

/* Look for replies without sleeping, for a while. Yielding lets a server on this cpu send them. */
static ssize_t spin(const struct client *client, struct msghdr *message)
{
    uint64_t until = client_now() + client->spin_us * UINT64_C(1000);

    for (;;) {
        ssize_t done = recvmsg(client->fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (done >= 0 || errno != EAGAIN || client_now() > until)
            return done;
        sched_yield();
    }
}

static ssize_t receive_some(struct client *client, struct msghdr *message, bool wait)
{
    ssize_t done = -1;

    errno = EAGAIN;
    if (wait && client->spin_us)
        done = spin(client, message);
    if (done < 0 && errno == EAGAIN)
        done = recvmsg(client->fd, message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    return done;
}

/* Receive what is there (`wait`: sleep for it if nothing is) and handle it. The payload of the
 * reply under way goes straight to its place. */
int client_receive(struct client *client, bool wait)
{
    struct iovec parts[2];
    size_t count = 0;
    uint32_t direct = 0;

    if (client->current && client->current->into) {
        direct = client->payload_left;
        parts[count++] = (struct iovec){client->current->into, direct};
    }
    parts[count++] =
        (struct iovec){client->in + client->in_length, RECEIVE_MAX - client->in_length};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};

    ssize_t done = receive_some(client, &message, wait);
    if (done < 0 && (errno == EINTR || (!wait && errno == EAGAIN)))
        return 0;
    if (done < 0)
        return failure(client);
    if (done == 0)
        return client_fail(client, -EIO);
    client->counters.bytes_received += (uint64_t)done;

    uint32_t placed = (uint32_t)done < direct ? (uint32_t)done : direct;
    if (placed) {
        client->current->into += placed;
        client->payload_left -= placed;
    }
    client->in_length += (uint32_t)done - placed;
    uint32_t before = client->in_flight;
    int error = client_parse(client);
    if (!error && client->in_flight == before)
        return overdue(client) ? client_fail(client, -ETIMEDOUT) : 0;
    client->progress_at = client_now();
    return error;
}

/* Keep the descriptors there is room for, close the others. */
static void take_fds(struct msghdr *message, int *fds, uint32_t *fd_count, uint32_t room)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof(fd), sizeof(fd));
            if (*fd_count < room)
                fds[(*fd_count)++] = fd;
            else
                close(fd);
        }
    }
}

static void drop_fds(int *fds, uint32_t *fd_count)
{
    while (*fd_count)
        close(fds[--*fd_count]);
}

/* Exactly `length` bytes, with any descriptors that come along. */
static int receive_exactly(struct client *client, void *into, uint32_t length, int *fds,
                           uint32_t *fd_count, uint32_t room)
{
    uint32_t have = 0;

    while (have < length) {
        uint8_t control[CMSG_SPACE(MAX_FDS * sizeof(int))];
        struct iovec part = {(uint8_t *)into + have, length - have};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        ssize_t done = receive_some(client, &message, true);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return failure(client);
        take_fds(&message, fds, fd_count, room);
        if (done == 0)
            return client_fail(client, -EIO);
        have += (uint32_t)done;
        client->counters.bytes_received += (uint64_t)done;
        if (have < length && overdue(client))
            return client_fail(client, -ETIMEDOUT);
    }
    return 0;
}

static int receive_reply(struct client *client, uint16_t id, uint16_t command, void *reply,
                         uint32_t capacity, int *fds, uint32_t *fd_count, uint32_t room)
{
    struct header header;

    int error = receive_exactly(client, &header, sizeof(header), fds, fd_count, room);
    if (error)
        return error;
    if ((header.flags & FLAG_TYPE_MASK) != FLAG_REPLY || header.id != id ||
        header.command != command || header.size < sizeof(header) ||
        header.size - sizeof(header) > capacity)
        return client_fail(client, -EPROTO);
    uint32_t length = header.size - (uint32_t)sizeof(header);
    error = receive_exactly(client, reply, length, fds, fd_count, room);
    if (error)
        return error;
    if (!(header.flags & FLAG_ERROR))
        return (int)length;
    if (header.error == 0 || header.error > 4095)
        return client_fail(client, -EPROTO);
    return -(int)header.error;
}

/* The reply to a call. Its descriptors are the caller's if it is granted, else they are closed. */
int client_receive_call(struct client *client, uint16_t id, uint16_t command, void *reply,
                        uint32_t capacity, int *fds, uint32_t *fd_count)
{
    uint32_t room = *fd_count;

    *fd_count = 0;
    int result = receive_reply(client, id, command, reply, capacity, fds, fd_count, room);
    if (result < 0)
        drop_fds(fds, fd_count);
    return result;
}
