/* See hostile_guest.h. The guest's memory has three parts: rings, each in a range of its own that
 * is never used again; buffers; and buffers that the card may only read. All else is a hole. So the
 * host can tell a touch of a ring that is gone, or beyond its end, from an address that the guest
 * has invented. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "vmcoredd/emu/engine/internal.h"

#include "hostile_guest.h"

#define RINGS_AT 0x5a3c690000000000u /* no byte that changes makes it of a buffer's address */
#define RING_STRIDE 0x1000000u
#define BUFFERS_AT 0x10000000u
#define READABLE_AT 0x20000000u

enum {
    RINGS = 24,     /* ids from 0 on, of each direction */
    FREE_LISTS = 8, /* the first of the egress rings, mostly */
    OFFLOAD = 20,   /* those from here on have flows, mostly */
    FLOWS = 4,
    BUFFERS = 1 << 20,
    HEADERS = 256, /* bytes that begin a frame, every so many bytes of the buffers */
    WORK_REQUEST_MAX = 1024,
    STATUS = 64,
};

/* What steers the engine, of what a driver may write */
static const uint32_t REGISTERS[] = {
    SGE_CONTROL,
    SGE_CONTROL2,
    SGE_FL_BUFFER_SIZE0,
    SGE_FL_BUFFER_SIZE0 + 4,
    SGE_FL_BUFFER_SIZE0 + 8,
    SGE_INGRESS_RX_THRESHOLD,
    SGE_TIMER_VALUE_0_AND_1,
    SGE_HOST_PAGE_SIZE,
    SGE_EGRESS_QUEUES_PER_PAGE_PF,
    SGE_INGRESS_QUEUES_PER_PAGE_PF,
    TP_OUT_CONFIG,
};

struct ring {
    uint64_t at, bytes; /* 0: no ring */
    uint8_t *memory;
    int mapped;
};

struct guest {
    struct engine *engine;
    void *bars[3];
    struct guest_calls calls;
    struct host host;
    uint64_t random, now;
    uint64_t rings_made;
    uint32_t interfaces, hoarding;
    uint32_t registers[sizeof(REGISTERS) / sizeof(*REGISTERS)]; /* at first */
    struct ring egress[RINGS], ingress[RINGS];
    uint8_t *buffers;
    struct guest_sights sights;
    uint64_t run_accesses, run_bytes;
    char said[160];
};

/* Chance */

static uint64_t any(struct guest *guest)
{
    guest->random ^= guest->random << 13;
    guest->random ^= guest->random >> 7;
    guest->random ^= guest->random << 17;
    return guest->random;
}

static uint32_t below(struct guest *guest, uint32_t bound)
{
    return (uint32_t)((any(guest) >> 32) * bound >> 32);
}

static bool rarely(struct guest *guest, uint32_t times)
{
    return below(guest, times) == 0;
}

static void fill(struct guest *guest, uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)any(guest);
}

/* A value at or near a bound, or anything. */
static uint32_t edge(struct guest *guest, uint32_t bound)
{
    switch (below(guest, 4)) {
    case 0:
        return below(guest, bound + 1);
    case 1:
        return bound + below(guest, 3) - 1;
    case 2:
        return below(guest, 3);
    default:
        return (uint32_t)any(guest);
    }
}

/* The host */

static void complain(struct guest *guest, const char *what, uint64_t address, uint64_t length)
{
    if (!guest->said[0])
        snprintf(guest->said, sizeof(guest->said), "%s: %#llx, %llu bytes", what,
                 (unsigned long long)address, (unsigned long long)length);
}

static const struct ring *ring_at(const struct guest *guest, uint64_t address)
{
    for (uint32_t i = 0; i < RINGS; i++) {
        if (guest->egress[i].bytes && address - guest->egress[i].at < guest->egress[i].bytes)
            return &guest->egress[i];
        if (guest->ingress[i].bytes && address - guest->ingress[i].at < guest->ingress[i].bytes)
            return &guest->ingress[i];
    }
    return NULL;
}

