/* The packet engine: what SGE, TP and MPS do between a driver's rings and the wires.
 *
 * Firmware (in Python) hands out queues and interfaces by filling the tables of `struct engine`.
 * The driver rings doorbells; a doorbell only moves an index and sets `pending`. All work is done
 * by engine_run(), on the thread that serves the adapter, between two messages of its client. Work
 * is bounded by a budget: what is left sets `pending` again. No function here allocates or waits,
 * and none runs Python for a frame.
 *
 * What a guest writes is not trusted: each address is checked when it is used, each length and
 * index against its ring. A queue whose ring makes no sense is halted, and `report` says why.
 *
 * Addresses are the host's bus addresses. Words in rings are big-endian. Times are nanoseconds of
 * CLOCK_MONOTONIC. */

enum {
    ENGINE_PORTS = 4,
    ENGINE_FUNCTIONS = 8,
    ENGINE_QUEUES = 1024, /* of each direction: absolute ids are smaller */
    ENGINE_CLASSES = 16,  /* traffic classes of a port */
    ENGINE_FLOWS = 2048,  /* of Ethernet offload */
    ENGINE_INTERFACES = 128,
    ENGINE_MACS = 512, /* entries of the MAC table */
    ENGINE_PRIORITY_FILTERS = 64,
    ENGINE_FILTERS = 576, /* those of high priority, then the others */
    ENGINE_NEIGHBOURS = 4096,
    ENGINE_SOURCE_MACS = 256,
    ENGINE_VECTORS = 128, /* of MSI-X */
    ENGINE_RUN = 4194304, /* of `moved`: some milliseconds */
    ENGINE_ACCESS = 512,
    ENGINE_REPORTS = 4,     /* of trouble, from one run to the next: each takes Python's time */
    ENGINE_LOOK = 10000000, /* ns from one look at `shared_doorbells` to the next */
    ENGINE_PATIENCE = 5, /* seconds that frames wait for a queue or peer that takes none of them */
    ENGINE_NO_QUEUE = 0xffff,
    ENGINE_NO_CLASS = 0xff,
};

/* What happened to a frame or message: it is on its way (or dropped and counted), or there is no
 * room for it now, and the sender must offer it again. */
enum engine_verdict { ENGINE_DONE, ENGINE_HELD };

/* The bits of a context that hold one of its fields. Width 0: the chip has no such field. */
struct context_field {
    uint8_t shift, width;
};

/* The fields of contexts that change while a queue runs. */
struct context_layout {
    struct context_field egress_pidx, egress_cidx, egress_valid;
    struct context_field ingress_pidx, ingress_cidx, ingress_generation, ingress_valid;
    struct context_field ingress_armed, ingress_count_armed, ingress_counter, ingress_timer_pending;
    struct context_field flm_pidx, flm_cidx, flm_pack_offset, flm_valid;
};

/* How the chips differ on the data path (chip/). */
struct engine_chip {
    struct context_layout contexts;
    uint32_t core_clock_khz;
    uint8_t ethernet_header_shift, ethernet_header_bits; /* of CPL_TX_PKT's ctrl1 */
    uint8_t ip_header_shift, ip_header_bits;
    uint8_t tunnels;             /* CPL_TX_TNL_LSO is known */
    uint8_t compressed_errors;   /* CPL_RX_PKT's err_vec may be compressed (TP_OUT_CONFIG) */
    uint8_t pad_shift;           /* SGE_CONTROL.IngPadBoundary counts from 1 << pad_shift */
    uint8_t source_macs_per_row; /* of the requests that write them */
    uint8_t nat_keeps_ports;     /* whose new value is 0 */
    uint8_t ipv6_filter_tids;    /* an IPv6 filter takes so many TIDs, a power of two */
};

enum egress_kind {
    EGRESS_NONE, /* not allocated */
    EGRESS_FREE_LIST,
    EGRESS_ETHERNET,
    EGRESS_CONTROL,
    EGRESS_OFFLOAD,
};

