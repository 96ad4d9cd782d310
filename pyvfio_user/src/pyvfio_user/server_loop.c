/* Serves one client after another. */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <syslog.h>

#include "pyvfio_user/server_internal.h"
#include "tran_sock.h"

enum {
    SLICE_US = 100000, /* of messages without a pause, from one look at the client to the next */
    CLOCK_EVERY = 16,  /* quick messages from one look at the clock to the next */
    GONE_US = 500000,  /* to work for a client that is gone, so that its last writes take effect */
};

static _Thread_local struct server *serving; /* by this thread */

bool server_is_mine(const struct server *server)
{
    return serving == server;
}

static int attach(struct server *server)
{
    if (vfu_attach_ctx(server->ctx) == 0) {
        server->attached = true;
        server->gone_at = 0;
        server->last_message_at = server_now_us();
        return SERVER_CLIENT;
    }
    server_do_work(server);
    return errno == EINTR ? SERVER_INTERRUPTED : SERVER_TURNED_AWAY;
}

static void drop(struct server *server, const char *why)
{
    if (server->callbacks.log)
        server->callbacks.log(server->callbacks.handle, LOG_WARNING, why);
    server->dropped = true;
    server_disconnect(server);
}

/* Drops a client that is gone and has left too much work, or that is idle while another waits. */
static void look_at_client(struct server *server)
{
    bool heard = server->heard;
    uint64_t now = server_now_us();

    server->heard = false;
    if (heard)
        server->last_message_at = now;
    if (heard && server_client_is_gone(server)) {
        server->gone_at = server->gone_at ? server->gone_at : now;
        if (now - server->gone_at > GONE_US)
            drop(server, "a client is gone: what it still asked for is dropped");
    }
    if (!heard && server->idle_ms && !server->dropped &&
        now - server->last_message_at > server->idle_ms * UINT64_C(1000) &&
        server_has_another_client(server, tran_sock_ops.get_poll_fd(server->ctx)))
        drop(server, "an idle client is cut off, because another has come");
}

/* Handles messages, with the device's work between them, until there is neither for a while, a
 * slice of time is over, or server_wake() is called. Each vfu_run_ctx() handles one message, as
 * server_serve_access() does; it returns 0 if none came or the library refused it. When the client
 * is gone, the library detaches. */
static int serve(struct server *server)
{
    uint64_t until = server_now_us() + SLICE_US;
    uint32_t turns = 0;
    bool worked;
    int done;

    do {
        server->quick = server_serve_access(server);
        done = server->quick ? 1 : vfu_run_ctx(server->ctx);
        worked = done >= 0 && server->connection >= 0 && server_do_work(server);
    } while ((done > 0 || worked) && server->connection >= 0 && !server->stopping &&
             !server->woken &&
             ((server->quick && ++turns % CLOCK_EVERY) || server_now_us() < until));
    if (server->connection < 0) {
        server->attached = false;
        return SERVER_GONE;
    }
    if (done < 0)
        server_disconnect(server); /* the next calls read what is queued, then find the end */
    look_at_client(server);
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
    eventfd_write(server->wake_event, 1);
    server_disconnect(server);
}

void server_wake(struct server *server)
{
    server->woken = true;
    eventfd_write(server->wake_event, 1);
}

int server_sleep(struct server *server, int timeout_ms)
{
    struct pollfd poller = {.fd = server->wake_event, .events = POLLIN};

    if (!server->stopping)
        (void)poll(&poller, 1, timeout_ms);
    return server->stopping;
}

void server_woken(struct server *server)
{
    eventfd_t count;

    server->woken = false;
    eventfd_read(server->wake_event, &count);
}
