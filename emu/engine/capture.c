/* Captures of a port's frames, in pcapng (draft-ietf-opsawg-pcapng). The file begins with its
 * header and the description of its one interface, whose times are in nanoseconds; each frame is an
 * enhanced packet block, in the machine's byte order. */

#include <time.h>
#include <unistd.h>

#include "vmcoredd/emu/engine/internal.h"

/* What precedes a frame in its block. */
struct packet_block {
    uint32_t type, length;
    uint32_t interface;
    uint32_t time_high, time_low;
    uint32_t captured, original;
};

/* What follows it: its direction, and the length again. */
struct packet_end {
    uint16_t flags_option, flags_length;
    uint32_t flags;
    uint32_t end_of_options;
    uint32_t length;
};

_Static_assert(sizeof(struct packet_block) == 28, "packet block");
_Static_assert(sizeof(struct packet_end) == 16, "end of a packet block");

enum {
    PACKET_BLOCK = 6,
    EPB_FLAGS = 2,
    INBOUND = 1,
    OUTBOUND = 2,
};

/* Ends a capture that cannot be written; the frames go on. The file keeps its whole blocks. */
static void give_up(struct engine *engine, uint32_t port, int error)
{
    struct capture *capture = &engine->ports[port].capture;

    (void)!ftruncate(capture->fd, (off_t)capture->length); /* a pipe keeps what it has */
    close(capture->fd);
    capture->fd = -1;
    capture->used = 0;
    engine_report(engine, TROUBLE_CAPTURE, port, capture->length, error);
}

void capture_flush(struct engine *engine, uint32_t port)
{
    struct capture *capture = &engine->ports[port].capture;
    ssize_t written;

    if (capture->fd < 0 || !capture->used)
        return;
    written = write(capture->fd, capture->room, capture->used);
    if (written < 0) {
        if (errno != EAGAIN)
            give_up(engine, port, -errno);
        return;
    }
    capture->used -= (uint32_t)written;
    memmove(capture->room, capture->room + written, capture->used);
    capture->beyond += (uint64_t)written;
    if (capture->used)
        return;
    capture->length += capture->beyond;
    capture->beyond = 0;
}

static uint64_t wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Writes a frame's block to `at`. */
static void put_block(uint8_t *at, const struct frame *frame, uint32_t padded, bool sent)
{
    const uint64_t time = wall_clock();
    const uint32_t length =
        (uint32_t)(sizeof(struct packet_block) + sizeof(struct packet_end)) + padded;
    const struct packet_block block = {.type = PACKET_BLOCK,
                                       .length = length,
                                       .time_high = (uint32_t)(time >> 32),
                                       .time_low = (uint32_t)time,
                                       .captured = frame->length,
                                       .original = frame->length};
    const struct packet_end end = {.flags_option = EPB_FLAGS,
                                   .flags_length = sizeof(end.flags),
                                   .flags = sent ? OUTBOUND : INBOUND,
                                   .length = length};

    memcpy(at, &block, sizeof(block));
    memset(at + sizeof(block) + padded - 4, 0, 4);
    memcpy(at + sizeof(block), frame->data, frame->length);
    memcpy(at + sizeof(block) + padded, &end, sizeof(end));
}

void capture_frame(struct engine *engine, uint32_t port, const struct frame *frame, bool sent)
{
    struct capture *capture = &engine->ports[port].capture;
    const uint32_t padded = (frame->length + 3) & ~3u;
    const uint32_t needed =
        (uint32_t)(sizeof(struct packet_block) + sizeof(struct packet_end)) + padded;

    if (capture->fd < 0 || frame->length > WIRE_LONGEST)
        return;
    if (needed > CAPTURE_ROOM - capture->used)
        capture_flush(engine, port);
    if (capture->fd < 0)
        return;
    if (needed > CAPTURE_ROOM - capture->used) {
        give_up(engine, port, -EAGAIN);
        return;
    }
    put_block(capture->room + capture->used, frame, padded, sent);
    capture->used += needed;
}

void engine_capture(struct engine *engine, uint32_t port, int fd, uint64_t length)
{
    struct capture *capture = &engine->ports[port].capture;

    capture_flush(engine, port);
    if (capture->fd >= 0)
        close(capture->fd);
    capture->fd = fd;
    capture->used = 0;
    capture->length = length;
    capture->beyond = 0;
}