/* A ring that the driver fills: descriptors of 64 bytes. A free list's "descriptor" is eight
 * pointers to buffers. */
struct egress {
    uint64_t address;
    uint32_t entries;      /* without the status page; indices wrap here */
    uint32_t status_bytes; /* of the status page, behind the entries */
    uint8_t kind;          /* enum egress_kind */
    uint8_t pf;
    uint8_t port;
    uint8_t halted;            /* its ring made no sense, or its memory is gone */
    uint8_t host_flow_control; /* HOSTFCMODE: 1 tells `ingress`, 2 writes the status page, 3 both */
    uint8_t flush_threshold;   /* CIDXFTHRESH: tell after 1 << this many descriptors */
    uint8_t auto_message;      /* AUTOEQUIQE: tell `ingress` when the queue runs idle */
    uint8_t auto_status;       /* AUTOEQUEQE: write the status page when it runs idle */
    uint16_t interface;        /* viid */
    uint16_t ingress;          /* gets CPL_SGE_EGR_UPDATE; of a free list, the queue it feeds */
    uint32_t pidx, cidx;
    uint64_t produced; /* what its producer has put in so far, in units of pidx */
    uint32_t told;     /* the CIDX that the driver knows, or is about to hear of */
    uint8_t to_tell;   /* how it has to be told, as in host_flow_control; 4: credits of `flow` */
    uint8_t held;      /* its next work request waits for room elsewhere */
    uint8_t offered;   /* its next frame was offered to a wire, and held */
    uint32_t progress; /* payload bytes of the current work request that are sent already */
    /* Its rate (pace.c) */
    uint8_t traffic_class; /* of `port`, or ENGINE_NO_CLASS */
    uint16_t flow;         /* 1 + that of the current work request; 0: none */
    uint64_t due;          /* until then, a rate holds its next frame */
    /* A free list */
    uint16_t flm;     /* its context in the free list manager */
    uint8_t packing;  /* several frames share a buffer */
    uint8_t padding;  /* frames are padded to IngPadBoundary */
    uint32_t pointer; /* the next buffer, of eight in the unit at cidx */
    uint32_t offset;  /* bytes used of that buffer; 0: a new one */
    uint64_t buffer;  /* the address of a buffer that is partly used, and its size */
    uint32_t buffer_bytes;
    uint64_t frames, bytes;
};

/* A ring that the card fills. */
struct ingress {
    uint64_t address;
    uint32_t entries; /* without the status entry; 0: not allocated */
    uint32_t entry_bytes;
    uint8_t pf;
    uint8_t port;
    uint8_t halted;
    uint8_t asynchronous; /* IQASYNCH: it takes firmware's events */
    uint8_t forwarded;    /* IQANDST: `vector` is the ingress queue that gets its interrupts */
    uint8_t interrupts;   /* IQANUD: it may raise interrupts */
    uint8_t tells_status; /* IQANUD: its status entry, the last of the ring, tells pidx */
    uint8_t threshold;    /* IQINTCNTTHRESH: which packet threshold of SGE_INGRESS_RX_THRESHOLD */
    uint8_t pressed;      /* something waits for room in it, or for buffers: interrupt soon */
    uint16_t vector;
    uint16_t interface;
    uint16_t free_list; /* ENGINE_NO_QUEUE: none */
    uint32_t pidx, cidx;
    uint64_t produced;   /* entries that it was given so far */
    uint8_t generation;  /* of the lap that pidx is in; the first has 1 */
    uint8_t armed;       /* an interrupt may follow: one per arming */
    uint8_t count_armed; /* also when the threshold is reached */
    uint8_t unheard;     /* interrupts without arming since the driver last rang */
    uint8_t timer;       /* the holdoff timer of the last arming; 6: none */
    uint64_t due;        /* when the holdoff timer ends; 0: it is not running */
    uint64_t starved;    /* since when no frame has found room in it; 0: the last one did */
};

