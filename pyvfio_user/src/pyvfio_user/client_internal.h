/* Declarations that the client's C files share, not for Python. Each file calls only those below
 * it:
 *
 *   client_io.c       a region as a `struct io`
 *   client.c          requests, their replies, and the limits between them
 *   client_message.c  messages: composes and parses them, touches no socket
 *   client_dma.c      memory that the client shares, and requests for it
 *   client_socket.c   bytes: sends, receives and waits, knows no message
 */
#ifndef PYVFIO_USER_CLIENT_INTERNAL_H
#define PYVFIO_USER_CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pyvfio_user/io.h"
#include "pyvfio_user/client.h"
#include "pyvfio_user/patience.h"

/* docs/vfio-user.rst of libvfio-user. All numbers on the wire are little-endian. */
enum command {
    REGION_READ = 9,
    REGION_WRITE = 10,
    DMA_READ = 11, /* the server's requests */
    DMA_WRITE = 12,
    REGION_WRITE_MULTI = 15, /* qemu, hw/vfio-user/protocol.h */
};

enum {
    FLAG_TYPE_MASK = 0xf,
    FLAG_REPLY = 0x1,
    FLAG_NO_REPLY = 0x10,
    FLAG_ERROR = 0x20,
};

struct header {
    uint16_t id;
    uint16_t command;
    uint32_t size; /* of the whole message */
    uint32_t flags;
    uint32_t error;
};

struct access {
    uint64_t offset;
    uint32_t region;
    uint32_t count;
};

struct multi_write {
    struct access access;
    uint8_t data[8];
};

struct dma_access {
    uint64_t address;
    uint64_t count;
};

enum {
    REQUEST = sizeof(struct header) + sizeof(struct access),
    MULTI_REQUEST = sizeof(struct header) + sizeof(uint64_t), /* and its multi_writes */
    IN_FLIGHT = 4096, /* a server that blocks on our unread replies stops reading: see make_way() */
    SEND_MAX = 32768, /* one skb: what is sent together arrives together */
    MULTI_MAX = 200,  /* qemu, VFIO_USER_MULTI_MAX */
    RECEIVE_MAX = 65536,
    MAX_FDS = 16,
    DMA_REQUEST = sizeof(struct header) + sizeof(struct dma_access),
    DMA_MAX = 32768, /* bytes of one request, which protocol.py announces */
    SHARES = 512,
    SHARE_READ = 1, /* VFIO_USER_F_DMA_REGION_* */
    SHARE_WRITE = 2,
};

/* Memory of the client at the device's `address`: `size` bytes of a file at `offset`. */
struct share {
    uint64_t address;
    uint64_t size;
    uint64_t offset;
    int fd;
    uint32_t flags;
};

/* A request that waits for its reply. `command` 0: a free slot. */
struct pending {
    uint8_t *into; /* NULL for a write */
    int *status;   /* receives -errno if the server refuses, else keeps its value */
    uint64_t offset;
    uint32_t region;
    uint32_t count;
    uint16_t id;
    uint16_t command;
};

struct client {
    int error; /* why the connection is lost */
    uint32_t max_transfer;
    bool write_multi;
    struct client_counters counters;

    /* client_socket.c */
    int fd;
    uint32_t spin_us;
    struct patience patience; /* begins with a wait, and when a reply is complete */

    /* client_message.c, sending */
    uint16_t next_id;
    uint32_t in_flight;
    struct pending pending[IN_FLIGHT]; /* by id modulo IN_FLIGHT */
    uint32_t out_length;
    uint32_t multi_at; /* offset in `out` of an open REGION_WRITE_MULTI, or NO_MULTI */

    /* client_message.c, receiving */
    struct pending *current; /* the request whose reply's payload is being received */
    uint32_t payload_left;
    uint32_t in_length;

    /* client_dma.c */
    uint32_t share_count;
    struct share shares[SHARES];
    uint64_t served;        /* requests of the server */
    uint32_t answer_length; /* of the answer to one that is not sent yet; until then, no other is
                               taken from `in`, and nothing is received */

    _Alignas(16) uint8_t answer[DMA_REQUEST + DMA_MAX];
    _Alignas(16) uint8_t out[SEND_MAX];
    _Alignas(16) uint8_t in[RECEIVE_MAX];
};

#define NO_MULTI UINT32_MAX

/* Can a posted write of `count` bytes share a REGION_WRITE_MULTI? */
static inline bool client_fits_multi(const struct client *client, uint32_t count)
{
    return client->write_multi && count <= sizeof((struct multi_write){0}.data);
}

/* Returns the slot in which the next request waits for its reply; it is free if `command` is 0. */
static inline struct pending *client_next_slot(struct client *client)
{
    return &client->pending[client->next_id % IN_FLIGHT];
}

/* client.c */
int client_wait(struct client *client, uint32_t most);
int client_start_read(struct client *client, uint32_t region, uint64_t offset, void *into,
                      uint64_t length, uint32_t width, int *status);
int client_post(struct client *client, uint32_t region, uint64_t offset, const void *data,
                uint64_t length, uint32_t width);

/* client_message.c */
void client_compose_request(struct client *client, const struct pending *request, const void *data);
void client_compose_post(struct client *client, const struct access *access, const void *data);
uint16_t client_compose_call(struct client *client, uint16_t command, const void *payload,
                             uint32_t length);
size_t client_receive_parts(struct client *client, struct iovec *parts);
int client_parse(struct client *client, uint32_t received);
int client_parse_call(const struct header *reply, uint16_t id, uint16_t command, uint32_t capacity);

/* client_dma.c */
void client_unshare_all(struct client *client);
int client_request_length(const struct header *header);
void client_serve_request(struct client *client, const struct header *header, const uint8_t *data);

/* client_socket.c */
int client_set_timeouts(struct client *client);
int client_send_some(struct client *client, const void *data, uint32_t length, const int *fds,
                     uint32_t fd_count);
int client_wait_writable(struct client *client, bool or_readable);
int client_wait_readable(struct client *client, uint32_t timeout_ms);
int client_receive_some(struct client *client, struct iovec *parts, size_t count, bool wait);
int client_receive_exactly(struct client *client, void *into, uint32_t length, int *fds,
                           uint32_t *fd_count, uint32_t room);

#endif
