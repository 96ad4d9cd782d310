/* Wires to outside: frames over stream and datagram sockets, and taps.
 *
 * No call here waits. A frame that arrives stays in `inbox` until the port takes it; while one
 * waits there, `work_fd` does not tell of others, so a peer that sends more waits as well. If that
 * peer goes, what it has sent and the card has not taken is lost with it. */

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmcoredd/emu/engine/internal.h"

enum {
    LENGTH = 4, /* what precedes a frame on a stream */
    RETRY = 1000000,
};

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == sizeof(((struct wire *)0)->path),
               "paths of sockets");

void wire_report(struct engine *engine, uint32_t port, uint64_t what, int error)
{
    struct wire *wire = &engine->ports[port].wire;

    if (wire->error == error)
        return;
    wire->error = error;
    engine_report(engine, TROUBLE_WIRE, port, what, error);
}

/* Sets what `work_fd` waits for; 0: nothing, not even the end of a connection. */
static void watch(struct engine *engine, uint32_t port, uint32_t events)
{
    struct wire *wire = &engine->ports[port].wire;
    struct epoll_event event = {.events = events, .data.u32 = port};
    int operation = wire->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (events == wire->watched || wire->fd < 0)
        return;
    if (!events)
        operation = EPOLL_CTL_DEL;
    if (epoll_ctl(engine->work_fd, operation, wire->fd, &event) < 0)
        return;
    wire->watched = events;
    if (events & EPOLLIN)
        wire->readable = 1; /* perhaps: nobody has watched */
}

/* The event that tells of a connection's end while frames wait. Nothing changes during a dump. */
static uint32_t end_of(const struct engine *engine, const struct wire *wire)
{
    const bool ends = wire->kind == WIRE_STREAM || wire->kind == WIRE_CARD;

    return ends && !engine->hold_outside ? EPOLLRDHUP : 0;
}

bool wire_is_full(const struct wire *wire)
{
    return wire->blocked || wire->outbox_start != wire->outbox_end;
}

void wire_watch(struct engine *engine, uint32_t port)
{
    const struct wire *wire = &engine->ports[port].wire;
    const bool waits = wire_is_full(wire) && wire->kind != WIRE_DGRAM;
    const uint32_t out = waits ? EPOLLOUT : 0;

    watch(engine, port, out | (wire->held ? end_of(engine, wire) : EPOLLIN));
}

void wire_attach(struct engine *engine, uint32_t port, int fd)
{
    struct wire *wire = &engine->ports[port].wire;

    wire->fd = fd;
    wire->error = 0;
    wire->inbox_start = wire->inbox_end = wire->outbox_start = wire->outbox_end = 0;
    wire->watched = 0;
    wire->starved = wire->quiet = wire->pauses = 0;
    wire->held = wire->blocked = wire->gone = 0;
    wire_watch(engine, port);
}

void wire_detach(struct engine *engine, uint32_t port)
{
    struct wire *wire = &engine->ports[port].wire;

    if (wire->fd < 0)
        return;
    close(wire->fd); /* `work_fd` forgets it */
    wire_attach(engine, port, -1);
    wire->peer_on = 0;
    engine_wake(engine);
}

/* Receiving */

/* Drops a peer that does not keep to the rules, or whose connection is lost. */
static bool lose(struct engine *engine, uint32_t port, uint64_t what, int error)
{
    if (error)
        wire_report(engine, port, what, error);
    wire_detach(engine, port);
    engine->ports[port].wire.due = engine->now + WIRE_PAUSE; /* so that the link is seen to go */
    return false;
}

void wire_happens(struct engine *engine, uint32_t port, uint32_t events)
{
    struct wire *wire = &engine->ports[port].wire;

    wire->readable |= (events & ~(uint32_t)EPOLLOUT) != 0;
    if (wire->blocked && events & EPOLLOUT) {
        wire->blocked = 0;
        engine_wake(engine); /* whoever was refused tries again */
    }
    wire->gone = wire->held && events & (EPOLLRDHUP | EPOLLHUP);
}