/* The rate of a traffic class, or of all that a port sends. */
struct rate {
    uint32_t kbps;    /* 0: there is no limit */
    uint8_t per_flow; /* each flow of the class has it for itself */
    uint64_t due;     /* when the next frame may leave */
};

/* A flow of Ethernet offload: what EGRESS_OFFLOAD queues send belongs to one (FW_FLOWC_WR). */
struct flow {
    uint64_t due;     /* as in its class's rate, if that is per flow */
    uint32_t units;   /* of 16 bytes: of its work requests that were not acknowledged yet */
    uint16_t ingress; /* gets CPL_FW4_ACK */
    uint8_t open;
    uint8_t pf;
    uint8_t port;
    uint8_t traffic_class; /* of `port`, or ENGINE_NO_CLASS */
};

/* A virtual interface: who receives what on a port. */
struct interface {
    uint16_t viid; /* 0: not allocated */
    uint8_t port;
    uint8_t pf;
    uint8_t receives, sends; /* FW_VI_ENABLE */
    uint8_t promiscuous, all_multicast, broadcast, strips_vlan;
    uint16_t default_queue;
    uint32_t vnic_id;                      /* what a filter's tuple has of it */
    uint64_t unicast_hash, multicast_hash; /* hashed addresses (FW_VI_MAC), a bit for each hash */
    uint32_t rss_first, rss_count;         /* its slice of the RSS table */
    uint8_t hash_ip4_ports, hash_ip4, hash_ip6_ports, hash_ip6, hash_udp; /* FW_RSS_VI_CONFIG */
};

/* An entry of the MAC table, by its index there. */
struct mac_entry {
    uint8_t mac[6];
    uint16_t viid; /* 0: unused */
};

/* What a filter may look at besides addresses and ports, in the order of the bits of
 * TP_VLAN_PRI_MAP that select it. */
enum filter_field {
    FILTER_FCOE,
    FILTER_PORT,
    FILTER_VNIC_ID,
    FILTER_VLAN,
    FILTER_TOS,
    FILTER_PROTOCOL,
    FILTER_ETHERTYPE,
    FILTER_MACMATCH,
    FILTER_MPSHITTYPE,
    FILTER_FRAGMENTATION,
    FILTER_FIELDS,
};

/* What a filter makes of the headers of a frame that it sends out again (rewrite.c). */
struct rewrite {
    uint8_t new_target, new_source; /* MACs */
    uint8_t removes_tag, adds_tag;
    uint16_t neighbour; /* the entry with the new target and tag */
    uint8_t source;     /* the entry with the new source */
    uint8_t nat_mode;
    uint16_t local_port, foreign_port;
    uint8_t local[16], foreign[16]; /* addresses: the target's and the source's; of IPv4, 4 bytes */
};

/* An entry of the table of neighbours (L2T). */
struct neighbour {
    uint8_t mac[6];
    uint16_t tag;
};

/* A filter: it matches frames whose entry, as the lookup engine has it, is `value` under `mask`.
 * Its hits are counted in its control block in adapter memory. */
struct filter {
    uint32_t value[11], mask[11];
    uint8_t ipv6; /* it looks at IPv6 packets, or at all others */
    uint8_t pf;   /* who has set it */
    uint8_t drops, steers, counts;
    uint8_t tells_tid; /* in place of the hash */
    uint16_t queue;    /* where it steers to */
    uint8_t switches;  /* frames are sent on `port` instead */
    uint8_t port;
    struct rewrite rewrite;
};

/* A frame on its way: Ethernet without FCS. */
struct frame {
    const uint8_t *data;
    uint32_t length;
    uint8_t loopback; /* comes from the port's own internal loopback */
    uint8_t offered;  /* it was held when it was offered before */
    uint8_t pf;       /* the function that sends it */
    uint8_t hops;     /* how often a filter has sent it out again */
};

