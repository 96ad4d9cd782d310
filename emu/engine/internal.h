/* Declarations that the engine's C files share, not for Python. Each file calls only those below
 * it, but for wire.c, which has port.c update the links when its peer says that its port is on, and
 * receive.c, which has port.c send what a filter sends out again:
 *
 *   engine.c    the loop: whose turn it is, budgets
 *   contexts.c  what a dump shows of queues
 *   doorbell.c  BAR2 and SGE_PF_*: indices that the driver moves
 *   egress.c    the rings of work requests, and completions
 *   ethernet.c  work requests that send frames
 *   sending.c   what they ask for; gather.c: where the bytes are
 *   pace.c      the rates at which they may
 *   flows.c     flows of Ethernet offload: their classes and credits
 *   control.c   requests of the control queues
 *   offload.c   segmentation, checksums, VLAN tags
 *   port.c      links, and whose wire a frame is sent on; pause.c: when it has to wait
 *   statistics.c what MPS counts
 *   stream.c    who connects to whom; wire.c: sockets and taps; capture.c: pcapng
 *   receive.c   who gets a frame: address filters, and its response
 *   filters.c   what drops it, steers it to a queue or sends it out again; rewrite.c: how changed
 *   rss.c       which queue gets it else; headers.c: what is in it
 *   ingress.c   responses and interrupts; freelist.c: the buffers of frames
 *   checksum.c  the Internet checksum
 *   dma.c       the host's memory
 *   irq.c       its interrupts
 *   record.c    the card's trace
 */
#ifndef VMCOREDD_ENGINE_INTERNAL_H
#define VMCOREDD_ENGINE_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pyvfio_user/host.h"
#include "pyvfio_user/io.h"
#include "vmcoredd/chip/chip.h"
#include "vmcoredd/chip/messages.h"
#include "vmcoredd/emu/core.h"
#include "vmcoredd/emu/engine/engine.h"
#include "vmcoredd/trace/ring.h"

enum { DESCRIPTOR = 64 };

/* Bytes of headers without options, and the type of a VLAN tag. */
enum {
    ETHERNET_ADDRESSES = 12, /* in front of a VLAN tag */
    ETHERNET_HEADER = 14,
    ETHERNET_SHORTEST = 60, /* frames without FCS: the MAC pads them */
    VLAN_TAG = 4,
    VLAN_PROTOCOL = 0x8100,
    MAC_CONTROL = 0x8808, /* a type of frame that stays in the MAC, with an opcode behind it */
    IP4_HEADER = 20,
    IP6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
};

/* Where the fields of headers are, and what they hold. */
enum {
    IP4_LENGTH = 2,
    IP4_ID = 4,
    IP4_FRAGMENT = 6,
    IP4_PROTOCOL = 9,
    IP4_CHECKSUM = 10,
    IP4_ADDRESSES = 12,
    IP6_LENGTH = 4,
    IP6_NEXT = 6,
    IP6_ADDRESSES = 8,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    UDP_TARGET = 2,
    UDP_LENGTH = 4,
    UDP_CHECKSUM = 6,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
};

/* A port's internal loopback: added to the number of the port, in TX_PKT_INTF and RX_PKT_IFF. */
enum { LOOPBACK = 4 };

static inline uint16_t get16(const void *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return __builtin_bswap16(value);
}

static inline uint32_t get32(const void *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return __builtin_bswap32(value);
}

static inline uint64_t get64(const void *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return __builtin_bswap64(value);
}

static inline void put16(void *at, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(at, &value, sizeof(value));
}

static inline void put32(void *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

static inline void put64(void *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof(value));
}

/* A field of a message, as messages.h describes it: get(cpl, TX_PKT_LEN). `mask` is not 0. */
static inline uint64_t get(const void *message, uint32_t offset, uint32_t bytes, uint64_t mask)
{
    const uint8_t *at = (const uint8_t *)message + offset;
    uint64_t word = *at;

    if (bytes == 2)
        word = get16(at);
    else if (bytes == 4)
        word = get32(at);
    else if (bytes == 8)
        word = get64(at);
    return (word & mask) >> __builtin_ctzll(mask);
}