void wire_wait(struct engine *engine, uint32_t port)
{
    const struct wire *wire = &engine->ports[port].wire;

    if (wire->gone && end_of(engine, wire))
        lose(engine, port, 0, 0);
}

static bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* Reads what a stream has. */
static bool fill_from_stream(struct engine *engine, uint32_t port)
{
    struct wire *wire = &engine->ports[port].wire;
    ssize_t got;

    wire->inbox_end -= wire->inbox_start;
    memmove(wire->inbox, wire->inbox + wire->inbox_start, wire->inbox_end);
    wire->inbox_start = 0;
    got = recv(wire->fd, wire->inbox + wire->inbox_end, WIRE_ROOM - wire->inbox_end, MSG_DONTWAIT);
    if (got < 0 && would_block(errno)) {
        wire->readable = 0;
        return false;
    }
    if (got <= 0)
        return lose(engine, port, 0, got < 0 && errno != ECONNRESET ? -errno : 0);
    wire->inbox_end += (uint32_t)got;
    return true;
}

/* Where a datagram comes from is where frames go, unless that is set. */
static void learn(struct wire *wire, const struct sockaddr_un *from, socklen_t length)
{
    if (length > sizeof(from->sun_family) && length <= sizeof(*from) && from->sun_path[0])
        memcpy(wire->path, from->sun_path, sizeof(wire->path));
}

static ssize_t read_message(struct wire *wire)
{
    uint8_t *const at = wire->inbox + LENGTH;
    struct sockaddr_un from = {0};
    socklen_t length = sizeof(from);
    ssize_t got;

    if (wire->kind == WIRE_TAP)
        return read(wire->fd, at, WIRE_LONGEST);
    got = recvfrom(wire->fd, at, WIRE_LONGEST, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from,
                   &length);
    if (got >= 0 && wire->kind == WIRE_DGRAM && !wire->path[0])
        learn(wire, &from, length);
    return got;
}

/* Reads one datagram, or a frame of a tap. A card's message of one byte is the state of its port.
 */
static bool fill_from_messages(struct engine *engine, uint32_t port)
{
    struct wire *wire = &engine->ports[port].wire;
    const ssize_t got = read_message(wire);

    if (got < 0 && would_block(errno)) {
        wire->readable = 0;
        return false;
    }
    if (got < 0 || (!got && wire->kind == WIRE_CARD))
        return lose(engine, port, 0, got < 0 && errno != ECONNRESET ? -errno : 0);
    wire->inbox_start = wire->inbox_end = 0;
    if (got == 1 && wire->kind == WIRE_CARD) {
        wire->peer_on = wire->inbox[LENGTH] != 0;
        engine_update_links(engine);
    } else if (got && got <= WIRE_LONGEST) {
        put32(wire->inbox, (uint32_t)got);
        wire->inbox_end = LENGTH + (uint32_t)got;
    }
    return true;
}

static bool fill(struct engine *engine, uint32_t port)
{
    const struct wire *wire = &engine->ports[port].wire;

    if (wire->fd < 0 || !wire->readable)
        return false;
    return wire->kind == WIRE_STREAM ? fill_from_stream(engine, port)
                                     : fill_from_messages(engine, port);
}

/* Whether `inbox` begins with a whole frame; a peer that announces an impossible one is dropped. */
static bool has_frame(struct engine *engine, uint32_t port)
{
    const struct wire *wire = &engine->ports[port].wire;
    const uint32_t have = wire->inbox_end - wire->inbox_start;
    uint32_t length;

    if (have < LENGTH)
        return false;
    length = get32(wire->inbox + wire->inbox_start);
    if (!length || length > WIRE_LONGEST)
        return lose(engine, port, length, -EPROTO);
    return have - LENGTH >= length;
}

bool wire_next(struct engine *engine, uint32_t port, struct frame *frame)
{
    const struct wire *wire = &engine->ports[port].wire;

    if (!has_frame(engine, port) && !(fill(engine, port) && has_frame(engine, port)))
        return false;
    *frame = (struct frame){.data = wire->inbox + wire->inbox_start + LENGTH,
                            .length = get32(wire->inbox + wire->inbox_start)};
    return true;
}

