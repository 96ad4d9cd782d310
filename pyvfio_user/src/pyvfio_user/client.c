/* Requests: composed in one buffer, sent together, waited for together. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "pyvfio_user/client_internal.h"

_Static_assert(sizeof(struct multi_write) == 24, "qemu, VFIOUserWROne");
_Static_assert(sizeof(struct header) + 8 + MULTI_MAX * sizeof(struct multi_write) <= SEND_MAX,
               "a full REGION_WRITE_MULTI fits one send");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

struct client *client_create(int fd, uint32_t deadline_ms, uint32_t spin_us)
{
    struct timeval deadline = {deadline_ms / 1000, deadline_ms % 1000 * 1000};
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return NULL;
    client->fd = fd;
    client->deadline_ms = deadline_ms;
    client->spin_us = spin_us;
    client->max_transfer = SEND_MAX - REQUEST;
    client->multi_at = NO_MULTI;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0)
        client->error = -errno;
    return client;
}

void client_destroy(struct client *client)
{
    free(client);
}

void client_set_limits(struct client *client, uint32_t max_transfer, int write_multi)
{
    client->max_transfer = max_transfer;
    client->write_multi = write_multi != 0;
}

int client_failed(const struct client *client)
{
    return client->error;
}

const struct client_counters *client_counters(const struct client *client)
{
    return &client->counters;
}

/* The first reason stays: what fails afterwards fails because of it. */
int client_fail(struct client *client, int error)
{
    if (!client->error)
        client->error = error;
    return client->error;
}

int client_flush(struct client *client)
{
    uint32_t length = client->out_length;

    if (client->error)
        return client->error;
    client->out_length = 0;
    client->multi_at = NO_MULTI;
    return client_send(client, client->out, length, NULL, 0);
}

/* Send what is composed and wait until at most `most` requests are unanswered. */
int client_wait(struct client *client, uint32_t most)
{
    int error = client_flush(client);

    if (error || client->in_flight <= most)
        return error;
    client->counters.round_trips++;
    client->progress_at = client_now();
    while (!error && client->in_flight > most)
        error = client_receive(client, true);
    return error;
}

/* Room for `length` more bytes of requests. */
static int make_room(struct client *client, uint32_t length)
{
    if (client->error)
        return client->error;
    return client->out_length + length > SEND_MAX ? client_flush(client) : 0;
}

static uint8_t *append(struct client *client, const void *data, uint32_t length)
{
    uint8_t *place = client->out + client->out_length;

    memcpy(place, data, length);
    client->out_length += length;
    return place;
}

static void append_header(struct client *client, uint16_t id, uint16_t command, uint32_t size,
                          uint32_t flags)
{
    struct header header = {.id = id, .command = command, .size = size, .flags = flags};

    client->multi_at = NO_MULTI;
    append(client, &header, sizeof(header));
    client->counters.messages++;
}

/* A slot for one more request. With all in use, half of the replies are awaited at once: that
 * leaves the server work to do meanwhile. */
static int take_slot(struct client *client, const struct pending *request, uint16_t *id)
{
    int error = 0;

    if (client->in_flight == IN_FLIGHT)
        error = client_wait(client, IN_FLIGHT / 2);
    struct pending *slot = &client->pending[client->next_id % IN_FLIGHT];
    if (!error && slot->command) /* a server may answer out of order */
        error = client_wait(client, 0);
    if (error)
        return error;
    *id = client->next_id++;
    *slot = *request;
    slot->id = *id;
    client->in_flight++;
    return 0;
}

/* One request that is answered; `data` for a write. */
static int request(struct client *client, const struct pending *pending, const void *data)
{
    uint32_t size = REQUEST + (data ? pending->count : 0);
    struct access access = {pending->offset, pending->region, pending->count};
    uint16_t id;

    int error = take_slot(client, pending, &id);
    if (error)
        return error;
    error = make_room(client, size);
    if (error)
        return error;
    append_header(client, id, pending->command, size, 0);
    append(client, &access, sizeof(access));
    if (data)
        append(client, data, pending->count);
    return 0;
}

