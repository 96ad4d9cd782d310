/* The client's core: requests, replies and the limits between them. All functions return 0 (or a
 * length) or -errno. An error is of one of two kinds: the server refuses one request (its errno),
 * or the connection is lost for good. Then client_failed() returns -EIO if the server is dead,
 * -ETIMEDOUT if it is silent, and -EPROTO if it breaks the protocol. Only one thread at a time may
 * use a client. */

struct client;

/* Counts of the traffic so far. Each wait for replies counts as one round trip. */
struct client_counters {
    uint64_t messages;
    uint64_t sends;
    uint64_t round_trips;
    uint64_t bytes_sent;
    uint64_t bytes_received;
};

/* `fd` is a connected stream socket, which the caller still owns. While a reply is due, no byte may
 * move for `deadline_ms`, except if the server is at work (patience.h). Before it sleeps, a wait
 * polls for replies for `spin_us` microseconds. Returns NULL if memory runs out. */
struct client *client_create(int fd, uint32_t deadline_ms, uint32_t spin_us);
void client_destroy(struct client *client);

/* Sets the server's limits: bytes per region access, and whether it knows REGION_WRITE_MULTI. */
void client_set_limits(struct client *client, uint32_t max_transfer, int write_multi);

/* Returns 0, or the -errno that says why the connection is lost. */
int client_failed(const struct client *client);
const struct client_counters *client_counters(const struct client *client);

/* Sends one command with `fds` and waits for its reply. Returns the payload's length, at most
 * `capacity`. *reply_fd_count is the room for descriptors on entry and their number on return. */
int client_call(struct client *client, uint16_t command, const void *payload, uint32_t length,
                const int *fds, uint32_t fd_count, void *reply, uint32_t capacity, int *reply_fds,
                uint32_t *reply_fd_count);

/* Access `length` bytes of a region, in as many requests as the limits require, and wait for the
 * replies. */
int client_region_read(struct client *client, uint32_t region, uint64_t offset, void *into,
                       uint64_t length);
int client_region_write(struct client *client, uint32_t region, uint64_t offset, const void *data,
                        uint64_t length);

/* One access of several. */
struct client_access {
    void *data; /* what is written, or where to put what is read */
    uint64_t offset;
    uint32_t region;
    uint32_t length;
    int is_write;
    int status; /* 0, or -errno: the server refuses it */
};

/* Makes accesses in their order, all in flight together, and waits for the replies. */
int client_access_all(struct client *client, struct client_access *accesses, uint32_t count);

/* Posts a write: the server sends no reply, so a refusal goes unnoticed. The write is sent no later
 * than the next flush or wait. */
int client_region_post(struct client *client, uint32_t region, uint64_t offset, const void *data,
                       uint64_t length);
int client_flush(struct client *client);

/* Memory that the server may read (flag 1) and write (flag 2) by messages, which are served in
 * every wait: `size` bytes of the file `fd` at `offset`, for the device at `address`. The client
 * keeps a descriptor of its own. -ENOSPC: there is too much. */
int client_share(struct client *client, int fd, uint64_t offset, uint64_t address, uint64_t size,
                 uint32_t flags);
void client_unshare(struct client *client, uint64_t address, uint64_t size);

/* Waits until the server sends nothing for `timeout_ms`, or requests for memory, which are served.
 * Returns their number. */
int client_serve(struct client *client, uint32_t timeout_ms);

/* A `struct io` (io.h) over one region. Its first error, a refusal included, is final. */
struct client_io {
    struct io io;
    struct client *client;
    uint32_t region;
    int error;
};
void client_io_init(struct client_io *io, struct client *client, uint32_t region);