static uint8_t *in_rings(struct guest *guest, uint64_t address, uint64_t length, int *error)
{
    const struct ring *ring = ring_at(guest, address);

    if (!ring || length > ring->bytes - (address - ring->at)) {
        complain(guest, "a touch of a ring that is gone, or beyond its end", address, length);
        *error = -ENOENT;
        return NULL;
    }
    *error = ring->mapped ? 0 : -ENOENT;
    return ring->mapped ? ring->memory + (address - ring->at) : NULL;
}

static uint8_t *memory(struct guest *guest, uint64_t address, uint64_t length, bool is_write,
                       int *error)
{
    const uint64_t rings = RINGS_AT, end = rings + (guest->rings_made + 1) * RING_STRIDE;

    guest->sights.accesses++;
    guest->run_accesses++;
    guest->run_bytes += length;
    if (!guest->engine->bus_master || guest->engine->host != &guest->host)
        complain(guest, "a touch without bus mastering, or without a host", address, length);
    if (address >= rings && address < end)
        return in_rings(guest, address, length, error);
    *error = -ENOENT;
    if (address >= BUFFERS_AT && address < BUFFERS_AT + BUFFERS &&
        length <= BUFFERS_AT + BUFFERS - address)
        *error = 0;
    if (address >= READABLE_AT && address < READABLE_AT + BUFFERS &&
        length <= READABLE_AT + BUFFERS - address)
        *error = is_write ? -EACCES : 0;
    return *error ? NULL : guest->buffers + address % BUFFERS;
}

static int copy(struct guest *guest, uint64_t address, void *ours, uint64_t length, bool is_write)
{
    int error = 0;
    uint8_t *theirs = memory(guest, address, length, is_write, &error);

    if (error)
        guest->sights.refused++;
    else /* a frame from outside may lie in the buffers, too */
        memmove(is_write ? theirs : ours, is_write ? ours : theirs, length);
    return error;
}

static int host_read(void *cookie, uint64_t address, void *into, uint64_t length)
{
    return copy(cookie, address, into, length, false);
}

static int host_write(void *cookie, uint64_t address, const void *data, uint64_t length)
{
    return copy(cookie, address, (void *)(uintptr_t)data, length, true);
}

static int host_irq(void *cookie, uint32_t vector)
{
    struct guest *guest = cookie;

    guest->sights.interrupts++;
    return vector % 7 ? 0 : -ENOENT;
}

/* What firmware does for the guest. It refuses ids and sizes that the card cannot have; all else is
 * the guest's. */

static uint64_t make_ring(struct guest *guest, struct ring *ring, uint64_t bytes)
{
    ring->at = RINGS_AT + ++guest->rings_made * RING_STRIDE;
    ring->memory = calloc(1, bytes);
    ring->bytes = ring->memory ? bytes : 0;
    ring->mapped = !rarely(guest, 40);
    return ring->at;
}

static void free_ring(struct ring *ring)
{
    free(ring->memory);
    memset(ring, 0, sizeof(*ring));
}

static void free_egress(struct guest *guest, uint32_t id)
{
    memset(&guest->engine->egress[id], 0, sizeof(guest->engine->egress[id]));
    free_ring(&guest->egress[id]);
}

static void free_ingress(struct guest *guest, uint32_t id)
{
    memset(&guest->engine->ingress[id], 0, sizeof(guest->engine->ingress[id]));
    free_ring(&guest->ingress[id]);
}

static void new_egress(struct guest *guest, uint32_t id)
{
    struct egress *queue = &guest->engine->egress[id];
    uint32_t entries = 1 + below(guest, rarely(guest, 10) ? 3000 : 80);

    free_egress(guest, id);
    queue->address = make_ring(guest, &guest->egress[id], entries * DESCRIPTOR + STATUS);
    queue->entries = entries;
    queue->status_bytes = STATUS;
    queue->kind = (uint8_t)(EGRESS_FREE_LIST + below(guest, 4));
    if (!rarely(guest, 10))
        queue->kind = id < FREE_LISTS ? EGRESS_FREE_LIST
                      : id < OFFLOAD  ? EGRESS_ETHERNET
                                      : EGRESS_OFFLOAD;
    queue->traffic_class = (uint8_t)(rarely(guest, 4) ? below(guest, 20) : ENGINE_NO_CLASS);
    queue->pf = 4;
    queue->port = (uint8_t)below(guest, 2);
    queue->host_flow_control = (uint8_t)below(guest, 4);
    queue->flush_threshold = (uint8_t)below(guest, 8);
    queue->auto_message = (uint8_t)below(guest, 2);
    queue->auto_status = (uint8_t)below(guest, 2);
    queue->interface = (uint16_t)(1 + below(guest, 4));
    queue->ingress = (uint16_t)(rarely(guest, 10) ? any(guest) : below(guest, RINGS));
    queue->packing = (uint8_t)below(guest, 2);
    queue->padding = (uint8_t)below(guest, 2);
    queue->flm = (uint16_t)id;
}

