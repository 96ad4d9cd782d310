#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "pyvfio_user/host.h"
#include "pyvfio_user/io.h"
#include "pyvfio_user/work.h"

#include "vmcoredd/bench/rings.h"

enum {
    DESCRIPTOR = 64,
    ENTRY = 64,
    UNIT = 8,           /* buffers of a free list's doorbell */
    STATUS_CIDX = 4,    /* in a status page, big-endian */
    RESPONSE_WORD = 52, /* pldbuflen_qid, big-endian */
    RESPONSE_LAST = 56, /* the first byte of the last flit: generation and type */
    TYPE_FREE_LIST = 0,
    MOST_AT_ONCE = 1000, /* CIDXINC has 12 bits */
};

static const uint32_t NEW_BUFFER = 1u << 31;
static const int64_t PATIENCE_NS = 10000000000;

static int64_t read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* A host in this process */

static uint8_t *place(struct shared_memory *memory, uint64_t address, uint64_t length)
{
    uint64_t at = address - memory->address;

    return at < memory->size && length <= memory->size - at ? memory->bytes + at : NULL;
}

static int host_irq(void *cookie, uint32_t vector)
{
    struct shared_memory *memory = cookie;

    (void)vector;
    memory->interrupts++;
    return 0;
}

static int host_read(void *cookie, uint64_t address, void *into, uint64_t length)
{
    struct shared_memory *memory = cookie;
    const uint8_t *from = place(memory, address, length);

    if (!from)
        return -ENOENT;
    memory->reads++;
    memcpy(into, from, length);
    return 0;
}

static int host_write(void *cookie, uint64_t address, const void *data, uint64_t length)
{
    struct shared_memory *memory = cookie;
    uint8_t *into = place(memory, address, length);

    if (!into)
        return -ENOENT;
    memory->writes++;
    memcpy(into, data, length);
    return 0;
}

void rings_host(struct host *host, struct shared_memory *memory)
{
    *host = (struct host){memory, host_irq, host_read, host_write};
}

/* Sending */

static int write_word(struct rings *rings, uint64_t offset, uint32_t value)
{
    rings->messages++;
    if (!rings->io)
        return rings->access(rings->cookie, offset, &value, sizeof(value), 1);
    return rings->io->write(rings->io->cookie, offset, &value, sizeof(value), 1);
}

/* The descriptors that the card has not done yet. The card may write its index meanwhile. */
static uint32_t outstanding(const struct rings *rings, const struct send_queue *queue)
{
    const uint8_t *status =
        rings->memory->bytes + queue->ring + (uint64_t)queue->entries * DESCRIPTOR;
    uint16_t cidx =
        __atomic_load_n((const uint16_t *)(const void *)(status + STATUS_CIDX), __ATOMIC_ACQUIRE);

    return (queue->pidx + queue->entries - __builtin_bswap16(cidx)) % queue->entries;
}

static void post(const struct rings *rings, struct send_queue *queue)
{
    const uint8_t *request =
        queue->requests + (uint64_t)queue->next * queue->descriptors * DESCRIPTOR;
    uint8_t *ring = rings->memory->bytes + queue->ring;

    for (uint32_t i = 0; i < queue->descriptors; i++) {
        memcpy(ring + (uint64_t)queue->pidx * DESCRIPTOR, request + (uint64_t)i * DESCRIPTOR,
               DESCRIPTOR);
        queue->pidx = queue->pidx + 1 == queue->entries ? 0 : queue->pidx + 1;
    }
    queue->next = queue->next + 1 == queue->request_count ? 0 : queue->next + 1;
    queue->left--;
}

/* Posts a burst of requests as far as there is room. Returns how many, or -errno. */
static int send(struct rings *rings, struct send_queue *queue)
{
    uint32_t room = (queue->entries - 1 - outstanding(rings, queue)) / queue->descriptors;
    uint32_t count = room < rings->burst ? room : rings->burst;
    int error;

    if (count > queue->left)
        count = (uint32_t)queue->left;
    if (!count)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        post(rings, queue);
    error = write_word(rings, queue->doorbell, count * queue->descriptors);
    return error ? error : (int)count;
}

/* Receiving */

static uint32_t be32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return __builtin_bswap32(value);
}

static void next_buffer(struct receive_queue *queue)
{
    queue->buffer = queue->buffer + 1 == queue->units * UNIT ? 0 : queue->buffer + 1;
    queue->offset = 0;
    queue->used++;
}

/* Takes a frame out of its buffers. */
static void take(struct receive_queue *queue, uint32_t word)
{
    uint32_t left = word & ~NEW_BUFFER;

    if (word & NEW_BUFFER && queue->offset)
        next_buffer(queue);
    queue->frames++;
    queue->bytes += left;
    for (; left > queue->buffer_bytes; left -= queue->buffer_bytes)
        next_buffer(queue);
    queue->offset += (left + queue->align - 1) & ~(queue->align - 1);
}

