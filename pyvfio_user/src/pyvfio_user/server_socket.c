/* The client's connection, and every wait of the server: for a client, for a message or the rest
 * of one, and for a client that does not read. Each wait has a deadline, or ends regularly so
 * that the caller can handle signals and a stop. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

enum {
    TICK_MS = 500,       /* the longest delay of a signal that arrives just before a wait */
    OUT_OF_FDS_MS = 100, /* from an accept() that failed to the next */
};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t deadline(const struct server *server)
{
    return now_us() + server->deadline_ms * UINT64_C(1000);
}

/* Makes every later use of the connection fail, also in a thread that waits on it. */
void server_disconnect(struct server *server)
{
    pthread_mutex_lock(&server->connection_lock);
    if (server->connection >= 0)
        shutdown(server->connection, SHUT_RDWR);
    pthread_mutex_unlock(&server->connection_lock);
}

static void set_connection(struct server *server, int fd)
{
    pthread_mutex_lock(&server->connection_lock);
    if (server->connection >= 0)
        close(server->connection);
    server->connection = fd;
    pthread_mutex_unlock(&server->connection_lock);
}

void server_close_connection(struct server *server)
{
    set_connection(server, -1);
}

static void set_timeouts(const struct server *server, int fd)
{
    uint32_t tick_ms = patience_tick_ms(&server->patience);
    struct timeval tick = {tick_ms / 1000, tick_ms % 1000 * 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof(tick));
}

/* Returns whether to wait on for the client, after a part of a wait that has brought nothing. */
static bool wait_on(struct server *server)
{
    if (server->callbacks.wait)
        server->callbacks.wait(server->callbacks.handle);
    return !server->stopping && !patience_is_over(&server->patience);
}

/* Waits for a client or a stop. -1 with EINTR: handle signals and try again. */
static int wait_for_client(struct server *server, int listener, int timeout_ms)
{
    struct pollfd pollers[] = {{.fd = server->stop_event, .events = POLLIN},
                               {.fd = listener, .events = POLLIN}};

    pthread_mutex_unlock(&server->busy);
    int ready = poll(pollers, listener < 0 ? 1 : 2, timeout_ms);
    int error = errno;
    pthread_mutex_lock(&server->busy);
    if (ready < 0) {
        errno = error;
        return -1;
    }
    if (server->stopping || ready == 0) {
        errno = EINTR;
        return -1;
    }
    return 0;
}

/* Returns 0 when a client is connected. -1 with EINTR: handle signals and try again. */
int server_accept(struct server *server, int listener)
{
    if (wait_for_client(server, listener, TICK_MS) < 0)
        return -1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
            wait_for_client(server, -1, OUT_OF_FDS_MS);
        errno = error;
        return -1;
    }
    patience_init(&server->patience, fd, server->deadline_ms);
    set_timeouts(server, fd);
    set_connection(server, fd);
    if (!server->stopping)
        return 0;
    server_close_connection(server); /* server_stop() may have missed it */
    errno = EINTR;
    return -1;
}

/* Polls for a message for `spin_us`. Yielding lets a client on the same cpu send it. */
static ssize_t spin(const struct server *server, struct msghdr *message)
{
    uint64_t until = now_us() + server->spin_us;

    for (;;) {
        ssize_t done = recvmsg(server->connection, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (done >= 0 || errno != EAGAIN || now_us() > until)
            return done;
        sched_yield();
    }
}

/* Waits for the first bytes of a message. Other threads get the lock meanwhile. */
static ssize_t wait_for_message(struct server *server, struct msghdr *message)
{
    ssize_t done = -1;

    errno = EAGAIN;
    pthread_mutex_unlock(&server->busy);
    if (server->spin_us)
        done = spin(server, message);
    if (done < 0 && errno == EAGAIN)
        done = recvmsg(server->connection, message, MSG_CMSG_CLOEXEC);
    int error = errno;
    pthread_mutex_lock(&server->busy);
    errno = error;
    return done;
}

/* Receives the beginning of a message. -1 with EAGAIN: none came; handle signals and try again.
 * -1 with ETIMEDOUT: the client has not sent its version. */
ssize_t server_receive_first(struct server *server, struct msghdr *message)
{
    uint64_t negotiation_ends = server->attached ? 0 : deadline(server);
    ssize_t done;

    do {
        done = wait_for_message(server, message);
    } while (done < 0 && (errno == EAGAIN || errno == EINTR) && now_us() < negotiation_ends &&
             !server->stopping);
    if (done < 0 && (errno == EAGAIN || errno == EINTR))
        errno = server->attached ? EAGAIN : ETIMEDOUT;
    return done;
}

/* Receives exactly `length` bytes. Returns false if they do not arrive. A client that has not sent
 * its version has one deadline, whatever it does. */
bool server_receive_rest(struct server *server, void *into, size_t length)
{
    uint64_t negotiation_ends = server->attached ? UINT64_MAX : deadline(server);
    size_t have = 0;

    patience_begin(&server->patience);
    while (have < length) {
        ssize_t done = recv(server->connection, (char *)into + have, length - have, 0);
        if (done == 0 || (done < 0 && errno != EINTR && errno != EAGAIN))
            return false;
        have += done > 0 ? (size_t)done : 0;
        if (done > 0)
            patience_moved(&server->patience);
        if (have < length && (now_us() > negotiation_ends || !wait_on(server)))
            return false;
    }
    return true;
}

/* Removes the first `length` bytes. Returns false when nothing is left. */
static bool advance(struct msghdr *message, size_t length)
{
    while (message->msg_iovlen && length >= message->msg_iov->iov_len) {
        length -= message->msg_iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    if (!message->msg_iovlen)
        return false;
    message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + length;
    message->msg_iov->iov_len -= length;
    return true;
}

/* Returns whether to try again to send: the client does not read yet, or a signal came. */
static bool send_again(struct server *server, bool *waits)
{
    int error = errno;

    if (error != EINTR && error != EAGAIN)
        return false;
    if (!*waits)
        patience_begin(&server->patience);
    *waits = true;
    bool again = wait_on(server);
    errno = error;
    return again;
}

/* Sends all of `message`, which it modifies, and waits for a client that does not read. Returns
 * false with errno on failure. */
bool server_send(struct server *server, struct msghdr *message)
{
    bool more = true, waits = false;

    while (more) {
        ssize_t done = sendmsg(server->connection, message, MSG_NOSIGNAL);
        if (done < 0 && send_again(server, &waits))
            continue;
        if (done < 0)
            return false;
        if (waits)
            patience_moved(&server->patience);
        message->msg_control = NULL; /* sent with the first byte */
        message->msg_controllen = 0;
        more = advance(message, (size_t)done);
    }
    return true;
}
