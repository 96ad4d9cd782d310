/* What the client's C files share. Not for Python. */
#ifndef PYVFIO_USER_CLIENT_INTERNAL_H
#define PYVFIO_USER_CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyvfio_user/io.h"
#include "pyvfio_user/client.h"

/* docs/vfio-user.rst of libvfio-user. All numbers on the wire are little-endian. */
enum command {
    REGION_READ = 9,
    REGION_WRITE = 10,
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

enum {
    REQUEST = sizeof(struct header) + sizeof(struct access),
    IN_FLIGHT =
        4096, /* a server that cannot send for unread replies stops reading; see wait_writable() */
    SEND_MAX = 32768, /* one skb: what is sent at once arrives at once */
    MULTI_MAX = 200,  /* qemu, VFIO_USER_MULTI_MAX */
    RECEIVE_MAX = 65536,
};

/* A request that waits for its reply. `command` 0: a free slot. */
struct pending {
    uint8_t *into; /* NULL for a write */
    int *status;   /* receives -errno if the server refuses; stays as it is otherwise */
    uint64_t offset;
    uint32_t region;
    uint32_t count;
    uint16_t id;
    uint16_t command;
};

struct client {
    int fd;
    int error;
    uint32_t deadline_ms;
    uint32_t spin_us;
    uint32_t max_transfer;
    bool write_multi;

    uint16_t next_id;
    uint32_t in_flight;
    struct pending pending[IN_FLIGHT]; /* by id modulo IN_FLIGHT */

    uint32_t out_length;
    uint32_t multi_at; /* where in `out` an open REGION_WRITE_MULTI begins; NO_MULTI: nowhere */

    struct pending *current; /* the reply whose payload is being received */
    uint32_t payload_left;
    uint32_t in_length;
    uint64_t progress_at; /* ns; when a wait began or its last reply was complete */

    struct client_counters counters;
    uint8_t out[SEND_MAX];
    uint8_t in[RECEIVE_MAX];
};

#define NO_MULTI UINT32_MAX

int client_fail(struct client *client, int error);
uint64_t client_now(void);

/* client_socket.c */
int client_send(struct client *client, const void *data, uint32_t length, const int *fds,
                uint32_t fd_count);
int client_receive(struct client *client, bool wait);
int client_receive_call(struct client *client, uint16_t id, uint16_t command, void *reply,
                        uint32_t capacity, int *fds, uint32_t *fd_count);

/* client_reply.c */
int client_parse(struct client *client);

/* client.c */
int client_wait(struct client *client, uint32_t most);
int client_start_read(struct client *client, uint32_t region, uint64_t offset, void *into,
                      uint64_t length, uint32_t width, int *status);
int client_post(struct client *client, uint32_t region, uint64_t offset, const void *data,
                uint64_t length, uint32_t width);

#endif