static void new_ingress(struct guest *guest, uint32_t id)
{
    struct ingress *queue = &guest->engine->ingress[id];
    uint32_t entries = 1 + below(guest, rarely(guest, 10) ? 2000 : 80);

    free_ingress(guest, id);
    queue->entry_bytes = rarely(guest, 10) ? 16u << below(guest, 4) : 64;
    queue->address =
        make_ring(guest, &guest->ingress[id], (uint64_t)(entries + 1) * queue->entry_bytes);
    queue->entries = entries;
    queue->pf = 4;
    queue->port = (uint8_t)below(guest, 2);
    queue->asynchronous = rarely(guest, 4);
    queue->forwarded = rarely(guest, 6);
    queue->interrupts = !rarely(guest, 6);
    queue->threshold = (uint8_t)below(guest, 4);
    queue->vector = (uint16_t)(rarely(guest, 10) ? any(guest) & 0xfff : below(guest, RINGS));
    queue->interface = (uint16_t)(1 + below(guest, 4));
    queue->free_list = (uint16_t)(rarely(guest, 10) ? any(guest) : below(guest, FREE_LISTS));
    queue->generation = 1;
}

static void new_interface(struct guest *guest, uint32_t id)
{
    struct interface *interface = &guest->engine->interfaces[id];

    fill(guest, (uint8_t *)interface, sizeof(*interface));
    interface->viid = (uint16_t)(id + 1);
    interface->port = (uint8_t)(id % 2);
    interface->pf = 4;
    interface->promiscuous = !rarely(guest, 3);
    interface->receives = interface->sends = !rarely(guest, 10);
    interface->default_queue = (uint16_t)below(guest, RINGS);
    interface->rss_count = 1u << below(guest, 8);
    interface->rss_first = interface->rss_count * below(guest, 4);
}

/* Fills the table of addresses with one for all interfaces. */
static void new_macs(struct guest *guest)
{
    struct engine *engine = guest->engine;

    for (uint32_t i = 0; i < ENGINE_MACS; i++)
        engine->macs[i].viid = (uint16_t)(1 + below(guest, guest->interfaces));
    engine->mac_count = ENGINE_MACS;
}

/* Limits a class, or a port, or lets it go. */
static void new_rate(struct guest *guest)
{
    guest->calls.limit(guest->engine, below(guest, 2), below(guest, 20),
                       rarely(guest, 2) ? 0 : 1u << below(guest, 32), (int)below(guest, 2));
}

/* Ports are joined, and up unless one of them is not configured. */
static void new_link(struct guest *guest, uint32_t id)
{
    struct port *port = &guest->engine->ports[id];

    port->present = port->enabled = 1;
    port->configured = !rarely(guest, 6);
    port->wire.kind = WIRE_PORT;
    port->wire.peer = (uint8_t)!id;
    guest->calls.update_links(guest->engine);
}

static void new_host(struct guest *guest)
{
    struct engine *engine = guest->engine;

    engine->bus_master = !rarely(guest, 4);
    engine->host = rarely(guest, 8) ? NULL : &guest->host;
    engine->msix = !rarely(guest, 4);
    engine->msix_masked = rarely(guest, 4);
    engine->intx = rarely(guest, 2);
}

/* What the guest writes to its memory */

static uint64_t buffer(struct guest *guest)
{
    uint64_t base = rarely(guest, 3) ? READABLE_AT : BUFFERS_AT;

    if (rarely(guest, 500))
        return any(guest);
    return base + below(guest, BUFFERS / HEADERS) * HEADERS + below(guest, 4) % 3;
}