void wire_taken(struct wire *wire)
{
    if (wire->fd < 0) /* its peer was found to have gone when the frame was sent back: see lose() */
        return;
    wire->inbox_start += LENGTH + get32(wire->inbox + wire->inbox_start);
}

/* Sending */

void wire_flush(struct engine *engine, uint32_t port)
{
    struct wire *wire = &engine->ports[port].wire;
    const uint32_t waiting = wire->outbox_end - wire->outbox_start;
    ssize_t sent;

    if (wire->fd < 0 || !waiting)
        return;
    sent = send(wire->fd, wire->outbox + wire->outbox_start, waiting, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && !would_block(errno)) {
        lose(engine, port, 0, errno != EPIPE && errno != ECONNRESET ? -errno : 0);
        return;
    }
    if (sent > 0)
        wire->starved = 0;
    wire->outbox_start += sent > 0 ? (uint32_t)sent : 0;
    if (wire->outbox_start == wire->outbox_end)
        wire->outbox_start = wire->outbox_end = 0;
}

/* Puts a frame behind those that wait for the kernel. */
static int send_on_stream(struct engine *engine, uint32_t port, const struct frame *frame)
{
    struct wire *wire = &engine->ports[port].wire;
    const uint32_t needed = LENGTH + frame->length;

    if (needed > WIRE_ROOM - wire->outbox_end) {
        wire_flush(engine, port);
        wire->outbox_end -= wire->outbox_start;
        memmove(wire->outbox, wire->outbox + wire->outbox_start, wire->outbox_end);
        wire->outbox_start = 0;
    }
    if (wire->fd < 0)
        return ENGINE_DONE;
    if (needed > WIRE_ROOM - wire->outbox_end)
        return ENGINE_HELD;
    put32(wire->outbox + wire->outbox_end, frame->length);
    memcpy(wire->outbox + wire->outbox_end + LENGTH, frame->data, frame->length);
    wire->outbox_end += needed;
    return ENGINE_DONE;
}

static ssize_t send_message(const struct wire *wire, const void *data, uint32_t length)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (wire->kind == WIRE_TAP)
        return write(wire->fd, data, length);
    if (wire->kind == WIRE_CARD)
        return send(wire->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    memcpy(to.sun_path, wire->path, sizeof(to.sun_path));
    return wire->path[0] ? sendto(wire->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL,
                                  (struct sockaddr *)&to, sizeof(to))
                         : (ssize_t)length;
}

/* Sends a frame at once. What nobody takes is lost, as on a cable. */
static int send_at_once(struct engine *engine, struct wire *wire, const struct frame *frame)
{
    const ssize_t sent = send_message(wire, frame->data, frame->length);

    wire->blocked = sent < 0 && would_block(errno);
    if (!wire->blocked) {
        wire->starved = 0;
        return ENGINE_DONE;
    }
    if (wire->kind == WIRE_DGRAM) /* its socket always seems to have room */
        wire->due = engine->now + RETRY;
    return ENGINE_HELD;
}

int wire_send(struct engine *engine, uint32_t port, const struct frame *frame)
{
    struct wire *wire = &engine->ports[port].wire;

    if (wire->fd < 0 || frame->length > WIRE_LONGEST)
        return ENGINE_DONE;
    return wire->kind == WIRE_STREAM ? send_on_stream(engine, port, frame)
                                     : send_at_once(engine, wire, frame);
}

/* The queues of another card have their patience; but what a filter sends on may wait for a card
 * whose filters send it back, which waits for this one. */
bool wire_waits(struct engine *engine, uint32_t port, const struct frame *frame)
{
    struct wire *wire = &engine->ports[port].wire;

    if (wire->kind == WIRE_PORT || (wire->kind == WIRE_CARD && !frame->hops))
        return true;
    if (patience_lasts(engine, &wire->starved))
        return true;
    wire_report(engine, port, 0, -ENOBUFS);
    return false;
}

void wire_tell(struct wire *wire, bool on)
{
    const uint8_t state = on;

    if (wire->fd >= 0 && wire->told != state && send_message(wire, &state, 1) == 1)
        wire->told = state;
}
