/* The client's core: requests, replies and the limits between them. All functions return 0 (or a
 * length) or -errno. Two kinds of error: the server refused one request (its errno), or the
 * connection is lost for good, which client_failed() tells: -EIO the peer is dead, -ETIMEDOUT it
 * is silent, -EPROTO it broke the protocol. One thread at a time may use a client. */

struct client;

/* What went over the socket so far. A round trip is counted each time somebody waits for
 * replies. */
struct client_counters {
    uint64_t messages;
    uint64_t sends;
    uint64_t round_trips;
    uint64_t bytes_sent;
    uint64_t bytes_received;
};

/* `fd` is a connected stream socket and stays the caller's; `deadline_ms` bounds every silence.
 * NULL: no memory. Before it sleeps, a wait looks for replies for `spin_us` microseconds. */
struct client *client_create(int fd, uint32_t deadline_ms, uint32_t spin_us);
void client_destroy(struct client *client);

/* What the server announced: bytes per region access, and whether it knows REGION_WRITE_MULTI. */
void client_set_limits(struct client *client, uint32_t max_transfer, int write_multi);

/* 0, or why the connection is lost. */
int client_failed(const struct client *client);
const struct client_counters *client_counters(const struct client *client);

/* One command with `fds` attached, and its reply: returns the payload's length, at most
 * `capacity`. *reply_fd_count holds the room for descriptors and receives their number. */
int client_call(struct client *client, uint16_t command, const void *payload, uint32_t length,
                const int *fds, uint32_t fd_count, void *reply, uint32_t capacity, int *reply_fds,
                uint32_t *reply_fd_count);

/* `length` bytes of a region, in as many requests as the limits ask for; waits for the answers. */
int client_region_read(struct client *client, uint32_t region, uint64_t offset, void *into,
                       uint64_t length);
int client_region_write(struct client *client, uint32_t region, uint64_t offset, const void *data,
                        uint64_t length);

/* Posted: nobody learns whether the server liked it. Sent with the next flush or wait at the
 * latest. */
int client_region_post(struct client *client, uint32_t region, uint64_t offset, const void *data,
                       uint64_t length);
int client_flush(struct client *client);

/* A `struct io` (io.h) over one region. Its error is sticky, a refusal included. */
struct client_io {
    struct io io;
    struct client *client;
    uint32_t region;
    int error;
};
void client_io_init(struct client_io *io, struct client *client, uint32_t region);
