/* The device's own work (work.h): when it is due, and running it. */

#include <errno.h>
#include <poll.h>

#include "pyvfio_user/server_internal.h"

enum {
    LOOK_US = 100,    /* from one look at the work's descriptor to the next, between messages */
    CLOCK_EVERY = 16, /* quick messages from one look at the clock to the next */
};

void server_set_work(struct server *server, const struct work *work)
{
    bool entered = server_enter(server);

    server->work = work ? *work : (struct work){.fd = -1};
    server->work_ready = false;
    server_leave(server, entered);
}

bool server_has_work(const struct server *server)
{
    return server->work.run != NULL;
}

static bool is_pending(const struct server *server)
{
    return server->work_ready || *server->work.pending;
}

/* Returns whether there is work to do now. Looks at the work's descriptor now and then: messages
 * may come in such numbers that the server never waits. */
bool server_work_is_due(struct server *server)
{
    if (!server_has_work(server))
        return false;
    if (is_pending(server))
        return true;
    if (server->quick && server->work_looks++ % CLOCK_EVERY)
        return false;
    uint64_t now = server_now_us();
    if (now - server->work_looked_at < LOOK_US)
        return false;
    struct pollfd poller = {.fd = server->work.fd, .events = POLLIN};
    server->work_looked_at = now;
    server->work_ready = poll(&poller, 1, 0) > 0 && (poller.revents & POLLIN);
    return server->work_ready;
}

/* Runs the work once if it is due. Returns whether it was. Keeps errno. */
bool server_do_work(struct server *server)
{
    int error = errno;
    bool due = server_work_is_due(server);

    if (due) {
        server->work_ready = false;
        server->work.run(server->work.cookie);
    }
    errno = error;
    return due;
}
