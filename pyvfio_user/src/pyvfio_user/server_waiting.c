/* Clients that are connected and have not sent their version yet. All are looked at together, so
 * that a silent one costs the others nothing. Each has one deadline for its whole version. */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

enum {
    OUT_OF_FDS_MS = 100, /* from an accept() that failed to the next */
    OTHERS = 3,          /* descriptors that are waited for besides clients */
};

static void dismiss(struct server *server, uint32_t index)
{
    struct waiting *clients = server->waiting;

    server->waiting_count--;
    memmove(clients + index, clients + index + 1,
            (server->waiting_count - index) * sizeof(*clients));
}

static void turn_away(struct server *server, uint32_t index)
{
    if (server->waiting[index].length && server->callbacks.log)
        server->callbacks.log(server->callbacks.handle, LOG_WARNING,
                              "a client left or fell silent in the middle of a message");
    close(server->waiting[index].fd);
    dismiss(server, index);
}

void server_turn_all_away(struct server *server)
{
    while (server->waiting_count)
        turn_away(server, server->waiting_count - 1);
}

/* Returns the bytes that `client` has not sent yet: of its header, then of its message. 0: none;
 * -1: it sends no version. */
static ssize_t missing(const struct waiting *client)
{
    struct vfio_user_header header;

    if (client->length < sizeof(header))
        return (ssize_t)(sizeof(header) - client->length);
    memcpy(&header, client->message, sizeof(header));
    if (header.msg_size < sizeof(header) || header.msg_size > sizeof(client->message))
        return -1;
    return (ssize_t)(header.msg_size - client->length);
}

/* Receives no more than the version; descriptors are dropped. Returns false if none will come. */
static bool receive(struct waiting *client)
{
    ssize_t more;

    while ((more = missing(client)) > 0) {
        ssize_t done =
            recv(client->fd, client->message + client->length, (size_t)more, MSG_DONTWAIT);
        if (done < 0)
            return errno == EAGAIN || errno == EINTR;
        if (done == 0)
            return false;
        client->length += (uint32_t)done;
    }
    return more == 0;
}

/* Makes room for a client: the one that has been silent for longest leaves. Returns false if all
 * have sent their versions. */
static bool make_room(struct server *server)
{
    uint32_t index = 0;

    if (server->waiting_count < WAITING_MAX)
        return true;
    while (index < WAITING_MAX && missing(&server->waiting[index]) == 0)
        index++;
    if (index == WAITING_MAX)
        return false;
    turn_away(server, index);
    return true;
}

/* Lets a client in. Returns 0, also if there is none, or an errno. */
static int admit(struct server *server, int listener)
{
    if (!make_room(server))
        return 0;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return errno == EAGAIN ? 0 : errno;
    struct waiting *client = &server->waiting[server->waiting_count++];
    client->fd = fd;
    client->length = 0;
    client->ends_at = server_now_us() + server->deadline_ms * UINT64_C(1000);
    return 0;
}

/* Looks at all clients once. Returns whether one was turned away. */
static bool look(struct server *server)
{
    uint32_t before = server->waiting_count;
    uint64_t now = server_now_us();

    for (uint32_t i = before; i-- > 0;) {
        struct waiting *client = &server->waiting[i];
        bool comes = receive(client);
        if (!comes || (missing(client) != 0 && now > client->ends_at))
            turn_away(server, i);
    }
    return server->waiting_count < before;
}

/* Returns the first client whose version is here, or -1. */
static int first_ready(const struct server *server)
{
    for (uint32_t i = 0; i < server->waiting_count; i++)
        if (missing(&server->waiting[i]) == 0)
            return (int)i;
    return -1;
}

bool server_has_another_client(struct server *server, int listener)
{
    (void)admit(server, listener);
    (void)look(server);
    return first_ready(server) >= 0;
}

static int next_timeout_ms(const struct server *server)
{
    uint64_t now = server_now_us(), wait_us = PATIENCE_TICK_MS * UINT64_C(1000);

    for (uint32_t i = 0; i < server->waiting_count; i++) {
        uint64_t ends_at = server->waiting[i].ends_at;
        uint64_t left = ends_at > now ? ends_at - now : 0;
        wait_us = left < wait_us ? left : wait_us;
    }
    return (int)(wait_us / 1000) + 1;
}

/* Waits for something to look at, or a stop. Other threads get the lock meanwhile. Returns 0 or an
 * errno. */
static int wait_for_any(struct server *server, int listener, int timeout_ms)
{
    struct pollfd pollers[OTHERS + WAITING_MAX] = {{.fd = server->wake_event, .events = POLLIN},
                                                   {.fd = listener, .events = POLLIN},
                                                   {.fd = server->work.fd, .events = POLLIN}};

    if (server_work_is_due(server))
        timeout_ms = 0;
    for (uint32_t i = 0; i < server->waiting_count; i++)
        pollers[OTHERS + i] = (struct pollfd){.fd = server->waiting[i].fd, .events = POLLIN};
    pthread_mutex_unlock(&server->busy);
    int ready = poll(pollers, OTHERS + server->waiting_count, timeout_ms);
    int error = ready < 0 ? errno : 0;
    pthread_mutex_lock(&server->busy);
    server->work_ready |= (pollers[2].revents & POLLIN) != 0;
    return error;
}

/* Takes a client whose version is here out of the others: its connection, and what it has sent. */
static int take(struct server *server, uint32_t index)
{
    struct waiting *client = &server->waiting[index];
    int fd = client->fd;

    memcpy(server->stream.in, client->message, client->length);
    server->stream.in_start = 0;
    server->stream.in_end = client->length;
    dismiss(server, index);
    return fd;
}

/* Returns a client whose version has come. -1 with EINTR: handle signals and try again; with
 * ECONNABORTED: one was turned away. */
int server_next_client(struct server *server, int listener)
{
    int ready = first_ready(server), error = 0;
    bool turned_away = false;

    if (ready < 0) {
        error = wait_for_any(server, listener, next_timeout_ms(server));
        if (!error && !server->stopping)
            error = admit(server, listener);
        turned_away = look(server);
        ready = first_ready(server);
    }
    if (ready >= 0 && !server->stopping)
        return take(server, (uint32_t)ready);
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
        wait_for_any(server, -1, OUT_OF_FDS_MS);
    errno = turned_away ? ECONNABORTED : EINTR;
    return -1;
}