/* Sets a field of a message; the other fields of its word stay. */
static inline void put(void *message, uint32_t offset, uint32_t bytes, uint64_t mask,
                       uint64_t value)
{
    uint8_t *at = (uint8_t *)message + offset;
    uint64_t field = (value << __builtin_ctzll(mask)) & mask;

    if (bytes == 1)
        *at = (uint8_t)((*at & ~mask) | field);
    else if (bytes == 2)
        put16(at, (uint16_t)((get16(at) & ~mask) | field));
    else if (bytes == 4)
        put32(at, (uint32_t)((get32(at) & ~mask) | field));
    else
        put64(at, (get64(at) & ~mask) | field);
}

/* The bytes of a field that is an array: bytes_of(cpl, L2T_WRITE_REQ_DST_MAC). */
static inline const uint8_t *bytes_of(const uint8_t *message, uint32_t offset, uint32_t bytes,
                                      uint64_t mask)
{
    (void)bytes, (void)mask;
    return message + offset;
}

/* A register of BAR0, as it stands. */
static inline uint32_t reg(const struct engine *engine, uint32_t offset)
{
    return engine->core->bar0->words[offset / 4];
}

/* The field of a register that `mask` (chip.h) covers. */
static inline uint32_t field(uint32_t value, uint32_t mask)
{
    return (value & mask) >> __builtin_ctz(mask);
}

/* Whether responses have their errors in few bits, which leaves room to tell of a tunnel. */
static inline bool errors_are_compressed(const struct engine *engine)
{
    return engine->chip.compressed_errors &&
           (reg(engine, TP_OUT_CONFIG) & T6_TP_OUT_CONFIG_CRXPKTENC);
}

/* How far it is in a ring from one index to another. */
static inline uint32_t ring_distance(uint32_t from, uint32_t to, uint32_t entries)
{
    return (to + entries - from) % entries;
}

/* engine.c */
/* Asks for another run: something has changed that work may wait for. */
static inline void engine_wake(struct engine *engine)
{
    engine->pending = 1;
}

/* Whether this run has moved as much as it may. Frames from outside get the first half of it. */
static inline bool moved_enough(const struct engine *engine)
{
    return engine->moved >= ENGINE_RUN;
}

static inline bool moved_half(const struct engine *engine)
{
    return engine->moved >= ENGINE_RUN / 2;
}

/* A bit for each queue. */
static inline void set_bit(uint64_t *bits, uint32_t id)
{
    bits[id / 64] |= (uint64_t)1 << id % 64;
}

static inline void clear_bit(uint64_t *bits, uint32_t id)
{
    bits[id / 64] &= ~((uint64_t)1 << id % 64);
}

/* contexts.c: a queue is no longer in use; its table entry still says what it was */
void contexts_clear_egress(struct engine *engine, uint32_t id);
void contexts_clear_ingress(struct engine *engine, uint32_t id);

/* What became of a work request. */
enum outcome {
    OUTCOME_DONE,
    OUTCOME_MORE,     /* part of it is done, and there is no budget for the rest */
    OUTCOME_HELD,     /* part of it may be done; the rest waits for room elsewhere */
    OUTCOME_FAULT,    /* it names memory that the host does not have; this is reported */
    OUTCOME_NONSENSE, /* it cannot be understood */
};

/* doorbell.c */
/* Takes what clients have written to doorbells that they map. Returns when to look again. */
uint64_t doorbells_look(struct engine *engine);

/* egress.c */
/* How many more descriptors the driver may produce. */
uint32_t egress_room(const struct egress *queue);
/* A queue has changed: it may have work, and its context is to be written. */
void egress_mark(struct engine *engine, uint32_t id);
/* Works through a queue's requests. Each request and each frame costs 1 of the budget. Returns
 * whether the queue has work left. */
bool egress_run(struct engine *engine, uint32_t id, uint32_t *budget);

/* ethernet.c: handles a work request that sends frames; the queue's `progress` says how far it got
 */
enum outcome ethernet_request(struct engine *engine, uint32_t id, const uint8_t *request,
                              uint32_t length, uint32_t *budget);

/* pace.c */
/* Whether a rate may hold what a queue sends on a port; mostly none does. */
static inline bool pace_concerns(const struct engine *engine, const struct egress *queue,
                                 uint32_t port)
{
    return queue->flow || queue->traffic_class != ENGINE_NO_CLASS || engine->port_rates[port].kbps;
}