enum wire_kind {
    WIRE_IDLE, /* the peer is up, takes all frames and sends none */
    WIRE_OPEN, /* no cable */
    WIRE_PORT, /* another port of this card */
    WIRE_CARD, /* a port of another card in this process, over a pair of sockets */
    WIRE_STREAM,
    WIRE_DGRAM,
    WIRE_TAP,
};

enum {
    WIRE_LONGEST = 69632, /* bytes of a frame; QEMU's peers may send so much */
    WIRE_ROOM = 262144,
    CAPTURE_ROOM = 131072,
};

/* Where a port's frames go. Frames from outside wait in `inbox` until the port takes them, those
 * that it sends on a stream in `outbox` until the kernel does; each behind its length, 4 bytes, as
 * QEMU's `-netdev stream` sends them. */
struct wire {
    uint8_t kind;    /* enum wire_kind */
    uint8_t peer;    /* WIRE_PORT: the other port */
    uint8_t peer_on; /* WIRE_CARD: the other end's transmitter runs */
    uint8_t told;    /* WIRE_CARD: what the other end knows of ours */
    uint8_t held;    /* a frame in `inbox` waits for room in the card */
    uint8_t gone;    /* meanwhile its sender has closed the connection */
    uint8_t blocked; /* the kernel had no room for a frame */
    uint8_t readable;
    uint8_t knocks;   /* somebody connects to `listener` */
    int fd;           /* -1: none, or WIRE_STREAM is not connected */
    int listener;     /* WIRE_STREAM: waits for a peer at `path`; or -1 */
    uint32_t watched; /* what `work_fd` waits for on `fd`, EPOLLIN and so on */
    uint32_t inbox_start, inbox_end, outbox_start, outbox_end;
    uint8_t *inbox, *outbox; /* WIRE_ROOM bytes each */
    uint64_t due;            /* when to connect again, or to offer a frame that was refused */
    uint64_t starved;        /* since when the peer has taken nothing of what waits; 0: it takes */
    uint64_t quiet;          /* until then the port sends nothing: its peer has paused it; or 0 */
    uint64_t pauses;         /* when to pause the peer, which is paused, again; 0: it is not */
    uint64_t inode;          /* of the listener's socket */
    int32_t error;           /* the last that was reported */
    char path[108];          /* WIRE_STREAM: the socket; WIRE_DGRAM: where frames are sent to */
};

/* A file that gets the frames of a port (pcapng, with one interface). */
struct capture {
    int fd; /* or -1 */
    uint32_t used;
    uint8_t *room;   /* CAPTURE_ROOM bytes that are not written yet, of which `used` */
    uint64_t length; /* of the file, as far as it has whole blocks */
    uint64_t beyond; /* bytes behind them: of blocks whose end is not written yet */
};

/* The statistics that MPS keeps for each direction of a port: 64-bit counters in this order, low
 * word first (MPS_PORT_STAT_TX_PORT_* and MPS_PORT_STAT_LB_PORT_*). */
enum sent_statistic {
    SENT_BYTES, /* with the FCS, as all lengths in statistics */
    SENT_FRAMES,
    SENT_BROADCAST,
    SENT_MULTICAST,
    SENT_UNICAST,
    SENT_ERROR,
    SENT_64, /* the first of seven classes of length */
    SENT_DROP = 13,
    SENT_PAUSE,
};

/* The same of MPS_PORT_STAT_RX_PORT_*; its first five are those above. */
enum received_statistic {
    RECEIVED_TOO_LONG = 5,
    RECEIVED_LENGTH_ERROR = 8,
    RECEIVED_64 = 10,
    RECEIVED_PAUSE = 17,
    RECEIVED_TOO_SHORT = 26,
};

/* The statistics of a function: pairs of bytes and frames, of broadcasts, multicasts and unicasts
 * (MPS_PF_STAT_TX_PF_*), and of all, then these (MPS_PF_STAT_RX_PF_*). */
enum function_statistic {
    FUNCTION_SENT,
    FUNCTION_RECEIVED = 8,
};