static uint32_t put_sgl(struct guest *guest, uint8_t *at, uint32_t count, uint32_t length)
{
    uint8_t *pair = at + SGL_BYTES;
    uint32_t each = length / count + 1;

    put(at, SGL_CMD, rarely(guest, 50) ? any(guest) : ULP_TX_SC_DSGL);
    put(at, SGL_NSGE, rarely(guest, 30) ? any(guest) : count);
    put(at, SGL_LEN0, each);
    put(at, SGL_ADDR0, buffer(guest));
    for (uint32_t i = 1; i < count; i += 2, pair += SGL_PAIR_BYTES) {
        put(pair, SGL_PAIR_LEN0, rarely(guest, 30) ? edge(guest, 0) : each);
        put(pair, SGL_PAIR_LEN1, i + 1 < count ? each : 0);
        put(pair, SGL_PAIR_ADDR0, buffer(guest));
        put(pair, SGL_PAIR_ADDR1, buffer(guest));
    }
    return (uint32_t)(pair - at);
}

static uint32_t put_lso(struct guest *guest, uint8_t *at, uint32_t length)
{
    put(at, LSO_OPCODE, CPL_TX_PKT_LSO);
    put(at, LSO_FIRST_SLICE, !rarely(guest, 20));
    put(at, LSO_LAST_SLICE, !rarely(guest, 20));
    put(at, LSO_IPV6, rarely(guest, 4));
    put(at, LSO_ETHHDR_LEN, rarely(guest, 10) ? any(guest) : 0);
    put(at, LSO_IPHDR_LEN, rarely(guest, 10) ? any(guest) : 5);
    put(at, LSO_TCPHDR_LEN, rarely(guest, 10) ? any(guest) : 5);
    put(at, LSO_MSS, rarely(guest, 4) ? edge(guest, 1) : 536 + below(guest, 9000));
    put(at, LSO_XFER_SIZE, rarely(guest, 20) ? any(guest) : length);
    return LSO_BYTES;
}

static uint32_t put_packet(struct guest *guest, uint8_t *at, uint32_t length)
{
    put(at, TX_PKT_OPCODE, CPL_TX_PKT_XT);
    put(at, TX_PKT_INTF, rarely(guest, 4) ? any(guest) : below(guest, 2));
    put(at, TX_PKT_PF, 4);
    put(at, TX_PKT_LEN, rarely(guest, 20) ? any(guest) : length);
    put(at, TX_PKT_CSUM_TYPE, below(guest, 16));
    if (rarely(guest, 2))
        put64(at + 8, get64(at + 8) | (any(guest) & 0x1ffffffffffffff) | (uint64_t)14 << 20);
    return TX_PKT_BYTES;
}

static const uint8_t OPCODES[] = {
    FW_ETH_TX_PKT_WR, FW_PTP_TX_PKT_WR, FW_ETH_TX_PKT_VM_WR, FW_ETH_TX_EO_WR, FW_TP_WR,
    FW_ULPTX_WR,      FW_FLOWC_WR,      FW_OFLD_TX_DATA_WR,  FW_FILTER_WR,    FW_FILTER2_WR};

/* Makes a request to open, change or close a flow, right or nearly so. Returns its length. */
static uint32_t flow_request(struct guest *guest, uint8_t *request)
{
    uint32_t count = below(guest, 7), at = FLOWC_WR_BYTES;

    put(request, WR_OP, FW_FLOWC_WR);
    put(request, FLOWC_WR_COMPL, !rarely(guest, 4));
    put(request, FLOWC_WR_FLOWID, rarely(guest, 40) ? any(guest) : below(guest, FLOWS));
    put(request, FLOWC_WR_NPARAMS, rarely(guest, 40) ? any(guest) : count);
    for (uint32_t i = 0; i < count; i++, at += FLOWC_PARAM_BYTES) {
        uint32_t which = below(guest, FW_FLOWC_MNEM_MAX);

        put(request + at, FLOWC_PARAM_MNEMONIC, rarely(guest, 40) ? any(guest) : which);
        put(request + at, FLOWC_PARAM_VAL,
            rarely(guest, 40) ? any(guest)
                              : 1 + below(guest, which == FW_FLOWC_MNEM_IQID ? 20 : 2));
    }
    return at;
}

