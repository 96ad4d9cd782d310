/* The loop: whose turn it is, and how much each may do. See engine.h. */

#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmcoredd/emu/engine/internal.h"

enum {
    WORK_REQUESTS = 64, /* of one queue, in its turn */
    FRAMES = 256,       /* from outside, in one run */
    ENGINE_TIMER = UINT16_MAX,
};

/* Gives each egress queue its turn. Returns whether some have work left that nothing holds up. */
static bool run_queues(struct engine *engine)
{
    bool left = false;

    for (uint32_t id = 0; id < ENGINE_QUEUES; id++) {
        struct egress *queue = &engine->egress[id];

        if (queue->kind == EGRESS_NONE || queue->kind == EGRESS_FREE_LIST || queue->halted ||
            queue->pidx == queue->cidx)
            continue;
        egress_run(engine, id, WORK_REQUESTS);
        left |= queue->pidx != queue->cidx && !queue->held && !queue->halted;
    }
    return left;
}

static void set_timer(const struct engine *engine, uint64_t due)
{
    struct itimerspec when = {.it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};

    if (due == UINT64_MAX)
        memset(&when, 0, sizeof(when));
    if (engine->timer_fd >= 0)
        timerfd_settime(engine->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int engine_open(struct engine *engine)
{
    struct epoll_event event = {.events = EPOLLIN};

    engine->reports = ENGINE_REPORTS;
    engine->work_fd = epoll_create1(EPOLL_CLOEXEC);
    engine->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    event.data.u32 = ENGINE_TIMER;
    if (engine->work_fd < 0 || engine->timer_fd < 0 ||
        epoll_ctl(engine->work_fd, EPOLL_CTL_ADD, engine->timer_fd, &event) < 0)
        return -errno;
    return 0;
}

void engine_close(struct engine *engine)
{
    engine->report = NULL; /* nobody hears any more */
    engine->link_changed = NULL;
    for (uint32_t id = 0; id < ENGINE_PORTS; id++) {
        engine_cut(engine, id);
        capture_close(engine, id);
    }
    if (engine->work_fd >= 0)
        close(engine->work_fd);
    if (engine->timer_fd >= 0)
        close(engine->timer_fd);
    engine->work_fd = engine->timer_fd = -1;
}

void engine_work(void *engine)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    engine_run(engine, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

void engine_run(struct engine *engine, uint64_t now)
{
    uint64_t due, retry;
    bool left;

    engine->now = now;
    engine->pending = 0;
    engine->counts.runs++;
    engine->reports = ENGINE_REPORTS;
    irq_retry(engine); /* the host may listen to more vectors now */
    left = ports_run(engine, FRAMES) > 0;
    left |= run_queues(engine);
    due = ingress_run(engine);
    retry = ports_flush(engine);
    set_timer(engine, retry < due ? retry : due);
    engine_show(engine);
    if (left)
        engine_wake(engine);
}

void engine_show(struct engine *engine)
{
    (void)engine;
}

void engine_stop(struct engine *engine, int pf)
{
    for (uint32_t id = 0; id < ENGINE_QUEUES; id++) {
        if (pf < 0 || engine->egress[id].pf == pf)
            memset(&engine->egress[id], 0, sizeof(engine->egress[id]));
        if (pf < 0 || engine->ingress[id].pf == pf)
            memset(&engine->ingress[id], 0, sizeof(engine->ingress[id]));
    }
}

void engine_halt(struct engine *engine)
{
    for (uint32_t id = 0; id < ENGINE_QUEUES; id++) {
        engine->egress[id].halted = engine->egress[id].kind != EGRESS_NONE;
        engine->ingress[id].halted = engine->ingress[id].entries != 0;
    }
}