/* An Ethernet port: its link, and where its frames go. */
struct port {
    uint8_t present;
    uint8_t configured; /* L1 is configured (FW_PORT) and no fault keeps the link down */
    uint8_t enabled;    /* an interface on it is enabled */
    uint8_t up;         /* the link, as firmware last reported it */
    /* Its flow control (FW_PORT, FC_TX and FC_RX): it may pause its peer, and its peer it */
    uint8_t sends_pauses, obeys_pauses;
    uint32_t gigabits; /* a second: its speed */
    struct wire wire;
    struct capture capture;
    /* Its statistics in BAR0: MPS_PORT_STAT_*, and the frames for which its buffer group had no
     * room; NULL: none are kept */
    uint32_t *sent, *received, *looped, *dropped, *dropped_loopback;
    const uint32_t *pause_source; /* the address that its pauses come from, low word first */
    uint8_t event[48];            /* what firmware has to say of it: a CPL with its RSS header */
    uint64_t event_due[16];       /* a bit for each event queue that has yet to get it */
};

/* What went wrong, for report(). */
enum engine_trouble {
    TROUBLE_DMA_READ, /* no such memory in the host: `queue`, its address, errno */
    TROUBLE_DMA_WRITE,
    TROUBLE_WORK_REQUEST, /* a work request that makes no sense: its first word */
    TROUBLE_DOORBELL,     /* beyond the ring, or for no queue (-ENOENT): the value written */
    TROUBLE_GTS,          /* likewise, of an ingress queue: how far its CIDX was to move */
    TROUBLE_INTERRUPT,    /* the host refused it: vector, errno */
    TROUBLE_CAPTURE,      /* writing failed: port, errno */
    TROUBLE_WIRE,         /* port, errno */
    TROUBLE_BUFFER,       /* a free list's pointer to a buffer without a size: the pointer */
};

/* What goes wrong between the card and its host, as faults have it: bits of `broken`. */
enum engine_breakage {
    BREAKS_DMA_READ = 1, /* the host refuses them, as an IOMMU does */
    BREAKS_DMA_WRITE = 2,
    BREAKS_INTERRUPT_LOST = 4,   /* none of them is heard */
    BREAKS_INTERRUPT_LATE = 8,   /* each is raised `late` ns later */
    BREAKS_INTERRUPT_TWICE = 16, /* each is raised, and again `late` ns later */
    BREAKS_INTERRUPTS = 28,
    BREAKS_SENT = 32,     /* no driver is told how far an egress queue is */
    BREAKS_RECEIVED = 64, /* no response of a received frame is written: its entry is left out */
};

/* Counts since the card was made, for tests. */
struct engine_counts {
    uint64_t runs, frames_sent, frames_received, frames_dropped, frames_held;
    uint64_t dma_reads, dma_writes, interrupts, troubles;
    uint64_t python_calls; /* for a few of the troubles, and for links */
};