/* A few bytes, posted, in the open REGION_WRITE_MULTI or in a new one. */
static int post_multi(struct client *client, const struct access *access, const void *data)
{
    struct multi_write one = {.access = *access};
    struct header header;
    uint64_t count = 0;

    memcpy(one.data, data, access->count);
    int error = make_room(client, sizeof(header) + sizeof(count) + sizeof(one));
    if (error)
        return error;
    if (client->multi_at == NO_MULTI) {
        uint32_t at = client->out_length;
        append_header(client, 0, REGION_WRITE_MULTI, sizeof(header) + sizeof(count), FLAG_NO_REPLY);
        append(client, &count, sizeof(count));
        client->multi_at = at;
    }
    uint8_t *multi = client->out + client->multi_at;
    memcpy(&header, multi, sizeof(header));
    memcpy(&count, multi + sizeof(header), sizeof(count));
    header.size += (uint32_t)sizeof(one);
    count++;
    memcpy(multi, &header, sizeof(header));
    memcpy(multi + sizeof(header), &count, sizeof(count));
    append(client, &one, sizeof(one));
    if (count == MULTI_MAX)
        client->multi_at = NO_MULTI;
    return 0;
}

static int post(struct client *client, const struct access *access, const void *data)
{
    uint32_t size = REQUEST + access->count;

    if (client->write_multi && access->count <= 8)
        return post_multi(client, access, data);
    int error = make_room(client, size);
    if (error)
        return error;
    append_header(client, 0, REGION_WRITE, size, FLAG_NO_REPLY);
    append(client, access, sizeof(*access));
    append(client, data, access->count);
    return 0;
}

static uint32_t minimum(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* The largest piece of a transfer: within the limit, and no element of `width` bytes cut in two. */
static uint32_t piece(uint32_t limit, uint32_t width)
{
    return limit < width ? limit : limit - limit % width;
}

int client_start_read(struct client *client, uint32_t region, uint64_t offset, void *into,
                      uint64_t length, uint32_t width, int *status)
{
    uint32_t most = piece(client->max_transfer, width);
    int error = 0;

    for (uint64_t at = 0; !error && at < length; at += most) {
        struct pending pending = {.into = (uint8_t *)into + at,
                                  .status = status,
                                  .offset = offset + at,
                                  .region = region,
                                  .count = minimum(most, length - at),
                                  .command = REGION_READ};
        error = request(client, &pending, NULL);
    }
    return error;
}

int client_post(struct client *client, uint32_t region, uint64_t offset, const void *data,
                uint64_t length, uint32_t width)
{
    uint32_t most = piece(minimum(client->max_transfer, SEND_MAX - REQUEST), width);
    int error = 0;

    for (uint64_t at = 0; !error && at < length; at += most) {
        struct access access = {offset + at, region, minimum(most, length - at)};
        error = post(client, &access, (const uint8_t *)data + at);
    }
    return error;
}

int client_region_read(struct client *client, uint32_t region, uint64_t offset, void *into,
                       uint64_t length)
{
    int refused = 0;
    int error = client_start_read(client, region, offset, into, length, 1, &refused);

    if (!error)
        error = client_wait(client, 0);
    return error ? error : refused;
}

int client_region_write(struct client *client, uint32_t region, uint64_t offset, const void *data,
                        uint64_t length)
{
    uint32_t most = minimum(client->max_transfer, SEND_MAX - REQUEST);
    int refused = 0;
    int error = 0;

    for (uint64_t at = 0; !error && at < length; at += most) {
        struct pending pending = {.status = &refused,
                                  .offset = offset + at,
                                  .region = region,
                                  .count = minimum(most, length - at),
                                  .command = REGION_WRITE};
        error = request(client, &pending, (const uint8_t *)data + at);
    }
    if (!error)
        error = client_wait(client, 0);
    return error ? error : refused;
}

int client_region_post(struct client *client, uint32_t region, uint64_t offset, const void *data,
                       uint64_t length)
{
    return client_post(client, region, offset, data, length, 1);
}

int client_call(struct client *client, uint16_t command, const void *payload, uint32_t length,
                const int *fds, uint32_t fd_count, void *reply, uint32_t capacity, int *reply_fds,
                uint32_t *reply_fd_count)
{
    uint16_t id = client->next_id;

    if (length > SEND_MAX - sizeof(struct header))
        return -EMSGSIZE;
    int error = client_wait(client, 0); /* leaves the buffer of requests empty */
    if (error)
        return error;
    if (client->in_length) /* nobody asked for this */
        return client_fail(client, -EPROTO);
    client->next_id++;
    append_header(client, id, command, (uint32_t)sizeof(struct header) + length, 0);
    append(client, payload, length);
    uint32_t size = client->out_length;
    client->out_length = 0;
    client->counters.round_trips++;
    error = client_send(client, client->out, size, fds, fd_count);
    if (error)
        return error;
    return client_receive_call(client, id, command, reply, capacity, reply_fds, reply_fd_count);
}