/* Whether rates hold a queue's next frame, as was found before. If so, the engine tries again in
 * time. */
bool pace_holds(struct engine *engine, struct egress *queue);
/* Whether rates let a queue send a frame on a port now. If not, pace_holds(). */
bool pace_allows(struct engine *engine, struct egress *queue, uint32_t port);
/* Charges a frame that was sent to the rates that it is subject to. */
void pace_charge(struct engine *engine, const struct egress *queue, uint32_t port, uint32_t bytes);

/* flows.c */
/* Finds the flow that a work request of an EGRESS_OFFLOAD queue belongs to, if any: the queue's
 * `flow`. False: the request is of a flow that is not open, or that is another function's. */
bool flows_find(struct engine *engine, uint32_t id, const uint8_t *request);
/* Handles FW_FLOWC_WR, which opens, changes or closes the queue's `flow`. */
enum outcome flows_request(struct engine *engine, uint32_t id, const uint8_t *request,
                           uint32_t length);
/* A work request of the queue's `flow` is done. Returns whether it has credits to give back now. */
bool flows_done(struct engine *engine, uint32_t id, const uint8_t *request);
/* Sends CPL_FW4_ACK for the queue's `flow`. */
int flows_acknowledge(struct engine *engine, uint32_t id);
/* Closes the flows of a function, or all: pf < 0. */
void flows_close(struct engine *engine, int pf);

/* gather.c: a packet's bytes, in its work request and in the host's memory */
struct gather {
    const uint8_t *inlined;
    uint32_t inlined_bytes;
    const uint8_t *list; /* of what follows the inlined bytes: struct ulptx_sgl */
    uint32_t elements;
};

/* Takes a list, which has `room` bytes to be in. False if it makes no sense. */
bool gather_list(struct gather *gather, const uint8_t *list, uint32_t room);
uint64_t gather_length(const struct gather *gather);
/* Copies bytes from offset `from` of the packet. 0 or -errno; a failure of the host is reported. */
int gather_read(struct engine *engine, uint32_t queue, const struct gather *gather, uint64_t from,
                uint8_t *into, uint32_t length);

/* offload.c */

/* Where the headers of a frame are, in bytes from its start. */
struct layers {
    uint32_t ip, transport, payload;
    bool ip6; /* or version 4 */
    bool udp; /* or TCP */
};

/* A part of a packet that is to be a frame of its own. */
struct segment {
    uint32_t index;
    uint32_t offset; /* of its payload in the packet's */
    bool last;
};

/* The headers of a tunnel, in front of the Ethernet header of the packet inside. */
struct outer {
    uint32_t ip; /* 0: there is no tunnel */
    uint32_t transport, end;
    bool ip6;
    /* What segments change of them */
    bool set_ip_length, count_ip_id, sum_ip, set_udp_length, clear_udp_sum;
};

/* Whether a frame of this length has this IP header, or all headers; those below need it to. */
bool offload_ip_fits(const struct layers *layers, uint32_t length);
bool offload_fits(const struct layers *layers, uint32_t length);
/* Makes the packet's headers, and the payload behind them, a frame: lengths, numbers, checksums. */
void offload_segment(uint8_t *frame, uint32_t length, const struct layers *layers,
                     const struct segment *segment);
/* The same for a tunnel, whose packet's IP header is at `inner`. */
bool offload_outer_fits(const struct outer *outer, uint32_t inner);
void offload_outer(uint8_t *frame, uint32_t length, const struct outer *outer, uint32_t index);
void offload_ip_sum(uint8_t *frame, const struct layers *layers);
void offload_transport_sum(uint8_t *frame, uint32_t length, const struct layers *layers);
/* Stores the checksum of the bytes from `start` to `end` in a field at `field`. */
void offload_sum(uint8_t *frame, uint32_t start, uint32_t end, uint32_t field, bool udp);
/* Puts a VLAN tag into a frame that has VLAN_TAG bytes of room in front. Returns its new start. */
uint8_t *offload_tag(uint8_t *frame, uint16_t tag);

/* sending.c */
enum { SENDING_HEADERS = 512 }; /* the longest that segments may repeat */