/* Makes a request to send a frame, right or nearly so. Returns its length. */
static uint32_t frame_request(struct guest *guest, uint8_t *request, uint32_t header)
{
    uint32_t length = rarely(guest, 3) ? edge(guest, 65535) & 0xffff
                                       : 60 + below(guest, rarely(guest, 2) ? 90 : 1500);
    uint32_t at = header, immediate;

    put(request, WR_OP, header == EO_WR_BYTES ? FW_ETH_TX_EO_WR : FW_ETH_TX_PKT_WR);
    put(request, WR_FLOWID, below(guest, FLOWS));
    put(request, WR_COMPL, below(guest, 2));
    if (rarely(guest, 3))
        at += put_lso(guest, request + at, length);
    at += put_packet(guest, request + at, length);
    immediate = at - header;
    if (length < 150 && rarely(guest, 2)) {
        memcpy(request + at, guest->buffers, length);
        immediate += length;
        at += length;
    } else {
        at += put_sgl(guest, request + at, 1 + below(guest, 18), length);
    }
    put(request, ETH_WR_IMMDLEN, rarely(guest, 30) ? any(guest) : immediate);
    put(request, WR_EQUIQ, below(guest, 2));
    put(request, WR_EQUEQ, below(guest, 2));
    return at;
}

/* Makes a request for a filter one for frames to be sent out again, rewritten. */
static void put_switching(struct guest *guest, uint8_t *request)
{
    uint8_t *nat = request + FILTER_WR_BYTES;

    put(request, FILTER_WR_LPBK, !rarely(guest, 10));
    put(request, FILTER_WR_TXCHAN, below(guest, rarely(guest, 10) ? 4 : 2));
    put(request, FILTER_WR_DMAC, below(guest, 2));
    put(request, FILTER_WR_SMAC, below(guest, 2));
    put(request, FILTER_WR_INSVLAN, below(guest, 2));
    put(request, FILTER_WR_RMVLAN, below(guest, 2));
    put(request, FILTER_WR_L2TIX, any(guest));
    put(request, FILTER_WR_SMAC_SEL, any(guest));
    put(nat, FILTER_NAT_NATMODE, below(guest, 8));
    put(nat, FILTER_NAT_NEWLPORT, any(guest));
}

/* Makes a request for an entry of a table that filters use, or for a field of a filter. Returns its
 * length. */
static uint32_t table_request(struct guest *guest, uint8_t *request)
{
    static const uint8_t opcodes[] = {CPL_L2T_WRITE_REQ, CPL_SMT_WRITE_REQ, CPL_SET_TCB_FIELD};
    uint8_t *cpl = request + ETH_WR_BYTES;

    fill(guest, cpl, 32);
    put(request, WR_OP, FW_TP_WR);
    put32(cpl, guest->engine->first_filter + below(guest, 530));
    *cpl = opcodes[below(guest, sizeof(opcodes))];
    return ETH_WR_BYTES + 32;
}

/* Makes a request for a filter, right or nearly so, that matches some frames. Returns its length.
 */
static uint32_t filter_request(struct guest *guest, uint8_t *request)
{
    uint32_t first = guest->engine->first_filter;
    uint32_t tid = rarely(guest, 3) ? edge(guest, first) : first + below(guest, 530);

    put(request, WR_OP, rarely(guest, 2) ? FW_FILTER_WR : FW_FILTER2_WR);
    put(request, FILTER_WR_TID, tid);
    put(request, FILTER_WR_RQTYPE, below(guest, 2));
    put(request, FILTER_WR_NOREPLY, rarely(guest, 4));
    put(request, FILTER_WR_IQ, rarely(guest, 10) ? any(guest) : below(guest, RINGS));
    put(request, FILTER_WR_DEL_FILTER, rarely(guest, 6));
    put(request, FILTER_WR_DROP, rarely(guest, 6));
    put(request, FILTER_WR_DIRSTEER, below(guest, 2));
    put(request, FILTER_WR_RPTTID, below(guest, 2));
    put(request, FILTER_WR_HITCNTS, 1);
    if (rarely(guest, 2))
        put_switching(guest, request);
    put(request, FILTER_WR_LP, any(guest));
    put(request, FILTER_WR_LPM, below(guest, 16));
    put(request, FILTER_WR_RX_RPL_IQ, rarely(guest, 10) ? any(guest) : below(guest, RINGS));
    if (rarely(guest, 4))
        fill(guest, request + ETH_WR_BYTES + below(guest, 120), 4);
    return FILTER_WR_BYTES + FILTER_NAT_BYTES;
}

