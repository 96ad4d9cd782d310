/* A trace as it is recorded: fixed-size records in a ring. The one thread that uses the card puts
 * them in, another takes them out; neither waits. Like the other headers, this one goes to cdef():
 * Python reads records by the layout that the compiler chose. Numbers are little-endian.
 *
 * Records are in the order in which their events began: an access comes before the DMA and the
 * interrupts that it caused. */

enum trace_kind {
    TRACE_DATA,           /* a `struct trace_data`: further bytes of the record in front of it */
    TRACE_READ,           /* an access to a BAR or to configuration space */
    TRACE_WRITE,          /* likewise */
    TRACE_DOORBELL,       /* an egress queue's producer index moves */
    TRACE_GTS,            /* an ingress queue's consumer index moves */
    TRACE_DMA_READ,       /* the card reads the host's memory */
    TRACE_DMA_WRITE,      /* the card writes the host's memory */
    TRACE_INTERRUPT,      /* the card raises a vector */
    TRACE_FRAME_SENT,     /* a frame leaves a port */
    TRACE_FRAME_RECEIVED, /* a frame arrives at a port */
    TRACE_TROUBLE,        /* the packet engine met what it cannot do */
    TRACE_RESET,          /* the function is reset */
    TRACE_ATTACHED,       /* a client has attached, whose memory the card may use */
    TRACE_DETACHED,       /* it has gone */
    TRACE_FAULT,          /* a fault comes, or is undone; the data are its name */
    TRACE_CONTROL,        /* a request to the control socket, as it comes there: JSON */
    TRACE_LOST,           /* here the ring was full: `value` events are not in the trace */
    TRACE_MAPPED,         /* the client lets the card use `value` bytes of its memory */
    TRACE_UNMAPPED,       /* and no longer */
};

enum trace_source {
    TRACE_DRIVER,   /* a driver in this process */
    TRACE_CLIENT,   /* the attached client: a guest, or a driver on the other side of a socket */
    TRACE_FIRMWARE, /* the card's firmware */
    TRACE_ENGINE,   /* its packet engine */
    TRACE_USER,     /* who controls the emulator */
    TRACE_RECORDER, /* the trace itself */
};

/* `space`: the number of a BAR, or this */
enum { TRACE_CONFIG_SPACE = 7 };

/* `detail` of TRACE_MAPPED */
enum { TRACE_WRITABLE = 1 };

/* `space` of an interrupt; that of TRACE_TROUBLE is an enum engine_trouble (emu/engine/engine.h) */
enum { TRACE_MSIX, TRACE_MSI, TRACE_INTX };

/* `detail` of an access */
enum {
    TRACE_MALFORMED = 1, /* refused for its size, alignment or end: the card does not count it */
    TRACE_WINDOW = 2,    /* through a memory window: `before` is the adapter's address */
};

/* What happened. Of an access of up to 8 bytes, `value` has them: what was written, or what the
 * reader got. Of a doorbell or trouble it is the word in question, of an interrupt whether the host
 * has got it. `carried` bytes follow in TRACE_DATA records. */
struct trace_record {
    uint8_t kind;     /* enum trace_kind */
    uint8_t source;   /* enum trace_source */
    uint8_t space;    /* of an access: see above */
    uint8_t error;    /* errno if it failed, else 0 */
    uint32_t length;  /* bytes of the access, the DMA or the frame; by how much an index moves */
    uint32_t carried; /* bytes in the TRACE_DATA records behind it */
    uint32_t detail;  /* of an access: see above; the queue, the vector or the port */
    uint64_t time;    /* ns of CLOCK_MONOTONIC when it began */
    uint64_t address; /* the offset in the BAR or in configuration space; in the host's memory */
    uint64_t value;
    uint64_t before; /* what the register stored before; see TRACE_WINDOW */
    uint64_t after;  /* and after */
    uint64_t spent;  /* ns until it was done */
};

enum { TRACE_DATA_BYTES = 56 };

/* Further bytes: `length` of them are used. */
struct trace_data {
    uint8_t kind; /* TRACE_DATA */
    uint8_t unused[3];
    uint32_t length;
    uint8_t bytes[56];
};

/* Counts of records since the ring was made. `head` and `tail` are shared between the threads; the
 * rest belongs to the one that puts records in. */
struct trace_ring {
    struct trace_record *records;
    uint64_t capacity; /* a power of 2 */
    uint64_t head;     /* put in; those up to here may be taken */
    uint64_t tail;     /* taken */
    uint64_t reserved; /* including those that are not complete */
    uint64_t lost;     /* events since the last that found room */
    uint64_t lost_in_all;
    uint64_t events;      /* that found room */
    uint32_t depth;       /* events that have begun and not ended */
    uint32_t dma_carried; /* bytes of a DMA that are carried at most */
};

enum {
    TRACE_DMA_CARRIED = 256,  /* `dma_carried` as a rule: descriptors and messages */
    TRACE_FRAME_CARRIED = 64, /* bytes of a frame that are carried at most: its headers */
};

/* Begins an event that will carry so many bytes. Returns its record, with `kind`, `carried` and the
 * time set and all else 0; NULL: the ring is full, and the event counted as lost. trace_end() has
 * to follow, for NULL too; events may begin and end in between. */
struct trace_record *trace_begin(struct trace_ring *ring, int kind, uint32_t carried);

/* Copies the bytes that an event carries; NULL: zeros. */
void trace_carry(struct trace_ring *ring, struct trace_record *record, const void *data);

/* Ends an event. Records may be taken once no event that has begun is left. */
void trace_end(struct trace_ring *ring, struct trace_record *record);

/* Records an event with these bytes, at once. */
void trace_note(struct trace_ring *ring, int kind, int source, const void *data, uint32_t length);

/* Records an event that carries nothing, at once: `what`, whose time is now. */
void trace_tell(struct trace_ring *ring, const struct trace_record *what);

/* Returns how many records may be taken; they begin at `tail` modulo `capacity`. */
uint64_t trace_ready(const struct trace_ring *ring);

/* Gives back the room of so many records that were taken. */
void trace_taken(struct trace_ring *ring, uint64_t count);

/* Whether no event has begun and not ended. */
int trace_idle(const struct trace_ring *ring);
