/* A server's waiting: for a client, for a message, for the rest of one, for a client that does
 * not read. Each has a deadline, or looks from time to time for signals and the request to stop. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

enum {
    TICK_MS = 500,       /* a signal that came just before a wait is seen this much later */
    OUT_OF_FDS_MS = 100, /* before the next accept() after one that failed */
};

_Thread_local struct server *serving;

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

/* Make every later use of the connection fail, in this thread or in one that waits. */
void server_disconnect(struct server *server)
{
    pthread_mutex_lock(&server->stopping_lock);
    if (server->connection >= 0)
        shutdown(server->connection, SHUT_RDWR);
    pthread_mutex_unlock(&server->stopping_lock);
}

void server_forget_connection(struct server *server)
{
    server_clear_stream(server);
    pthread_mutex_lock(&server->stopping_lock);
    if (server->connection >= 0)
        close(server->connection);
    server->connection = -1;
    pthread_mutex_unlock(&server->stopping_lock);
}

static void keep_connection(struct server *server, int fd)
{
    uint32_t tick_ms = server->deadline_ms < TICK_MS ? server->deadline_ms : TICK_MS;
    struct timeval tick = {0, tick_ms * 1000};
    struct timeval patience = {server->deadline_ms / 1000, server->deadline_ms % 1000 * 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    pthread_mutex_lock(&server->stopping_lock);
    server->connection = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    pthread_mutex_unlock(&server->stopping_lock);
}

/* Wait for a client or for the request to stop. -1 with EINTR: look at signals and come back. */
static int wait_for_client(struct server *server, int fd, int timeout_ms)
{
    struct pollfd pollers[] = {{.fd = server->stop_event, .events = POLLIN},
                               {.fd = fd, .events = POLLIN}};

    pthread_mutex_unlock(&server->busy);
    int ready = poll(pollers, fd < 0 ? 1 : 2, timeout_ms);
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

int __wrap_accept(int fd, struct sockaddr *address, socklen_t *length)
{
    if (!serving)
        return __real_accept(fd, address, length);
    if (wait_for_client(serving, fd, TICK_MS) < 0)
        return -1;
    int connection = accept4(fd, address, length, SOCK_CLOEXEC);
    if (connection >= 0) {
        keep_connection(serving, connection);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        int error = errno;
        wait_for_client(serving, -1, OUT_OF_FDS_MS);
        errno = error;
    }
    return connection;
}

/* Look for a message without sleeping, for a while. Yielding lets a client on this cpu send it. */
static ssize_t spin(const struct server *server, int fd, struct msghdr *message)
{
    uint64_t until = now_us() + server->spin_us;

    for (;;) {
        ssize_t done = __real_recvmsg(fd, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (done >= 0 || errno != EAGAIN || now_us() > until)
            return done;
        sched_yield();
    }
}

/* The first bytes of a message. Other threads have their turn while this waits. */
static ssize_t wait_for_message(struct server *server, int fd, struct msghdr *message)
{
    ssize_t done = -1;

    errno = EAGAIN;
    pthread_mutex_unlock(&server->busy);
    if (server->spin_us)
        done = spin(server, fd, message);
    if (done < 0 && errno == EAGAIN)
        done = __real_recvmsg(fd, message, MSG_CMSG_CLOEXEC);
    int error = errno;
    pthread_mutex_lock(&server->busy);
    errno = error;
    return done;
}

/* The beginning of a message. -1 with EINTR: look at signals and come back; with ETIMEDOUT: a
 * client that has yet to say its version is silent. */
ssize_t server_receive_first(struct server *server, int fd, struct msghdr *message)
{
    uint64_t negotiation_ends = server->attached ? 0 : deadline(server);
    ssize_t done;

    do {
        done = wait_for_message(server, fd, message);
    } while (done < 0 && (errno == EAGAIN || errno == EINTR) && now_us() < negotiation_ends &&
             !server->stopping);
    if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
        server->quiet = server->attached; /* the library reports an error, which this is not */
        errno = server->attached ? EINTR : ETIMEDOUT;
    }
    return done;
}

/* Exactly `length` bytes, before the deadline. Returns false if they do not come. */
bool server_receive_rest(struct server *server, int fd, void *into, size_t length)
{
    uint64_t until = deadline(server);
    size_t have = 0;

    while (have < length) {
        ssize_t done = __real_recv(fd, (char *)into + have, length - have, 0);
        if (done == 0 || (done < 0 && errno != EINTR && errno != EAGAIN))
            return false;
        have += done > 0 ? (size_t)done : 0;
        if (have < length && (server->stopping || now_us() > until))
            return false;
    }
    return true;
}

/* Leave out the first `length` bytes. Returns false when nothing is left. */
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

/* All of `message` (which is used up), whatever signals come. A client that does not read is
 * waited for SO_SNDTIMEO. Returns false with errno. */
bool server_send(struct server *server, int fd, struct msghdr *message)
{
    bool more = true;

    while (more) {
        ssize_t done = __real_sendmsg(fd, message, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR && !server->stopping)
            continue;
        if (done < 0)
            return false;
        message->msg_control = NULL; /* went with the first byte */
        message->msg_controllen = 0;
        more = advance(message, (size_t)done);
    }
    return true;
}
