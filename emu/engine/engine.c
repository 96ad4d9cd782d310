/* The loop: whose turn it is, and how much each may do. See engine.h. */

#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmcoredd/emu/engine/internal.h"

enum {
    WORK_REQUESTS = 64, /* of one queue, in its turn */
    FRAMES = 256,       /* from outside, in one run */
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

void engine_run(struct engine *engine, uint64_t now)
{
    bool left;

    engine->now = now;
    engine->pending = 0;
    engine->counts.runs++;
    left = ports_run(engine, FRAMES) == FRAMES;
    left |= run_queues(engine);
    set_timer(engine, ingress_run(engine));
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
