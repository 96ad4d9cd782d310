/* Runs register programs: sends rows ahead in batches, and falls back to one access at a time where
 * a poll has to wait.
 *
 * In a batch a poll is sent as a single read, and its value is checked after the fence. If a value
 * fails the check, the engine repeats the writes of the row before, then runs the failed row one
 * access at a time, with attempts and delays: the registers end up as if nothing had been sent
 * ahead. The first row of a program with polls always runs that way, so a hung device is noticed
 * before anything is sent ahead. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "pyvfio_user/io.h"

#include "vmcoredd/driver/engine.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "register values are copied without conversion");

enum {
    AHEAD_MOST = 1024,  /* rows in a batch at most */
    AHEAD_AGAIN = 32,   /* rows in the first batch after a delayed poll; factor for the next */
    POLLED_MOST = 4096, /* polls in a batch at most */
    SPIN_MOST_US = 100, /* longer delays sleep */
    PATIENCE = 4,       /* a poll may take PATIENCE * attempts * delay, */
    GRACE_MS = 1000,    /* plus this */
    GONE_AFTER = 32,    /* reads of all ones: a bad link may spoil a few */
};
_Static_assert(sizeof(((struct engine *)0)->polled) == POLLED_MOST * sizeof(uint32_t),
               "room for each poll");

/* Positions of the next kept value in the output, and of the next poll in engine.polled. */
struct cursor {
    uint64_t out;
    uint32_t polled;
};

static uint32_t value_of(const struct engine_run *run, struct engine_value v, uint32_t row)
{
    uint32_t fixed = v.base + v.stride * row;
    return v.column < 0 ? fixed
                        : fixed + run->rows[(size_t)row * run->n_columns + (uint32_t)v.column];
}

static uint8_t *take(const struct engine_run *run, struct cursor *at, uint64_t bytes)
{
    if (bytes > run->out_size - at->out)
        return NULL;
    uint8_t *start = run->out + at->out;
    at->out += bytes;
    return start;
}

/* Records the transport's first error; every later call returns it. */
static int latch(struct engine *e, int result)
{
    if (result < 0 && !e->dead)
        e->dead = result;
    return e->dead;
}

static int fence(struct engine *e)
{
    return latch(e, e->io->fence(e->io->cookie));
}

static void count_reads(struct engine *e, uint32_t width, uint32_t count)
{
    *(width == 8 ? &e->counts.r64 : &e->counts.r32) += count;
}

/* ---- one operation ---- */

static int do_write(struct engine *e, const struct engine_run *run, const struct engine_op *op,
                    uint32_t row)
{
    uint32_t value = value_of(run, op->value, row), offset = value_of(run, op->offset, row);
    uint32_t count = value_of(run, op->count, row), values[ENGINE_WRITE_MOST];
    int result = 0;

    if (count > ENGINE_WRITE_MOST)
        return -EINVAL;
    e->counts.w32 += count;
    if (!e->pipelined) {
        for (uint32_t i = 0; i < count && !result; i++)
            result = e->io->write(e->io->cookie, offset + 4 * i, &value, 4, 1);
        return latch(e, result);
    }
    for (uint32_t i = 0; i < count; i++)
        values[i] = value;
    return count ? latch(e, e->io->write(e->io->cookie, offset, values, 4, count)) : 0;
}

static int read_each(struct engine *e, const struct engine_op *op, uint64_t offset, uint8_t *into,
                     uint32_t count)
{
    int result = 0;
    for (uint32_t i = 0; i < count && !result; i++) {
        uint8_t *next = into ? into + (uint64_t)i * op->width : (uint8_t *)&e->sink;
        result = e->io->read(e->io->cookie, offset + (uint64_t)i * op->step, next, op->width, 1);
        if (!result && !e->pipelined)
            result = e->io->fence(e->io->cookie);
    }
    return latch(e, result);
}