/* What a work request asks to send. */
struct sending {
    const uint8_t *cpl; /* its CPL_TX_PKT */
    struct gather gather;
    uint32_t length; /* of the packet */
    uint32_t mss;    /* the payload of a segment; 0: the packet is one frame */
    /* Of a packet to segment: its headers, and those of the tunnel around it */
    struct layers layers;
    struct outer outer;
};

/* The bytes in front of the first CPL. */
uint32_t sending_header_bytes(uint64_t opcode);
/* Whether the frame of a CPL_TX_PKT has IPv6, as its type of checksum says. */
bool sending_is_ip6(const uint8_t *cpl);
/* Understands a work request for one packet; false if it makes no sense. */
bool sending_parse(const struct engine_chip *chip, const uint8_t *request, uint32_t length,
                   struct sending *sending);
/* Understands one of several packets in a work request, which begins at `at`. If it is `bare`, it
 * is a CPL and a list of one element; else it has its length in front. Returns its bytes in the
 * request; 0: it makes no sense. */
uint32_t sending_parse_one(const uint8_t *request, uint32_t length, uint32_t at, bool bare,
                           struct sending *sending);

/* control.c: handles a work request to firmware or TP; held if its reply has no room */
enum outcome control_request(struct engine *engine, uint32_t id, const uint8_t *request,
                             uint32_t length);

/* port.c */
enum { PORT_LONGEST = 9618 }; /* that a port receives: an MTU of 9600, the Ethernet header, a tag */
/* Takes frames from outside, at most `budget`, and passes them on; returns how many. */
uint32_t ports_run(struct engine *engine, uint32_t budget);
/* Gives the kernel what is sent and captured; returns when a wire is to be tried again. */
uint64_t ports_flush(struct engine *engine);

/* pause.c */
/* Receives a frame for the port's MAC, of ETHERNET_SHORTEST bytes at least. One that pauses the
 * port is counted and, if that is the port's flow control, obeyed. */
void pause_receive(struct engine *engine, uint32_t id, const struct frame *frame);
/* pause_holds(), of a port that its peer has paused some time. */
bool pause_waits(struct engine *engine, uint32_t id);
/* Pauses the peer on a wire as long as its frames wait for room, and no longer. */
void pause_peer(struct engine *engine, uint32_t id);
/* When pause_peer() has to be called again; UINT64_MAX: no more. */
uint64_t pause_due(const struct engine *engine, uint32_t id);
/* Counts the pause frame by which a port without room holds its peer, both of this card. The peer
 * waits, whatever they have agreed on: frames that would be lost are not worth counting. */
void pause_count(const struct port *receiver, const struct port *sender);

/* Whether its peer has paused a port now. If so, the engine tries again in time. */
static inline bool pause_holds(struct engine *engine, uint32_t id)
{
    return engine->ports[id].wire.quiet && pause_waits(engine, id);
}

/* statistics.c */
void count_sent(struct engine *engine, uint32_t port, const struct frame *frame);
void count_received(struct engine *engine, uint32_t port, const struct frame *frame);
void count_looped(struct engine *engine, uint32_t port, const struct frame *frame);
/* Counts a frame that an interface of a function got. */
void count_delivered(struct engine *engine, uint32_t pf, const struct frame *frame);
/* Counts a frame that a port received, for which the card had no room. */
void count_drop(struct engine *engine, uint32_t port, const struct frame *frame);
/* Adds 1 to one of a port's statistics. */
void count_event(uint32_t *statistics, uint32_t which);

/* wire.c */
enum {
    WIRE_LISTENER = 0x100,  /* an event of `work_fd` is of a port's wire, or of its listener */
    WIRE_PAUSE = 200000000, /* ns after which an end without a peer looks for one */
};
/* The next frame that has arrived; it stays until wire_taken(). */
bool wire_next(struct engine *engine, uint32_t port, struct frame *frame);
void wire_taken(struct wire *wire);
/* The next frame has to wait; if its sender has gone, it is lost with all behind it. */
void wire_wait(struct engine *engine, uint32_t port);
int wire_send(struct engine *engine, uint32_t port, const struct frame *frame);
/* Whether the kernel had no room for what was sent before. */
bool wire_is_full(const struct wire *wire);
/* Whether a frame that could not be sent waits for its peer; says once if the peer takes nothing.
 */