/* Makes any request of a queue. Returns its length. */
static uint32_t request_of(struct guest *guest, const struct egress *queue, uint8_t *request)
{
    bool flows = queue->kind == EGRESS_OFFLOAD;
    uint32_t length = 16 + below(guest, 120);

    if (flows && rarely(guest, 3))
        length = flow_request(guest, request);
    else if (!rarely(guest, 4))
        length = frame_request(guest, request, flows ? EO_WR_BYTES : ETH_WR_BYTES);
    else if (rarely(guest, 4))
        length = filter_request(guest, request);
    else if (rarely(guest, 4))
        length = table_request(guest, request);
    else
        fill(guest, request, length);
    if (rarely(guest, 10))
        put(request, WR_OP, OPCODES[below(guest, sizeof(OPCODES))]);
    put(request, WR_LEN16, rarely(guest, 50) ? any(guest) : (length + 15) / 16);
    if (rarely(guest, 10))
        request[below(guest, length)] = (uint8_t)any(guest);
    return (length + DESCRIPTOR - 1) / DESCRIPTOR * DESCRIPTOR;
}

/* Puts a request, or buffers, into a ring. Returns the increment of its PIDX. */
static uint32_t post(struct guest *guest, uint32_t id)
{
    const struct egress *queue = &guest->engine->egress[id];
    struct ring *ring = &guest->egress[id];
    uint8_t request[WORK_REQUEST_MAX] = {0};
    uint32_t length, place = queue->pidx;

    if (!ring->bytes)
        return 1;
    if (queue->kind == EGRESS_FREE_LIST) {
        for (length = 0; length < DESCRIPTOR; length += 8)
            put64(request + length, (buffer(guest) & ~(uint64_t)0x1f) | below(guest, 4));
    } else {
        length = request_of(guest, queue, request);
    }
    for (uint32_t done = 0; done < length; done += DESCRIPTOR, place = (place + 1) % queue->entries)
        memcpy(ring->memory + (uint64_t)place * DESCRIPTOR, request + done, DESCRIPTOR);
    return length / DESCRIPTOR;
}

/* What the guest does to the card */

static void write32(struct guest *guest, uint32_t bar, uint64_t offset, uint32_t value)
{
    (void)guest->calls.access(guest->bars[bar], offset, &value, sizeof(value), 1);
}

/* The place of a queue's doorbells in BAR2, eight queues to a page; see
 * docs/explanation/architecture.md. */
static uint64_t doorbell_of(uint32_t id)
{
    return (uint64_t)(id >> 3) * 4096 + (id & 7) * 128;
}

static uint32_t room(const struct egress *queue)
{
    return queue->entries ? (queue->cidx + queue->entries - queue->pidx - 1) % queue->entries : 0;
}

static void ring(struct guest *guest, uint32_t id, uint32_t increment)
{
    uint8_t descriptor[DESCRIPTOR];

    if (rarely(guest, 50))
        increment = edge(guest, guest->engine->egress[id].entries);
    else if (increment > room(&guest->engine->egress[id]) && !rarely(guest, 50))
        return;
    switch (below(guest, 3)) {
    case 0:
        write32(guest, 0, MYPF_SGE_PF_KDOORBELL, id << 15 | (increment & 0x1fff));
        break;
    case 1:
        write32(guest, 1, doorbell_of(id) + 8, increment & 0x1fff);
        break;
    default:
        fill(guest, descriptor, sizeof(descriptor));
        (void)guest->calls.access(guest->bars[1], doorbell_of(id) + 64, descriptor,
                                  sizeof(descriptor), 1);
    }
}