static int do_read(struct engine *e, const struct engine_run *run, const struct engine_op *op,
                   uint32_t row, struct cursor *at)
{
    uint32_t count = value_of(run, op->count, row), offset = value_of(run, op->offset, row);
    uint8_t *into = NULL;
    if (!count)
        return 0;
    if (op->keep && !(into = take(run, at, (uint64_t)count * op->width)))
        return -EOVERFLOW;
    count_reads(e, op->width, count);
    if (!into || !op->step || !e->pipelined)
        return read_each(e, op, offset, into, count);
    return latch(e, e->io->read(e->io->cookie, offset, into, op->width, count));
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* See engine.h; does nothing if there is no such register. */
static int check_alive(struct engine *e)
{
    for (uint32_t i = 0; e->alive && i < GONE_AFTER; i++) {
        uint32_t value = 0;
        int result = latch(e, e->io->read(e->io->cookie, e->alive, &value, 4, 1));
        if (!result)
            result = fence(e);
        if (result || value != UINT32_MAX)
            return result;
    }
    e->gone = e->alive != 0;
    return e->gone ? latch(e, -EIO) : 0;
}

/* A sleep takes at least 50 us, so short delays spin, as the kernel's udelay() does. */
static void delay(uint32_t us)
{
    if (us > SPIN_MOST_US) {
        struct timespec t = {us / 1000000, (long)(us % 1000000) * 1000};
        nanosleep(&t, NULL);
        return;
    }
    for (uint64_t end = now_us() + us; us && now_us() < end;)
        ;
}

/* Polls as the kernel's t4_wait_op_done_val() does, with a deadline in addition, since an attempt
 * over a socket may take long, and an end if the device is gone. Sets *delayed if the first read
 * fails the check. */
static int wait_for(struct engine *e, const struct engine_op *op, uint32_t offset, uint32_t *value,
                    int *delayed)
{
    uint64_t nominal = (uint64_t)op->attempts * op->delay_us;
    uint64_t deadline = now_us() + PATIENCE * nominal + GRACE_MS * 1000ull;
    uint32_t before = 0;
    for (uint32_t left = op->attempts;; *delayed = 1) {
        int result = latch(e, e->io->read(e->io->cookie, offset, value, 4, 1));
        if (!result)
            result = fence(e);
        e->counts.r32++;
        if (result || (*value & op->mask) == op->wanted)
            return result;
        if (*value == UINT32_MAX && before != UINT32_MAX && (result = check_alive(e)))
            return result;
        if (--left == 0 || now_us() > deadline) {
            e->counts.timeouts += op->attempts > 1;
            return op->error;
        }
        before = *value;
        delay(op->delay_us);
    }
}

static int do_poll(struct engine *e, const struct engine_run *run, const struct engine_op *op,
                   uint32_t row, struct cursor *at, int *delayed)
{
    uint8_t *into = (uint8_t *)&e->sink;
    uint32_t value = 0;
    if (!value_of(run, op->count, row))
        return 0;
    if (op->keep && !(into = take(run, at, 4)))
        return -EOVERFLOW;
    int result = wait_for(e, op, value_of(run, op->offset, row), &value, delayed);
    memcpy(into, &value, 4);
    return result;
}

static int send_poll(struct engine *e, const struct engine_run *run, const struct engine_op *op,
                     uint32_t row, struct cursor *at)
{
    uint8_t *into;
    if (!value_of(run, op->count, row))
        return 0;
    into = op->keep ? take(run, at, 4) : (uint8_t *)&e->polled[at->polled++];
    if (!into)
        return -EOVERFLOW;
    e->counts.r32++;
    return latch(e, e->io->read(e->io->cookie, value_of(run, op->offset, row), into, 4, 1));
}

static int do_put(const struct engine_run *run, const struct engine_op *op, uint32_t row,
                  struct cursor *at)
{
    uint32_t value = value_of(run, op->value, row);
    uint8_t *into = take(run, at, 4);
    if (!into)
        return -EOVERFLOW;
    memcpy(into, &value, 4);
    return 0;
}

/* Runs a row's operations. Waits for its polls if `delayed` is given, else sends them for a later
 * check. */
static int do_row(struct engine *e, const struct engine_run *run, uint32_t row, struct cursor *at,
                  int *delayed)
{
    int result = 0;
    for (uint32_t i = 0; i < run->n_ops && !result; i++) {
        const struct engine_op *op = &run->ops[i];
        if (op->kind == ENGINE_WRITE)
            result = do_write(e, run, op, row);
        else if (op->kind == ENGINE_READ)
            result = do_read(e, run, op, row, at);
        else if (op->kind == ENGINE_PUT)
            result = do_put(run, op, row, at);
        else
            result =
                delayed ? do_poll(e, run, op, row, at, delayed) : send_poll(e, run, op, row, at);
    }
    return result;
}

/* ---- rows, one access at a time ---- */

/* Completes the current row, or fails. Values read after its last poll may arrive later. */
static int run_next_row(struct engine *e, struct engine_run *run, int *delayed)
{
    struct cursor at = {run->used, 0};
    int result = do_row(e, run, run->row, &at, delayed);
    if (result)
        return result;
    run->row++;
    run->used = at.out;
    return 0;
}

/* Restores the registers to their state after the row before run->row: repeats its writes, and
 * reads each poll once. */
static int rewrite_row_before(struct engine *e, const struct engine_run *run)
{
    struct engine_counts counts = e->counts;
    int result = 0;
    for (uint32_t i = 0; i < run->n_ops && !result; i++) {
        const struct engine_op *op = &run->ops[i];
        if (op->kind == ENGINE_WRITE)
            result = do_write(e, run, op, run->row - 1);
        else if (op->kind == ENGINE_POLL)
            result = read_each(e, op, value_of(run, op->offset, run->row - 1), NULL, 1);
    }
    e->counts = counts; /* the row was counted when it ran */
    return result ? result : fence(e);
}

/* ---- rows, sent ahead ---- */

static int poll_passed(const struct engine *e, const struct engine_run *run,
                       const struct engine_op *op, struct cursor *at)
{
    uint32_t value;
    memcpy(&value, op->keep ? run->out + at->out : (const uint8_t *)&e->polled[at->polled++], 4);
    at->out += op->keep ? 4 : 0;
    return (value & op->mask) == op->wanted;
}

/* Advances past a completed operation and adds its accesses to `counts`. Returns 0 if it is a poll
 * and its first value fails the check. */
static int op_passed(const struct engine *e, const struct engine_run *run,
                     const struct engine_op *op, uint32_t row, struct cursor *at,
                     struct engine_counts *counts)
{
    uint32_t count = value_of(run, op->count, row);

    switch (op->kind) {
    case ENGINE_WRITE:
        counts->w32 += count;
        return 1;
    case ENGINE_PUT:
        at->out += 4;
        return 1;
    case ENGINE_READ:
        *(op->width == 8 ? &counts->r64 : &counts->r32) += count;
        at->out += op->keep ? (uint64_t)count * op->width : 0;
        return 1;
    default:
        counts->r32 += count;
        return !count || poll_passed(e, run, op, at);
    }
}

static int row_passed(const struct engine *e, const struct engine_run *run, uint32_t row,
                      struct cursor *at, struct engine_counts *counts)
{
    int passed = 1;

    for (uint32_t i = 0; i < run->n_ops && passed; i++)
        passed = op_passed(e, run, &run->ops[i], row, at, counts);
    return passed;
}

/* Sends the rows before `end` and waits for their values. Sets *sent to the end of their output. */
static int send_rows(struct engine *e, const struct engine_run *run, uint32_t end, uint64_t *sent)
{
    struct engine_counts counts = e->counts;
    struct cursor at = {run->used, 0};
    int result = 0;

    for (uint32_t row = run->row; row < end && !result; row++)
        result = do_row(e, run, row, &at, NULL);
    int fenced = fence(e);
    e->counts = counts;
    *sent = at.out;
    return result ? result : fenced;
}

/* Completes up to `ahead` rows with one fence. Returns 1 if all are complete, 0 if a poll was
 * delayed (the rows before it are complete), or -errno. */
static int rows_ahead(struct engine *e, struct engine_run *run, uint32_t ahead)
{
    uint32_t end = run->n_rows - run->row > ahead ? run->row + ahead : run->n_rows;
    struct cursor at = {run->used, 0};
    uint64_t sent;
    int result = send_rows(e, run, end, &sent);

    for (; !result && run->row < end; run->row++) {
        struct engine_counts counts = e->counts;
        if (!row_passed(e, run, run->row, &at, &counts)) {
            memset(run->out + run->used, 0, sent - run->used);
            return 0;
        }
        e->counts = counts;
        run->used = at.out;
    }
    return result ? result : 1;
}

/* ---- whole programs ---- */

static int valid_value(const struct engine_run *run, struct engine_value v)
{
    return v.column < 0 || (run->rows && (uint32_t)v.column < run->n_columns);
}

static int valid_op(const struct engine_run *run, const struct engine_op *op)
{
    int values =
        valid_value(run, op->offset) && valid_value(run, op->value) && valid_value(run, op->count);
    if (op->kind == ENGINE_READ)
        return values && (op->width == 4 || op->width == 8) && (!op->step || op->step == op->width);
    if (op->kind == ENGINE_POLL)
        return values && op->width == 4 && op->attempts && op->error <= 0;
    return values && (op->kind == ENGINE_WRITE || op->kind == ENGINE_PUT) && op->width == 4;
}

static uint32_t polls_of(const struct engine_run *run)
{
    uint32_t polls = 0;
    for (uint32_t i = 0; i < run->n_ops; i++)
        polls += run->ops[i].kind == ENGINE_POLL;
    return polls;
}

static uint32_t less(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int run_rows(struct engine *e, struct engine_run *run, uint32_t polls)
{
    uint32_t most = !e->pipelined ? 0 : polls ? less(AHEAD_MOST, POLLED_MOST / polls) : AHEAD_MOST;
    uint32_t next = most, ahead = polls ? 0 : most;
    int result = 0;

    while (run->row < run->n_rows && result >= 0) {
        int delayed = 0;
        if (ahead) {
            result = rows_ahead(e, run, ahead);
            ahead = next = less(most, result == 1 ? ahead * AHEAD_AGAIN : AHEAD_AGAIN);
            if (result == 0) {
                result = rewrite_row_before(e, run);
                ahead = 0;
            }
        } else {
            result = run_next_row(e, run, &delayed);
            ahead = delayed ? 0 : next;
        }
    }
    int fenced = fence(e); /* nothing may arrive after the return */
    return result < 0 ? result : fenced;
}

int engine_run(struct engine *engine, struct engine_run *run)
{
    uint32_t polls = polls_of(run);
    run->row = 0;
    run->used = 0;
    if (polls > POLLED_MOST)
        return -EINVAL;
    for (uint32_t i = 0; i < run->n_ops; i++)
        if (!valid_op(run, &run->ops[i]))
            return -EINVAL;
    return engine->dead ? engine->dead : run_rows(engine, run, polls);
}

int engine_read(struct engine *engine, uint64_t offset, void *into, uint32_t width, uint32_t count)
{
    if (engine->dead)
        return engine->dead;
    count_reads(engine, width, count);
    int result = engine->io->read(engine->io->cookie, offset, into, width, count);
    return latch(engine, result) ? engine->dead : fence(engine);
}

int engine_write(struct engine *engine, uint64_t offset, const void *data, uint32_t width)
{
    if (engine->dead)
        return engine->dead;
    *(width == 8 ? &engine->counts.w64 : &engine->counts.w32) += 1;
    return latch(engine, engine->io->write(engine->io->cookie, offset, data, width, 1));
}

int engine_check_alive(struct engine *engine)
{
    return engine->dead ? engine->dead : check_alive(engine);
}