bool wire_waits(struct engine *engine, uint32_t port, const struct frame *frame);
void wire_flush(struct engine *engine, uint32_t port);
/* Tells a card at the other end whether the port is on. */
void wire_tell(struct wire *wire, bool on);
/* Takes note of events (EPOLLIN and so on) on a wire's descriptor. */
void wire_happens(struct engine *engine, uint32_t port, uint32_t events);
/* Waits for what the wire needs. */
void wire_watch(struct engine *engine, uint32_t port);
/* Uses a connected descriptor; closes it. */
void wire_attach(struct engine *engine, uint32_t port, int fd);
void wire_detach(struct engine *engine, uint32_t port);
/* Says once what is wrong with a wire. */
void wire_report(struct engine *engine, uint32_t port, uint64_t what, int error);

/* stream.c: connects, listens or closes, as the port is on or off */
void stream_update(struct engine *engine, uint32_t port, bool on);
void stream_close(struct engine *engine, uint32_t port);

/* capture.c */
void capture_frame(struct engine *engine, uint32_t port, const struct frame *frame, bool sent);
void capture_flush(struct engine *engine, uint32_t port);

/* Whether there is room for a response and its frame. */
enum room {
    ROOM_NOW,
    ROOM_LATER, /* engine_wake() follows when there may be */
    ROOM_NEVER, /* the queue does not run, or the frame cannot fit */
};

enum { LANDING_PARTS = 24 }; /* buffers of one frame: 64 KiB in pages and more */

/* A position in a free list; see struct egress. */
struct cursor {
    uint32_t cidx, pointer, offset;
    uint64_t buffer;
    uint32_t bytes;
};

/* Room that is reserved for one response: an entry, and parts of buffers for its frame. */
struct landing {
    uint32_t ingress, entry;
    uint8_t generation;
    bool new_buffer;
    uint32_t parts;
    struct part {
        uint64_t address;
        uint32_t length;
    } part[LANDING_PARTS];
    struct cursor before; /* for freelist_cancel() */
};

/* ingress.c */
/* Reserves room for a response with `length` bytes of a frame, or 0. It is published, or cancelled
 * before any that was reserved earlier; the host sees nothing of it before it is published. */
enum room ingress_reserve(struct engine *engine, uint32_t id, uint32_t length,
                          struct landing *landing);
void ingress_cancel(struct engine *engine, const struct landing *landing);
/* Writes a response: its type (RSPD_TYPE_*), its CPL, and `word` (pldbuflen_qid). */
void ingress_publish(struct engine *engine, const struct landing *landing, uint32_t type,
                     const void *cpl, uint32_t length, uint32_t word);
/* Handles a GTS write. */
void ingress_gts(struct engine *engine, uint32_t id, uint32_t increment, uint32_t timer,
                 bool count_armed);
/* Raises interrupts whose time has come; returns when the next is due, UINT64_MAX: none is. */
uint64_t ingress_run(struct engine *engine);

/* What is in a frame (headers.c), or in the frame that came through a tunnel. Offsets, from the
 * start of all, and lengths are in bytes; those of headers that the frame lacks are 0. */
struct headers {
    uint32_t tunnel;        /* the bytes around a frame inside, in front of its Ethernet header */
    uint8_t tunnel_type;    /* RX_PKT_TNL_TYPE_* */
    uint32_t l3, l3_header; /* the Ethernet header ends at l3 */
    uint32_t l4, l4_header;
    uint32_t l4_length; /* with its header */
    uint16_t tag;       /* VLAN, in front of a tunnel */
    uint16_t sum;       /* of a fragment, or of a whole segment with its pseudo header */
    bool tagged, ip4, ip6, fragment, tcp, udp, syn, push;
    bool bad_ip_header, bad_tcp_header, bad_length, bad_ip_sum, bad_sum;
    bool ports;  /* a whole transport header is there */
    bool summed; /* `sum` is valid */
};

void headers_parse(const struct engine *engine, const struct frame *frame, struct headers *headers);

/* rss.c: as in struct rss_header */
enum hash_type { HASH_NONE, HASH_IP, HASH_TCP, HASH_UDP };