struct engine {
    struct core *core;
    const struct host *host;       /* NULL: nobody is attached */
    uint8_t bus_master;            /* PCI COMMAND: the card may access the host */
    uint8_t intx;                  /* PCI COMMAND: it may use INTx, without MSI and MSI-X */
    uint8_t intx_waits;            /* it is asserted, and the host has not heard of it */
    uint8_t msi, msi_waits;        /* MSI is on, with one vector; the host has not got it */
    uint8_t *pci_status;           /* the lower byte of PCI STATUS */
    uint8_t msix, msix_masked;     /* MSI-X is on; all its vectors are masked */
    volatile uint8_t hold_outside; /* frames from outside wait on their wires, others for ever */
    volatile uint8_t knocked;      /* engine_hold_outside() has written to `knock_fd` */
    volatile uint32_t pending;     /* there is work for engine_run() */
    int work_fd; /* an epoll of wires, the timer and `knock_fd`: readable when there is work */
    int timer_fd, knock_fd;
    uint64_t now;
    uint64_t patient_since;   /* no wait of a frame counts from before: frames were held outside */
    uint64_t retry;           /* when to try what is held again: the end of patience with a starved
                                 queue, or of a wait for a rate; UINT64_MAX: never */
    uint32_t broken;          /* enum engine_breakage */
    uint32_t late_interrupts; /* how many of `late_due` are not 0 */
    uint64_t late;            /* ns by which they are late */
    uint64_t late_due[128];   /* when each vector is raised; UINT64_MAX: `late` from now on */
    struct engine_chip chip;
    uint32_t *contexts; /* the table behind SGE_CTXT_CMD: `context_rows` of each type */
    uint32_t context_rows;
    uint8_t *egress_memory, *ingress_memory; /* their copies in adapter memory, NULL: none */
    uint32_t egress_memory_rows, ingress_memory_rows;
    const uint32_t *doorbells;      /* BAR2, as it was written */
    uint32_t *shared_doorbells;     /* SGE_PF_KDOORBELL and SGE_PF_GTS, if clients map their page */
    uint8_t pf;                     /* the function whose BARs these are */
    struct space *rss;              /* the RSS table: two queues in each word */
    uint32_t *rss_key;              /* TP_RSS_SECRET_KEY0 and those behind it: the key, backwards */
    struct context_field tuple[10]; /* where a filter's tuple has each field; width 0: nowhere */
    uint8_t matches_interfaces;     /* a tuple's VNIC_ID is the interface that gets a frame */
    uint32_t priority_filters;      /* TIDs below belong to filters of high priority */
    uint32_t first_filter;          /* the first TID of the others */
    uint32_t *le_entries; /* what a dump shows by TID, LE_ENTRY_WORDS each; NULL: nothing */
    uint32_t le_rows;
    uint8_t *control_blocks; /* TCBs in adapter memory, by TID; NULL: there are none */
    uint32_t control_block_rows;
    struct filter filters[576];
    uint64_t filters_used[9]; /* a bit for each of `filters`; the first that matches decides */
    uint32_t filter_count;    /* of those bits */
    struct egress egress[1024];
    struct ingress ingress[1024];
    uint64_t egress_marked[16];  /* a bit for each egress queue that may have work */
    uint64_t egress_changed[16]; /* and for each whose context is to be written */
    uint32_t turn;               /* the egress queue whose turn is next */
    uint32_t vain; /* turns of egress queues in a row, since something changed, without progress */
    uint64_t ingress_changed[16];
    uint64_t ingress_marked[16]; /* a bit for each ingress queue that ingress_run() looks at */
    struct flow flows[2048];
    struct rate class_rates[4][16], port_rates[4];
    struct interface interfaces[128];
    struct mac_entry macs[512];
    uint32_t interface_count;     /* entries of `interfaces` from this index on are unused */
    uint32_t mac_count;           /* entries from this index on are unused */
    uint64_t macs_by_hash[64][8]; /* for each hash of an address, a bit for each entry of `macs` */
    uint32_t msix_pending[4];     /* a bit for each vector that the host has not got */
    uint64_t moved; /* to and from the host in this run: bytes, and ENGINE_ACCESS for each access */
    uint32_t reports;                         /* of trouble that are left to this run */
    uint32_t *msix_table, *msix_pending_bits; /* what the host sees of them: four words a vector */
    struct neighbour neighbours[4096];
    uint8_t source_macs[256][6];
    struct port ports[4];
    uint32_t *functions[8]; /* their statistics in BAR0, or NULL */
    struct engine_counts counts;
    void *handle; /* for the callbacks, which run Python: never for a frame */
    void (*report)(void *handle, int trouble, uint32_t queue, uint64_t what, int error);
    void (*link_changed)(void *handle, uint32_t port, int up);
    uint8_t *scratch; /* room for the frame that is being made: ENGINE_SCRATCH bytes */
};

enum { ENGINE_SCRATCH = 262144 };

