/* Serves one client after another. */

#include <errno.h>
#include <sys/eventfd.h>

#include "pyvfio_user/server_internal.h"

static _Thread_local struct server *serving; /* by this thread */

bool server_is_mine(const struct server *server)
{
    return serving == server;
}

static int attach(struct server *server)
{
    if (vfu_attach_ctx(server->ctx) == 0) {
        server->attached = true;
        return SERVER_CLIENT;
    }
    return errno == EINTR ? SERVER_INTERRUPTED : SERVER_TURNED_AWAY;
}

/* Handles messages until none comes for a while. Each vfu_run_ctx() handles one; it returns 0 if
 * none came or the library refused it. When the client is gone, the library detaches. */
static int serve(struct server *server)
{
    int done;

    do
        done = vfu_run_ctx(server->ctx);
    while (done > 0 && server->connection >= 0);
    if (server->connection < 0) {
        server->attached = false;
        return SERVER_GONE;
    }
    if (done < 0)
        server_disconnect(server); /* the next calls read what is queued, then find the end */
    return SERVER_INTERRUPTED;
}

int server_run(struct server *server)
{
    int event = SERVER_STOPPED;

    pthread_mutex_lock(&server->busy);
    serving = server;
    if (server->attached)
        event = serve(server);
    else if (!server->stopping)
        event = attach(server);
    serving = NULL;
    pthread_mutex_unlock(&server->busy);
    return event;
}

void server_stop(struct server *server)
{
    server->stopping = true;
    eventfd_write(server->stop_event, 1);
    server_disconnect(server);
}