struct choice {
    uint32_t queue, hash;
    enum hash_type type;
    bool filter_hit;
    bool filter_tid; /* `hash` is the TID of the filter */
};

struct choice rss_choose(const struct engine *engine, const struct interface *interface,
                         const struct frame *frame, const struct headers *headers);

/* filters.c */
/* The filter that matches an interface's copy of a frame first, or NULL. It depends on the
 * interface only if the engine `matches_interfaces`. */
const struct filter *filters_find(const struct engine *engine, const struct interface *interface,
                                  const struct frame *frame, const struct headers *headers);
/* Changes where a frame that a filter matches goes. */
void filters_steer(const struct engine *engine, const struct filter *filter, struct choice *choice);
/* Counts a frame that a filter has matched. */
void filters_count(const struct engine *engine, const struct filter *filter,
                   const struct frame *frame);
/* Adds or deletes a filter as a function asks in FW_FILTER_WR or FW_FILTER2_WR, which is long
 * enough. Returns what to reply: FW_FILTER_WR_*. */
uint32_t filters_request(struct engine *engine, uint8_t pf, const uint8_t *request);
/* Handles CPL_SET_TCB_FIELD for the control block of a filter. */
void filters_set_field(struct engine *engine, const uint8_t *cpl);
/* Deletes the filters of a function (or of all: pf < 0). */
void filters_forget(struct engine *engine, int pf);

/* rewrite.c */
/* Handle CPL_L2T_WRITE_REQ and CPL_SMT_WRITE_REQ, which are long enough. */
void rewrite_set_neighbour(struct engine *engine, const uint8_t *cpl);
void rewrite_set_sources(struct engine *engine, const uint8_t *cpl);
/* Makes a new frame of one, in `room`: VLAN_TAG bytes more than it has, and VLAN_TAG of them in
 * front. */
struct frame rewrite_frame(const struct engine *engine, const struct rewrite *rewrite,
                           const struct frame *frame, const struct headers *headers, uint8_t *room);

/* receive.c: whether a frame goes on waiting for somebody who has taken none since `starved`. That
 * is 0 if the last one was taken. After ENGINE_PATIENCE it does not, until one is taken again. */
bool patience_lasts(struct engine *engine, uint64_t *starved);

/* checksum.c: the folded sum of big-endian 16-bit words, not inverted, and of `sum` */
uint16_t checksum(uint32_t sum, const uint8_t *data, uint32_t length);

/* freelist.c: reserves parts of buffers; gives them back; fills them from byte `at` of the frame on
 */
enum room freelist_reserve(struct engine *engine, uint32_t id, uint32_t length,
                           struct landing *landing);
void freelist_cancel(struct engine *engine, uint32_t id, const struct landing *landing);
void freelist_write(struct engine *engine, uint32_t id, const struct landing *landing, uint32_t at,
                    const uint8_t *data, uint32_t length);

/* dma.c: 0 or -errno; the failure is reported, and its cause is set */
int dma_read(struct engine *engine, uint32_t queue, uint64_t address, void *into, uint32_t length);
int dma_write(struct engine *engine, uint32_t queue, uint64_t address, const void *data,
              uint32_t length);
/* Says what went wrong, which calls Python: ENGINE_REPORTS times from one run to the next. */
void engine_report(struct engine *engine, enum engine_trouble kind, uint32_t queue, uint64_t what,
                   int error);

/* record.c */
static inline bool is_recorded(const struct engine *engine)
{
    return __builtin_expect(engine->core->trace != NULL, 0);
}
/* Puts an event into the card's trace if there is one: its kind, error, length, detail, address and
 * value. */
void record_carrying(struct engine *engine, struct trace_record what, const void *data,
                     uint32_t carried);
void record_dma(struct engine *engine, enum trace_kind kind, uint32_t queue, uint64_t address,
                const void *data, uint32_t length, int error);
void record_frame(struct engine *engine, enum trace_kind kind, uint32_t port,
                  const struct frame *frame);

/* irq.c */
/* Tries again to deliver what is pending. */
void irq_retry(struct engine *engine);
/* Raises interrupts that are late, and whose time has come; returns when the next is due,
 * UINT64_MAX: none is. */
uint64_t irq_raise_late(struct engine *engine);

#endif
