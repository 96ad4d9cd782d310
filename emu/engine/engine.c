/* The loop: whose turn it is, and how much each may do. See engine.h. */

#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmcoredd/emu/engine/internal.h"

enum {
    TURN = 64,                 /* work requests and frames of one queue, in its turn */
    RUN = 512,                 /* of all queues, in one run */
    FRAMES = 256,              /* from outside, in one run */
    PENDING_REST = 2,          /* of `pending`: only what the last run left is to be done */
    ENGINE_OTHER = UINT16_MAX, /* an event of `work_fd` that is no wire's */
};

/* Returns the first queue of a set from `from` on, around the end; ENGINE_QUEUES: it is empty. */
static uint32_t next_of(const uint64_t *set, uint32_t from)
{
    enum { WORDS = ENGINE_QUEUES / 64 };

    for (uint32_t i = 0; i <= WORDS; i++) {
        uint32_t word = (from / 64 + i) % WORDS;
        uint64_t bits = i ? set[word] : set[word] & ~(uint64_t)0 << from % 64;

        if (bits)
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return ENGINE_QUEUES;
}

/* Gives an egress queue its turn. Returns whether it has work that nothing holds up. A turn in
 * which it only tried again, and is still held up, is in vain. */
static bool run_queue(struct engine *engine, uint32_t id, uint32_t *budget)
{
    struct egress *queue = &engine->egress[id];
    const uint32_t cidx = queue->cidx, progress = queue->progress, told = queue->told;
    uint32_t turn = *budget < TURN ? *budget : TURN, left = turn;
    bool more = queue->kind > EGRESS_FREE_LIST && egress_run(engine, id, &left);

    *budget -= turn - left;
    if (!more)
        clear_bit(engine->egress_marked, id);
    if (queue->held && queue->cidx == cidx && queue->progress == progress && queue->told == told)
        engine->vain++;
    else
        engine->vain = 0;
    return more && !queue->held;
}

/* Whether all queues that have work have tried in vain since something last changed. */
static bool all_in_vain(const struct engine *engine)
{
    uint32_t marked = 0;

    for (uint32_t word = 0; word < ENGINE_QUEUES / 64; word++)
        marked += (uint32_t)__builtin_popcountll(engine->egress_marked[word]);
    return engine->vain >= marked;
}

/* Gives each egress queue with work its turn, as far as the budget goes. The next run begins where
 * this one ended or, if all had their turn, with another queue. Returns whether work is left that
 * nothing holds up, or that was not tried. */
static bool run_queues(struct engine *engine)
{
    uint32_t budget = RUN, first = next_of(engine->egress_marked, engine->turn), id = first;
    uint64_t waiting[ENGINE_QUEUES / 64];
    bool left = false;

    memcpy(waiting, engine->egress_marked, sizeof(waiting));
    while (id < ENGINE_QUEUES && budget && !moved_enough(engine)) {
        clear_bit(waiting, id);
        left |= run_queue(engine, id, &budget);
        id = next_of(waiting, id);
    }
    engine->turn = (id == ENGINE_QUEUES ? first + 1 : id) % ENGINE_QUEUES;
    return left || (id < ENGINE_QUEUES && !all_in_vain(engine));
}

static void set_timer(const struct engine *engine, uint64_t due)
{
    struct itimerspec when = {.it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};

    if (due == UINT64_MAX)
        memset(&when, 0, sizeof(when));
    else if (!due)
        when.it_value.tv_nsec = 1; /* at once: 0 would stop the timer */
    if (engine->timer_fd >= 0)
        timerfd_settime(engine->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int engine_open(struct engine *engine)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = ENGINE_OTHER};

    engine->reports = ENGINE_REPORTS;
    engine->work_fd = epoll_create1(EPOLL_CLOEXEC);
    engine->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    engine->knock_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (engine->work_fd < 0 || engine->timer_fd < 0 || engine->knock_fd < 0 ||
        epoll_ctl(engine->work_fd, EPOLL_CTL_ADD, engine->timer_fd, &event) < 0 ||
        epoll_ctl(engine->work_fd, EPOLL_CTL_ADD, engine->knock_fd, &event) < 0)
        return -errno;
    return 0;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void engine_close(struct engine *engine)
{
    engine->report = NULL; /* nobody hears any more */
    engine->link_changed = NULL;
    for (uint32_t id = 0; id < ENGINE_PORTS; id++) {
        engine_cut(engine, id);
        engine_capture(engine, id, -1, 0);
    }
    close_one(&engine->work_fd);
    close_one(&engine->timer_fd);
    close_one(&engine->knock_fd);
}

void engine_work(void *engine)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    engine_run(engine, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

void engine_hold_outside(struct engine *engine, int held)
{
    const uint64_t one = 1;

    engine->hold_outside = held != 0;
    if (engine->knock_fd >= 0 && write(engine->knock_fd, &one, sizeof(one)) == sizeof(one))
        engine->knocked = 1; /* last, so that what is written is read */
}

/* Takes note of engine_hold_outside(). The time while frames are held counts for no wait. */
static void answer_knock(struct engine *engine)
{
    uint64_t knocks;

    if (engine->knocked) {
        engine->knocked = 0;
        (void)!read(engine->knock_fd, &knocks, sizeof(knocks));
        engine->patient_since = engine->now;
        engine->retry = UINT64_MAX;
        engine->vain = 0;
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void engine_run(struct engine *engine, uint64_t now)
{
    uint64_t look, due;
    bool left;

    engine->now = now;
    if (engine->pending != PENDING_REST || engine->retry <= now)
        engine->vain = 0; /* something has changed */
    if (engine->retry <= now)
        engine->retry = UINT64_MAX;
    engine->pending = 0;
    answer_knock(engine);
    engine->counts.runs++;
    engine->reports = ENGINE_REPORTS;
    engine->moved = 0;
    irq_retry(engine); /* the host may listen to more vectors now */
    look = doorbells_look(engine);
    left = ports_run(engine, FRAMES) > 0;
    if (engine->host && engine->bus_master)
        left |= run_queues(engine);
    due = least(look, ingress_run(engine));
    due = least(due, irq_raise_late(engine));
    due = least(due, ports_flush(engine));
    set_timer(engine, least(due, engine->retry));
    engine_show(engine);
    if (left && !engine->pending)
        engine->pending = PENDING_REST;
}

void engine_resume(struct engine *engine)
{
    memset(engine->egress_marked, 0xff, sizeof(engine->egress_marked));
    memset(engine->ingress_marked, 0xff, sizeof(engine->ingress_marked));
    engine_wake(engine);
}

void engine_stop(struct engine *engine, int pf)
{
    for (uint32_t id = 0; id < ENGINE_QUEUES; id++) {
        struct egress *egress = &engine->egress[id];
        struct ingress *ingress = &engine->ingress[id];

        if (egress->kind != EGRESS_NONE && (pf < 0 || egress->pf == pf)) {
            contexts_clear_egress(engine, id);
            memset(egress, 0, sizeof(*egress));
        }
        if (ingress->entries && (pf < 0 || ingress->pf == pf)) {
            contexts_clear_ingress(engine, id);
            memset(ingress, 0, sizeof(*ingress));
        }
    }
    filters_forget(engine, pf);
    flows_close(engine, pf);
}

void engine_halt(struct engine *engine)
{
    for (uint32_t id = 0; id < ENGINE_QUEUES; id++) {
        engine->egress[id].halted = engine->egress[id].kind != EGRESS_NONE;
        engine->ingress[id].halted = engine->ingress[id].entries != 0;
    }
}
