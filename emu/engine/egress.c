/* Egress queues: the work requests in their rings, and what tells the driver that they are done.
 *
 * A queue whose next request is held keeps its mark, and each run of the engine tries it again. So
 * whoever makes room has only to bring a run about: a GTS (ingress_gts()) or a free list's doorbell
 * (produce()) calls engine_wake(), as does a wire that the kernel has room for again
 * (wire_happens()), and `work_fd` becomes readable for wires and for the timer: a datagram's next
 * try, the end of patience with a starved queue (receive.c: waits()), and the end of a wait for a
 * rate (pace.c). What takes a receiver away (engine_resume()) wakes as well. A request whose end is
 * not posted waits for its own doorbell. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    REQUEST_UNIT = 16,
    REQUEST_MAX = 255 * REQUEST_UNIT, /* what WR_LEN16 can say */
    FLOW_MESSAGE = 1,                 /* in HOSTFCMODE */
    FLOW_STATUS = 2,
    FLOW_CREDITS = 4, /* only in `to_tell` */
};

static uint32_t outstanding(const struct egress *queue)
{
    return ring_distance(queue->cidx, queue->pidx, queue->entries);
}

uint32_t egress_room(const struct egress *queue)
{
    return queue->entries - 1 - outstanding(queue);
}

void egress_mark(struct engine *engine, uint32_t id)
{
    set_bit(engine->egress_marked, id);
    set_bit(engine->egress_changed, id);
}

/* Completions */

static void write_status(struct engine *engine, uint32_t id)
{
    struct egress *queue = &engine->egress[id];
    uint8_t status[STATUS_PAGE_BYTES] = {0};

    put(status, STATUS_PAGE_QID, id);
    put(status, STATUS_PAGE_CIDX, queue->cidx);
    put(status, STATUS_PAGE_PIDX, queue->pidx);
    queue->halted |= dma_write(engine, id, queue->address + (uint64_t)queue->entries * DESCRIPTOR,
                               status, sizeof(status)) != 0;
}

static int send_update(struct engine *engine, uint32_t id)
{
    const struct egress *queue = &engine->egress[id];
    uint8_t message[RSS_BYTES + EGR_UPDATE_BYTES] = {0}, *update = message + RSS_BYTES;

    put(message, RSS_OPCODE, CPL_SGE_EGR_UPDATE);
    put(message, RSS_QID, queue->ingress);
    put(update, EGR_UPDATE_OPCODE, CPL_SGE_EGR_UPDATE);
    put(update, EGR_UPDATE_QID, id);
    put(update, EGR_UPDATE_CIDX, queue->cidx);
    put(update, EGR_UPDATE_PIDX, queue->pidx);
    return engine_cpl(engine, queue->ingress, message, sizeof(message));
}

/* Which ways to tell the driver of the consumer index it is time for. */
static uint8_t telling(const struct egress *queue)
{
    uint32_t news = ring_distance(queue->told, queue->cidx, queue->entries);
    uint8_t ways = 0;

    if (news >> queue->flush_threshold)
        ways |= queue->host_flow_control;
    if (news && queue->cidx == queue->pidx) {
        ways |= queue->auto_message ? FLOW_MESSAGE : 0;
        ways |= queue->auto_status ? FLOW_STATUS : 0;
    }
    return ways;
}

/* Tells the driver what it has to know. False: a message has no room, and waits for it. */
static bool tell(struct engine *engine, uint32_t id)
{
    struct egress *queue = &engine->egress[id];
    const uint8_t ways = (uint8_t)(queue->to_tell | telling(queue));

    if (ways & (FLOW_MESSAGE | FLOW_STATUS))
        queue->told = queue->cidx; /* the message may have to wait */
    if (__builtin_expect((engine->broken & BREAKS_SENT) != 0, 0)) {
        queue->to_tell = 0;
        return true;
    }
    if (ways & FLOW_STATUS)
        write_status(engine, id);
    queue->to_tell = ways & (FLOW_MESSAGE | FLOW_CREDITS);
    if (ways & FLOW_CREDITS && flows_acknowledge(engine, id) == ENGINE_DONE)
        queue->to_tell &= FLOW_MESSAGE;
    if (ways & FLOW_MESSAGE && send_update(engine, id) == ENGINE_DONE)
        queue->to_tell &= FLOW_CREDITS;
    queue->held |= queue->to_tell != 0;
    return !queue->to_tell;
}

/* Work requests */

