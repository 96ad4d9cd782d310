/* libvfio-user's system calls on its sockets, taken over with the linker's --wrap.
 *
 * By itself the library waits for ever for the rest of a message, loses a client whose header comes
 * in two pieces, takes a signal for a broken connection, and leaks descriptors that were too many.
 * Waiting here also frees the lock that lets other threads in, and looks for a request to stop. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

enum {
    TICK_MS = 500,       /* a signal that came just before a wait is seen this much later */
    OUT_OF_FDS_MS = 100, /* before the next accept() after one that failed */
    REPLY_PARTS = 4,     /* libvfio-user uses at most 3 */
};

_Thread_local struct server *serving;

int __real_accept(int fd, struct sockaddr *address, socklen_t *length);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __real_recv(int fd, void *into, size_t length, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_accept(int fd, struct sockaddr *address, socklen_t *length);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recv(int fd, void *into, size_t length, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

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

/* Wait for a client or for the request to stop. */
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
    if (wait_for_client(serving, fd, -1) < 0)
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

/* Look for a message without sleeping, for a while. Yielding lets a client on the same cpu send it. */
static ssize_t spin(const struct server *server, int fd, struct msghdr *message, int flags)
{
    uint64_t until = now_us() + server->spin_us;

    for (;;) {
        ssize_t done = __real_recvmsg(fd, message, flags | MSG_DONTWAIT);
        if (done >= 0 || errno != EAGAIN || now_us() > until)
            return done;
        sched_yield();
    }
}

/* The first bytes of a message. Other threads have their turn while this waits. */
static ssize_t receive_first(struct server *server, int fd, struct msghdr *message, int flags)
{
    ssize_t done = -1;

    errno = EAGAIN;
    pthread_mutex_unlock(&server->busy);
    if (server->spin_us)
        done = spin(server, fd, message, flags);
    if (done < 0 && errno == EAGAIN)
        done = __real_recvmsg(fd, message, flags);
    int error = errno;
    pthread_mutex_lock(&server->busy);
    errno = error;
    return done;
}

/* Exactly `length` bytes before `until`. Returns false with errno after that, or at the end. */
static bool receive_rest(struct server *server, int fd, void *into, size_t length, uint64_t until)
{
    size_t have = 0;

    while (have < length && !server->stopping) {
        ssize_t done = __real_recv(fd, (char *)into + have, length - have, 0);
        if (done > 0) {
            have += (size_t)done;
        } else if (done == 0) {
            errno = ENOMSG;
            return false;
        } else if (errno != EINTR && errno != EAGAIN) {
            return false;
        }
        if (have < length && now_us() > until) {
            errno = ETIMEDOUT;
            return false;
        }
    }
    errno = ECANCELED;
    return have == length;
}

/* The client is not worth waiting for: its connection ends here. */
static void give_up(struct server *server)
{
    server_log(server, LOG_WARNING,
               errno == ETIMEDOUT ? "a client fell silent half way through a message"
                                  : "a client left half way through a message");
    server_disconnect(server);
}

static void close_all(struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof(fd), sizeof(fd));
            close(fd);
        }
    }
}

/* The library asks for a header. */
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct server *server = serving;

    if (!server)
        return __real_recvmsg(fd, message, flags);
    struct iovec *header = message->msg_iov;
    uint64_t negotiation_ends = server->attached ? 0 : deadline(server);
    ssize_t done;
    do {
        done = receive_first(server, fd, message, flags | MSG_CMSG_CLOEXEC);
    } while (done < 0 && (errno == EAGAIN || errno == EINTR) && now_us() < negotiation_ends &&
             !server->stopping);
    if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
        server->quiet = server->attached;
        errno = server->attached ? EINTR : ETIMEDOUT;
        return -1;
    }
    if (done <= 0)
        return done;
    if (message->msg_flags & MSG_CTRUNC)
        close_all(message); /* the library refuses the message and forgets them */
    size_t have = (size_t)done;
    if (have < header->iov_len && !receive_rest(server, fd, (char *)header->iov_base + have,
                                                header->iov_len - have, deadline(server))) {
        give_up(server);
        return 0;
    }
    if (header->iov_len == sizeof(server->header))
        memcpy(&server->header, header->iov_base, sizeof(server->header));
    return (ssize_t)header->iov_len;
}

/* The library asks for the payload of the header it got. */
ssize_t __wrap_recv(int fd, void *into, size_t length, int flags)
{
    struct server *server = serving;

    if (!server)
        return __real_recv(fd, into, length, flags);
    ssize_t done = __real_recv(fd, into, length, flags | MSG_DONTWAIT);
    size_t have = done > 0 ? (size_t)done : 0;
    if (done == 0 || (have < length && !receive_rest(server, fd, (char *)into + have, length - have,
                                                     deadline(server)))) {
        give_up(server);
        return 0;
    }
    if (server_message_is_harmful(server, &server->header, into, length)) {
        errno = EINVAL;
        return -1;
    }
    return (ssize_t)length;
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

/* Whole messages, whatever signals come. A client that does not read is waited for SO_SNDTIMEO. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec parts[REPLY_PARTS];
    struct msghdr rest = *message;
    ssize_t sent = 0;
    bool more = true;

    if (!serving || message->msg_iovlen > REPLY_PARTS)
        return __real_sendmsg(fd, message, flags);
    memcpy(parts, message->msg_iov, message->msg_iovlen * sizeof(*parts));
    rest.msg_iov = parts;
    while (more) {
        ssize_t done = __real_sendmsg(fd, &rest, flags);
        if (done < 0 && errno == EINTR && !serving->stopping)
            continue;
        if (done < 0)
            return sent ? sent : -1;
        sent += done;
        rest.msg_control = NULL; /* went with the first byte */
        rest.msg_controllen = 0;
        more = advance(&rest, (size_t)done);
    }
    return sent;
}