static void give_back(struct guest *guest, uint32_t id)
{
    const struct ingress *queue = &guest->engine->ingress[id];
    uint32_t taken =
        queue->entries ? (queue->pidx + queue->entries - queue->cidx) % queue->entries : 0;
    uint32_t increment = rarely(guest, 20) ? edge(guest, taken) & 0xfff : below(guest, taken + 1);
    uint32_t value = increment | below(guest, 2) << 12 | below(guest, 8) << 13;

    if (rarely(guest, 2))
        write32(guest, 0, MYPF_SGE_PF_GTS, value | id << 16);
    else
        write32(guest, 1, doorbell_of(id) + 20, value);
}

static void ring_anything(struct guest *guest)
{
    uint8_t data[512];
    uint32_t length = (1 + below(guest, 128)) * 4;
    uint64_t offset = (uint64_t)below(guest, rarely(guest, 4) ? 0x200000 : 0x4000) * 4;

    fill(guest, data, sizeof(data));
    (void)guest->calls.access(guest->bars[1], offset, data, length, 1);
}

/* Spoils a register, or writes what it was at first: with a wrong page size, say, few doorbells
 * arrive. */
static void set_register(struct guest *guest)
{
    uint32_t which = below(guest, sizeof(REGISTERS) / sizeof(*REGISTERS));
    uint32_t value = guest->registers[which];

    if (rarely(guest, 4))
        value = rarely(guest, 3) ? (uint32_t)any(guest) : value ^ 1u << below(guest, 32);
    write32(guest, 0, REGISTERS[which], value);
}

static void frame_arrives(struct guest *guest)
{
    struct frame frame = {.data = guest->buffers + below(guest, BUFFERS / HEADERS / 2) * HEADERS,
                          .length = 14 + below(guest, rarely(guest, 10) ? 65522 : 1500)};

    (void)guest->calls.receive(guest->engine, below(guest, 2), &frame);
}

static void message_arrives(struct guest *guest)
{
    uint8_t cpl[48];

    fill(guest, cpl, sizeof(cpl));
    (void)guest->calls.cpl(guest->engine, edge(guest, RINGS), cpl, sizeof(cpl));
}

