/* A driver's end of a card's queues, with none of a kernel around it: it posts work requests, rings
 * doorbells, takes responses, and gives buffers back by the rules of cxgb4's process_responses().
 * It does the least that a driver can, so that what is measured is the card. */

/* Memory that card and driver share: of a card in this process, or of one at a socket. */
struct shared_memory {
    uint64_t address; /* on the bus */
    uint64_t size;
    uint8_t *bytes;
    uint64_t reads, writes, interrupts; /* of a card in this process */
};

/* A queue of work requests. The requests to post, in turn, are whole descriptors each. */
struct send_queue {
    uint64_t doorbell; /* in BAR2 */
    uint64_t ring;     /* in shared memory, as all places */
    uint32_t entries, pidx;
    const uint8_t *requests;
    uint32_t request_count, descriptors; /* of each */
    uint32_t next;
    uint64_t left; /* requests to post */
};

/* A queue of responses, and its free list: `units` of eight buffers that are used in turn. */
struct receive_queue {
    uint64_t gts, doorbell;
    uint64_t ring, buffers;
    uint32_t entries, cidx;
    uint32_t generation;
    uint32_t units, buffer_bytes, align;
    uint32_t buffer, offset; /* the current one, and where the next frame may begin */
    uint32_t used;           /* buffers that the card has not got back */
    uint64_t frames, bytes;
};

/* The queues of one load. */
struct rings {
    const struct io *io;  /* BAR2 of a card at a socket, or NULL */
    region_access access; /* BAR2 of one in this process, */
    void *cookie;
    const struct work *work; /* and its work */
    struct shared_memory *memory;
    struct send_queue *senders;
    struct receive_queue *receivers;
    uint32_t sender_count, receiver_count;
    uint32_t burst;    /* requests for each doorbell, at most */
    uint32_t arming;   /* the rest of a GTS: how the queue is armed */
    uint64_t messages; /* writes to BAR2 */
    int64_t work_ns;   /* of processor time in that work */
};

/* Fills a host in this process whose memory this is. */
void rings_host(struct host *host, struct shared_memory *memory);

/* Gives the card all buffers but one unit, and arms the queues. 0 or -errno. */
int rings_start(struct rings *rings);

/* Sends `requests` of each sender and takes `frames` in all; 0 frames: waits until the requests are
 * done. Returns nanoseconds, or -errno; -ETIMEDOUT: nothing has moved for seconds. */
int64_t rings_run(struct rings *rings, uint64_t requests, uint64_t frames);

/* Rings the first sender's doorbell `n` times without a request. */
int64_t rings_knock(struct rings *rings, uint64_t n);

/* Copies `n` times `length` bytes, through `from` bytes to `into` bytes of memory: nanoseconds. */
int64_t rings_copy(const uint8_t *from, uint64_t from_bytes, uint8_t *into, uint64_t into_bytes,
                   uint64_t length, uint64_t n);