/* Takes the responses that are there. Returns how many. */
static uint32_t harvest(const struct rings *rings, struct receive_queue *queue)
{
    uint32_t count = 0;

    while (count < MOST_AT_ONCE) {
        const uint8_t *entry = rings->memory->bytes + queue->ring + (uint64_t)queue->cidx * ENTRY;
        uint8_t last = __atomic_load_n(entry + RESPONSE_LAST, __ATOMIC_ACQUIRE);

        if (last >> 7 != queue->generation)
            break;
        if ((last >> 4 & 3) == TYPE_FREE_LIST)
            take(queue, be32(entry + RESPONSE_WORD));
        count++;
        if (++queue->cidx == queue->entries) {
            queue->cidx = 0;
            queue->generation ^= 1;
        }
    }
    return count;
}

/* Tells the card what was taken, arms the queue, and gives back whole units of buffers. Returns the
 * responses, or -errno. */
static int receive(struct rings *rings, struct receive_queue *queue)
{
    uint32_t count = harvest(rings, queue), units = queue->used / UNIT;
    int error = 0;

    if (units) {
        queue->used %= UNIT;
        error = write_word(rings, queue->doorbell, units);
    }
    if (count && !error)
        error = write_word(rings, queue->gts, rings->arming | count);
    return error ? error : (int)count;
}

/* Both */

/* Has the card's work done, or hands over what was written to it. */
static int let_work(struct rings *rings)
{
    int64_t began;

    if (!rings->work)
        return rings->io->fence(rings->io->cookie);
    began = read_clock(CLOCK_THREAD_CPUTIME_ID);
    if (*rings->work->pending)
        rings->work->run(rings->work->cookie);
    rings->work_ns += read_clock(CLOCK_THREAD_CPUTIME_ID) - began;
    return 0;
}

/* One turn of all queues. Returns what has moved, or -errno. */
static int turn(struct rings *rings)
{
    int moved = 0, one = 0;

    for (uint32_t i = 0; i < rings->sender_count && one >= 0; i++, moved += one)
        one = send(rings, &rings->senders[i]);
    if (one >= 0)
        one = let_work(rings);
    for (uint32_t i = 0; i < rings->receiver_count && one >= 0; i++, moved += one)
        one = receive(rings, &rings->receivers[i]);
    return one < 0 ? one : moved;
}

static uint64_t received(const struct rings *rings)
{
    uint64_t frames = 0;

    for (uint32_t i = 0; i < rings->receiver_count; i++)
        frames += rings->receivers[i].frames;
    return frames;
}

static bool all_sent(const struct rings *rings)
{
    for (uint32_t i = 0; i < rings->sender_count; i++)
        if (rings->senders[i].left || outstanding(rings, &rings->senders[i]))
            return false;
    return true;
}

int rings_start(struct rings *rings)
{
    int error = 0;

    for (uint32_t i = 0; i < rings->receiver_count && !error; i++) {
        error = write_word(rings, rings->receivers[i].doorbell, rings->receivers[i].units - 1);
        if (!error)
            error = write_word(rings, rings->receivers[i].gts, rings->arming);
    }
    return error;
}

int64_t rings_run(struct rings *rings, uint64_t requests, uint64_t frames)
{
    uint64_t wanted = received(rings) + frames;
    int64_t began = now_ns(), moved_at = began;
    int moved = 0;

    for (uint32_t i = 0; i < rings->sender_count; i++)
        rings->senders[i].left += requests;
    while (moved >= 0 && (received(rings) < wanted || !all_sent(rings))) {
        moved = turn(rings);
        if (moved > 0)
            moved_at = now_ns();
        else if (moved == 0 && now_ns() - moved_at > PATIENCE_NS)
            moved = -ETIMEDOUT;
        else if (moved == 0)
            sched_yield();
    }
    if (moved >= 0)
        moved = let_work(rings);
    return moved < 0 ? moved : now_ns() - began;
}

int64_t rings_knock(struct rings *rings, uint64_t n)
{
    int64_t began = now_ns();
    int error = 0;

    for (uint64_t i = 0; i < n && !error; i++)
        error = write_word(rings, rings->senders[0].doorbell, 0);
    return error ? error : now_ns() - began;
}

int64_t rings_copy(const uint8_t *from, uint64_t from_bytes, uint8_t *into, uint64_t into_bytes,
                   uint64_t length, uint64_t n)
{
    int64_t began = now_ns();
    uint64_t source = 0, target = 0;

    for (uint64_t i = 0; i < n; i++) {
        memcpy(into + target, from + source, length);
        source = source + 2 * length <= from_bytes ? source + length : 0;
        target = target + 2 * length <= into_bytes ? target + length : 0;
    }
    return now_ns() - began;
}