static uint64_t processor_time(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void run(struct guest *guest)
{
    guest->run_accesses = guest->run_bytes = 0;
    guest->now += below(guest, 300000);
    uint64_t before = processor_time();
    guest->calls.run(guest->engine, guest->now);
    uint64_t took = processor_time() - before;
    if (took > guest->sights.most_ns)
        guest->sights.most_ns = took;
    guest->engine->reports = rarely(guest, 64) ? ENGINE_REPORTS : 0; /* they take Python's time */
    if (guest->run_accesses > guest->sights.most_accesses)
        guest->sights.most_accesses = guest->run_accesses;
    if (guest->run_bytes > guest->sights.most_bytes)
        guest->sights.most_bytes = guest->run_bytes;
}

static void change(struct guest *guest, uint32_t id)
{
    switch (below(guest, 14)) {
    case 0:
        free_egress(guest, id);
        break;
    case 1:
        free_ingress(guest, id);
        break;
    case 2:
    case 3:
    case 4:
        new_egress(guest, id);
        break;
    case 5:
    case 6:
    case 7:
        new_ingress(guest, id);
        break;
    case 8:
        new_interface(guest, below(guest, guest->interfaces));
        break;
    case 9:
        new_host(guest);
        break;
    case 10:
        set_register(guest);
        break;
    case 11:
        new_link(guest, id % 2);
        break;
    case 12:
        new_rate(guest);
        break;
    default:
        guest->egress[id].mapped = guest->ingress[id].mapped = !rarely(guest, 4);
    }
}

/* Most operations are a driver's, so that rings fill and frames flow. */
static void act(struct guest *guest)
{
    uint32_t id = below(guest, RINGS);

    if (guest->engine->egress[id].halted && rarely(guest, 4))
        new_egress(guest, id);
    if (guest->engine->ingress[id].halted && rarely(guest, 4))
        new_ingress(guest, id);
    switch (below(guest, 40)) {
    case 0:
        ring_anything(guest);
        break;
    case 1:
        change(guest, id);
        break;
    case 2:
        message_arrives(guest);
        break;
    case 3:
        guest->calls.tell(guest->engine, below(guest, 2));
        break;
    case 4:
        write32(guest, 2, below(guest, 2048) * 4u, (uint32_t)any(guest));
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        frame_arrives(guest);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
        ring(guest, id % FREE_LISTS, post(guest, id % FREE_LISTS));
        break;
    default:
        if (rarely(guest, 2))
            give_back(guest, id);
        else
            ring(guest, id, post(guest, id));
    }
}

/* A card that a driver has brought up. */
static void bring_up(struct guest *guest)
{
    guest->engine->host = &guest->host;
    guest->engine->bus_master = guest->engine->msix = 1;
    for (uint32_t id = 0; id < RINGS; id++) {
        new_egress(guest, id);
        new_ingress(guest, id);
    }
    guest->interfaces = rarely(guest, 4) ? ENGINE_INTERFACES : 8;
    for (uint32_t id = 0; id < guest->interfaces; id++)
        new_interface(guest, id);
    if (rarely(guest, 4))
        new_macs(guest);
    for (uint32_t id = 0; id < 2; id++)
        new_link(guest, id);
}

const char *guest_storm(struct guest *guest, uint64_t operations, uint64_t most_accesses)
{
    bring_up(guest);
    for (uint64_t i = 0; i < operations && !guest->said[0]; i++) {
        act(guest);
        if (rarely(guest, 2000))
            guest->hoarding = below(guest, 2000); /* much work for one run */
        if (guest->hoarding)
            guest->hoarding--;
        else if (guest->engine->pending || rarely(guest, 8))
            run(guest);
        if (guest->run_accesses > most_accesses)
            complain(guest, "one run does too much", i, guest->run_bytes);
    }
    return guest->said[0] ? guest->said : NULL;
}

const char *guest_calm(struct guest *guest)
{
    guest->calls.stop(guest->engine, -1);
    for (uint32_t i = 0; i < ENGINE_FILTERS / 64; i++)
        if (guest->engine->filters_used[i])
            complain(guest, "a filter after all are gone", i, guest->engine->filters_used[i]);
    if (guest->engine->filter_count)
        complain(guest, "a count of filters without any", 0, guest->engine->filter_count);
    for (uint32_t id = 0; id < RINGS; id++) {
        free_egress(guest, id);
        free_ingress(guest, id);
    }
    uint64_t before = guest->sights.accesses;
    for (int i = 0; i < 100; i++)
        run(guest);
    if (guest->sights.accesses != before)
        complain(guest, "a touch after all queues are gone", 0, guest->sights.accesses - before);
    guest->engine->host = NULL;
    return guest->said[0] ? guest->said : NULL;
}

const struct guest_sights *guest_sights(const struct guest *guest)
{
    return &guest->sights;
}

/* Ethernet, IPv4 or IPv6, and TCP headers, so that what parses frames has something to parse. */
static void make_headers(uint8_t *at, bool ip6)
{
    put16(at + 12, ip6 ? 0x86dd : 0x0800);
    at[14] = ip6 ? 0x60 : 0x45;
    put16(at + (ip6 ? 18 : 16), 1000);
    at[ip6 ? 20 : 23] = 6;
    at[ip6 ? 66 : 46] = 0x50;
}

struct guest *guest_create(struct engine *engine, void *const *bars,
                           const struct guest_calls *calls, uint64_t seed)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    if (!guest)
        return NULL;
    guest->buffers = malloc(BUFFERS);
    if (!guest->buffers) {
        free(guest);
        return NULL;
    }
    guest->engine = engine;
    guest->calls = *calls;
    guest->random = seed * 0x9e3779b97f4a7c15 + 1;
    guest->now = 1000000000;
    memcpy(guest->bars, bars, sizeof(guest->bars));
    guest->host = (struct host){guest, host_irq, host_read, host_write};
    fill(guest, guest->buffers, BUFFERS);
    for (uint32_t i = 0; i < sizeof(REGISTERS) / sizeof(*REGISTERS); i++)
        guest->registers[i] = engine->core->bar0->words[REGISTERS[i] / 4];
    for (uint32_t at = 0; at < BUFFERS; at += HEADERS)
        make_headers(guest->buffers + at, at / HEADERS % 4 == 0);
    return guest;
}

void guest_destroy(struct guest *guest)
{
    for (uint32_t id = 0; id < RINGS; id++) {
        free_ring(&guest->egress[id]);
        free_ring(&guest->ingress[id]);
    }
    free(guest->buffers);
    free(guest);
}
