/* The client's connection, and every wait for it: for a message or the rest of one, and for a
 * client that does not read. Each wait has a deadline, or ends regularly so that the caller can
 * handle signals and a stop. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

uint64_t server_now_us(void)
{
    return patience_now_ns() / 1000;
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

/* Returns 0 when a client is connected that has sent its version. -1 with EINTR: handle signals and
 * try again. */
int server_accept(struct server *server, int listener)
{
    int fd = server_next_client(server, listener);

    if (fd < 0)
        return -1;
    patience_init(&server->patience, fd, server->deadline_ms);
    set_timeouts(server, fd);
    set_connection(server, fd);
    if (!server->stopping)
        return 0;
    server_clear_stream(server);
    server_close_connection(server); /* server_stop() may have missed it */
    errno = EINTR;
    return -1;
}

int server_peer(struct server *server, uint32_t *process, uint32_t *user)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    int error = -ENOTCONN;

    pthread_mutex_lock(&server->connection_lock);
    if (server->connection >= 0)
        error = getsockopt(server->connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ? -errno
                                                                                            : 0;
    pthread_mutex_unlock(&server->connection_lock);
    if (error)
        return error;
    *process = (uint32_t)peer.pid;
    *user = peer.uid;
    return 0;
}

/* Returns whether the client has closed the connection. What it sent before may still wait. */
bool server_client_is_gone(const struct server *server)
{
    struct pollfd poller = {.fd = server->connection};

    return poll(&poller, 1, 0) > 0 && (poller.revents & POLLHUP);
}

/* Lets threads that wait for the lock have it: with work to do, we would be back first. */
static void let_others_in(const struct server *server)
{
    struct timespec pause = {.tv_nsec = 10000};

    for (int i = 0; i < 100 && server->entering; i++)
        nanosleep(&pause, NULL);
}

static ssize_t receive_now(const struct server *server, struct msghdr *message)
{
    return recvmsg(server->connection, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
}

/* Polls for a message for `spin_us`, or until there is work or server_wake() is called. Yielding
 * lets a client on the same cpu send it. */
static ssize_t spin(struct server *server, struct msghdr *message)
{
    uint64_t until = server_now_us() + server->spin_us;

    for (bool due = false;;) {
        ssize_t done = receive_now(server, message);
        if (done >= 0 || errno != EAGAIN || due || server->woken || server_now_us() > until)
            return done;
        due = server_work_is_due(server);
        sched_yield();
    }
}

/* Sleeps until a message comes, work, or server_wake() is called. */
static ssize_t sleep_for_message(struct server *server, struct msghdr *message)
{
    struct pollfd pollers[] = {{.fd = server->connection, .events = POLLIN},
                               {.fd = server->wake_event, .events = POLLIN},
                               {.fd = server->work.fd, .events = POLLIN}};

    if (poll(pollers, 3, (int)patience_tick_ms(&server->patience)) < 0)
        return -1;
    server->work_ready = (pollers[2].revents & POLLIN) != 0;
    return receive_now(server, message);
}

/* Waits for the first bytes of a message, or for work. Other threads get the lock meanwhile. */
static ssize_t wait_for_message(struct server *server, struct msghdr *message)
{
    ssize_t done = -1;

    errno = EAGAIN;
    pthread_mutex_unlock(&server->busy);
    if (server->spin_us || server_has_work(server))
        done = spin(server, message);
    if (done < 0 && errno == EAGAIN && !server_work_is_due(server))
        done = sleep_for_message(server, message);
    int error = errno;
    let_others_in(server);
    pthread_mutex_lock(&server->busy);
    errno = error;
    return done;
}

/* Receives the beginning of a message. -1 with EAGAIN: none came; handle signals and try again. */
ssize_t server_receive_first(struct server *server, struct msghdr *message)
{
    ssize_t done = wait_for_message(server, message);

    if (done < 0 && errno == EINTR)
        errno = EAGAIN;
    return done;
}

/* Receives exactly `length` bytes. Returns false if they do not arrive. */
bool server_receive_rest(struct server *server, void *into, size_t length)
{
    size_t have = 0;

    patience_begin(&server->patience);
    while (have < length) {
        ssize_t done = recv(server->connection, (char *)into + have, length - have, 0);
        if (done == 0 || (done < 0 && errno != EINTR && errno != EAGAIN))
            return false;
        have += done > 0 ? (size_t)done : 0;
        if (done > 0)
            patience_moved(&server->patience);
        if (have < length && !wait_on(server))
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