/* Running (engine.c) */

/* Does a bounded amount of work. Sets `pending` if some is left, and the timer for the rest. */
void engine_run(struct engine *engine, uint64_t now);

/* Writes the indices of all queues that have changed to their contexts. engine_run() ends so. */
void engine_show(struct engine *engine);

/* Stops all queues of a function (or of all: pf < 0): no access to its memory follows. Its filters
 * go as well. */
void engine_stop(struct engine *engine, int pf);

/* Looks at all queues in the next run: their tables were changed from outside. */
void engine_resume(struct engine *engine);

/* Halts all queues, which keep their contexts: their host is gone. */
void engine_halt(struct engine *engine);

/* The function of a `struct work` (pyvfio_user/work.h) whose cookie is a `struct engine`. */
void engine_work(void *engine);

/* Leaves frames from outside on their wires, or lets them come. Meanwhile no frame inside the card
 * is dropped for want of room. Any thread may call it: it wakes the one that serves the card. */
void engine_hold_outside(struct engine *engine, int held);

/* Opens and closes `work_fd` and what it waits for. 0 or -errno. */
int engine_open(struct engine *engine);
void engine_close(struct engine *engine);

/* Doorbells (doorbell.c) */

/* Handles a write to BAR2 that is stored there already. */
void engine_bar2_written(struct engine *engine, uint32_t offset, uint32_t length);
/* Handles SGE_PF_KDOORBELL and SGE_PF_GTS. */
void engine_kdoorbell(struct engine *engine, uint32_t value);
void engine_gts(struct engine *engine, uint32_t value);

/* Interrupts (irq.c) */

/* Raises a vector, or leaves it pending while the host masks it or does not listen. */
void irq_raise(struct engine *engine, uint32_t vector);

/* Takes INTx back: the driver has seen it. */
void irq_clear_intx(struct engine *engine);

/* Forgets interrupts that are late. */
void irq_forget_late(struct engine *engine);

/* Handles a write to the BAR with the MSI-X table, which is stored there already, and any other
 * change of what the host lets through. */
void engine_msix_written(struct engine *engine, uint32_t offset, uint32_t length);

/* Receiving (ingress.c, receive.c) */

/* Puts a CPL (at most 48 bytes with its RSS header) into an ingress queue. */
int engine_cpl(struct engine *engine, uint32_t ingress, const void *cpl, uint32_t length);
/* Takes note that `macs` has changed, so that no frame has to look at all of them. */
void engine_index_macs(struct engine *engine);
/* Offers a frame to the interfaces of a port. */
int engine_receive(struct engine *engine, uint32_t port, const struct frame *frame);

/* Rates (pace.c) */

/* Limits a traffic class of a port or, for ENGINE_NO_CLASS, all that the port sends. */
void engine_limit(struct engine *engine, uint32_t port, uint32_t traffic_class, uint32_t kbps,
                  int per_flow);
/* Forgets what was sent, and so how long that takes. */
void engine_forget_sent(struct engine *engine);

/* Ports and wires (port.c, wire.c) */

/* Sends a frame on a port's wire; one that is marked `loopback`, back to the port itself. */
int engine_send(struct engine *engine, uint32_t port, const struct frame *frame);
/* Captures a port's frames to a file that begins with `length` bytes, or to none (fd < 0). */
void engine_capture(struct engine *engine, uint32_t port, int fd, uint64_t length);
/* Gives a port the wire that its `wire` describes, with a descriptor or -1. */
void engine_plug(struct engine *engine, uint32_t port, int fd);
/* Takes a wire away from its port; what waits on it is lost. */
void engine_cut(struct engine *engine, uint32_t port);
/* Brings `up` of all ports in line with their wires and peers; calls link_changed(). */
void engine_update_links(struct engine *engine);
/* Sends a port's `event` to the event queues (IQASYNCH) of all functions, in the next run. */
void engine_tell(struct engine *engine, uint32_t port);