/* Reads from a ring, which may end in the middle of what is read. */
static int read_ring(struct engine *engine, uint32_t id, uint32_t from, uint8_t *into,
                     uint32_t length)
{
    const struct egress *queue = &engine->egress[id];
    uint32_t end = queue->entries * DESCRIPTOR, first = length;

    if (from >= end)
        from -= end;
    if (first > end - from)
        first = end - from;
    if (dma_read(engine, id, queue->address + from, into, first))
        return -EFAULT;
    return first < length ? dma_read(engine, id, queue->address, into + first, length - first) : 0;
}

/* Reads the next work request. Its length is 0 if it is nonsense. */
static enum outcome read_request(struct engine *engine, uint32_t id, uint8_t *request,
                                 uint32_t *length)
{
    const struct egress *queue = &engine->egress[id];
    uint32_t from = queue->cidx * DESCRIPTOR, posted = outstanding(queue) * DESCRIPTOR;

    if (read_ring(engine, id, from, request, DESCRIPTOR))
        return OUTCOME_FAULT;
    *length = (uint32_t)get(request, WR_LEN16) * REQUEST_UNIT;
    if (!*length || *length > (queue->entries - 1) * DESCRIPTOR)
        return OUTCOME_NONSENSE;
    if (*length > posted)
        return OUTCOME_HELD; /* the rest of it follows with the next doorbell */
    if (*length > DESCRIPTOR &&
        read_ring(engine, id, from + DESCRIPTOR, request + DESCRIPTOR, *length - DESCRIPTOR))
        return OUTCOME_FAULT;
    return OUTCOME_DONE;
}

static enum outcome do_request(struct engine *engine, uint32_t id, const uint8_t *request,
                               uint32_t length, uint32_t *budget)
{
    if (engine->egress[id].kind == EGRESS_OFFLOAD && !flows_find(engine, id, request))
        return OUTCOME_NONSENSE;
    switch (get(request, WR_OP)) {
    case FW_ETH_TX_PKT_WR:
    case FW_ETH_TX_PKT_VM_WR:
    case FW_ETH_TX_EO_WR:
    case FW_PTP_TX_PKT_WR:
    case FW_ETH_TX_PKTS_WR:
    case FW_ETH_TX_PKTS_VM_WR:
    case FW_ETH_TX_PKTS2_WR:
        return ethernet_request(engine, id, request, length, budget);
    case FW_FLOWC_WR:
        return flows_request(engine, id, request, length);
    case FW_EQ_FLUSH_WR: /* asks for nothing but its completion */
        return OUTCOME_DONE;
    default:
        return control_request(engine, id, request, length);
    }
}

static void finish_request(struct engine *engine, uint32_t id, const uint8_t *request,
                           uint32_t length)
{
    struct egress *queue = &engine->egress[id];
    uint32_t descriptors = (length + DESCRIPTOR - 1) / DESCRIPTOR;

    queue->cidx = (queue->cidx + descriptors) % queue->entries;
    queue->progress = 0;
    if (get(request, WR_EQUEQ))
        queue->to_tell |= FLOW_STATUS;
    if (get(request, WR_EQUIQ))
        queue->to_tell |= FLOW_MESSAGE;
    if (queue->flow && flows_done(engine, id, request))
        queue->to_tell |= FLOW_CREDITS;
    egress_mark(engine, id);
}

/* Works on the next work request: all of it, or as much as the budget and its receivers allow. */
static void work(struct engine *engine, uint32_t id, uint32_t *budget)
{
    struct egress *queue = &engine->egress[id];
    uint8_t request[REQUEST_MAX];
    uint32_t length = 0;
    enum outcome outcome = read_request(engine, id, request, &length);

    if (outcome == OUTCOME_DONE)
        outcome = do_request(engine, id, request, length, budget);
    if (outcome == OUTCOME_DONE)
        finish_request(engine, id, request, length);
    queue->held = outcome == OUTCOME_HELD;
    queue->halted |= outcome == OUTCOME_FAULT || outcome == OUTCOME_NONSENSE;
    if (outcome == OUTCOME_NONSENSE)
        engine_report(engine, TROUBLE_WORK_REQUEST, id, get32(request), 0);
}

bool egress_run(struct engine *engine, uint32_t id, uint32_t *budget)
{
    struct egress *queue = &engine->egress[id];

    queue->held = 0;
    while (!queue->halted && !queue->held && tell(engine, id) && queue->cidx != queue->pidx &&
           *budget && !moved_enough(engine) && !pace_holds(engine, queue)) {
        --*budget;
        work(engine, id, budget);
    }
    return !queue->halted && (queue->cidx != queue->pidx || queue->to_tell);
}
