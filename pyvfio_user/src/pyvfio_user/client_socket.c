/* The client's socket: bytes and descriptors, with bounded waits. When the connection is lost,
 * functions return -EIO (the server is dead) or -ETIMEDOUT (it is silent). */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "pyvfio_user/client_internal.h"

/* Limits how long one system call waits. */
int client_set_timeouts(struct client *client)
{
    uint32_t tick_ms = patience_tick_ms(&client->patience);
    struct timeval tick = {tick_ms / 1000, tick_ms % 1000 * 1000};

    return setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)) ? -errno : 0;
}

/* Returns the result of a system call that has just failed: 0 if it may be tried again. */
static int failure(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -EIO;
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

/* Sends as many bytes as the socket takes, and up to MAX_FDS descriptors with the first. Returns
 * the number of bytes. */
int client_send_some(struct client *client, const void *data, uint32_t length, const int *fds,
                     uint32_t fd_count)
{
    uint8_t control[CMSG_SPACE(MAX_FDS * sizeof(int))] = {0};
    struct iovec part = {(void *)(uintptr_t)data, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count)
        attach(&message, control, fds, fd_count);
    ssize_t done = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0)
        return failure();
    patience_moved(&client->patience);
    client->counters.sends++;
    client->counters.bytes_sent += (uint64_t)done;
    return (int)done;
}

/* Waits until the socket takes bytes or, with `or_readable`, has some. Returns whether it has. */
int client_wait_writable(struct client *client, bool or_readable)
{
    struct pollfd poller = {.fd = client->fd, .events = POLLOUT};

    if (or_readable)
        poller.events |= POLLIN;
    int ready = poll(&poller, 1, (int)patience_tick_ms(&client->patience));
    if (ready < 0)
        return failure();
    if (patience_is_over(&client->patience))
        return -ETIMEDOUT;
    return (poller.revents & POLLIN) != 0;
}

/* Waits for bytes. Returns whether there are any. */
int client_wait_readable(struct client *client, uint32_t timeout_ms)
{
    struct pollfd poller = {.fd = client->fd, .events = POLLIN};
    int ready = poll(&poller, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);

    return ready < 0 ? failure() : ready;
}

/* Polls for bytes for `spin_us`. Yielding lets a server on the same cpu send them. */
static ssize_t spin(const struct client *client, struct msghdr *message)
{
    uint64_t until = patience_now_ns() + client->spin_us * UINT64_C(1000);

    for (;;) {
        ssize_t done = recvmsg(client->fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (done >= 0 || errno != EAGAIN || patience_now_ns() > until)
            return done;
        sched_yield();
    }
}

static int receive(struct client *client, struct msghdr *message, bool wait)
{
    ssize_t done = -1;

    errno = EAGAIN;
    if (wait && client->spin_us)
        done = spin(client, message);
    if (done < 0 && errno == EAGAIN)
        done = recvmsg(client->fd, message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    if (done < 0)
        return failure();
    if (done == 0)
        return -EIO;
    patience_moved(&client->patience);
    client->counters.bytes_received += (uint64_t)done;
    return (int)done;
}

/* Receives the bytes that have arrived; with `wait`, waits if none have. Returns their number; 0
 * if none came, or a signal did. */
int client_receive_some(struct client *client, struct iovec *parts, size_t count, bool wait)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};

    return receive(client, &message, wait);
}

/* Keeps as many descriptors as there is room for, and closes the others. */
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

/* Receives exactly `length` bytes, and the descriptors that come with them. */
int client_receive_exactly(struct client *client, void *into, uint32_t length, int *fds,
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
        int done = receive(client, &message, true);
        if (done < 0)
            return done;
        if (done > 0)
            take_fds(&message, fds, fd_count, room);
        have += (uint32_t)done;
        if (have < length && patience_is_over(&client->patience))
            return -ETIMEDOUT;
    }
    return 0;
}
