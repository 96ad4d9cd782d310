/* Creates and destroys a client; sends requests together, waits for their replies together, and
 * keeps the limits between them. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "pyvfio_user/client_internal.h"

struct client *client_create(int fd, uint32_t deadline_ms, uint32_t spin_us)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return NULL;
    client->fd = fd;
    patience_init(&client->patience, fd, deadline_ms);
    client->spin_us = spin_us;
    client->max_transfer = SEND_MAX - REQUEST;
    client->multi_at = NO_MULTI;
    client->error = client_set_timeouts(client);
    return client;
}

void client_destroy(struct client *client)
{
    if (client)
        client_unshare_all(client);
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

/* Records that the connection is lost. Keeps the first error, since later ones follow from it. */
static int fail(struct client *client, int error)
{
    if (!client->error)
        client->error = error;
    return client->error;
}

/* Sending and waiting */

/* Receives and handles what has arrived; if nothing has and `wait` is set, waits for it. */
static int receive(struct client *client, bool wait)
{
    uint32_t before = client->in_flight;
    struct iovec parts[2];

    int done = client_receive_some(client, parts, client_receive_parts(client, parts), wait);
    if (done > 0)
        done = client_parse(client, (uint32_t)done);
    if (done < 0)
        return fail(client, done);
    if (client->in_flight != before)
        patience_begin(&client->patience);
    else if (patience_is_over(&client->patience))
        return fail(client, -ETIMEDOUT);
    return 0;
}

/* Waits until a full socket takes bytes again, and receives replies meanwhile: a server that
 * blocks on sending them does not read. */
static int make_way(struct client *client)
{
    int readable = client_wait_writable(client, client->in_flight && !client->answer_length);

    if (readable < 0)
        return fail(client, readable);
    return readable ? receive(client, false) : 0;
}

/* Sends everything in `out`; `fds` go with the first byte. */
static int send_all(struct client *client, const int *fds, uint32_t fd_count)
{
    uint32_t length = client->out_length;
    uint32_t sent = 0;
    int error = 0;

    client->out_length = 0;
    client->multi_at = NO_MULTI;
    patience_begin(&client->patience);
    while (!error && sent < length) {
        int done = client_send_some(client, client->out + sent, length - sent, fds,
                                    sent == 0 ? fd_count : 0);
        if (done < 0)
            return fail(client, done);
        sent += (uint32_t)done;
        if (done == 0)
            error = make_way(client);
    }
    return error;
}

/* Sends the answer to a request of the server. */
static int send_answer(struct client *client)
{
    uint32_t sent = 0;

    while (sent < client->answer_length) {
        int done =
            client_send_some(client, client->answer + sent, client->answer_length - sent, NULL, 0);
        if (done == 0)
            done = client_wait_writable(client, false);
        else
            sent += done > 0 ? (uint32_t)done : 0;
        if (done < 0)
            return fail(client, done);
    }
    client->answer_length = 0;
    return 0;
}

/* Answers the server's requests that have arrived. */
static int answer(struct client *client)
{
    int error = 0;

    while (!error && client->answer_length) {
        error = send_answer(client);
        if (!error)
            error = client_parse(client, 0); /* what had to wait */
        if (error)
            fail(client, error);
    }
    return error;
}

int client_flush(struct client *client)
{
    int error = client->error ? client->error : send_all(client, NULL, 0);

    return error ? error : answer(client);
}

static int receive_and_answer(struct client *client, bool wait)
{
    int error = receive(client, wait);

    return error ? error : answer(client);
}

/* Sends all composed requests and waits until at most `most` of them lack a reply. */
int client_wait(struct client *client, uint32_t most)
{
    int error = client_flush(client);

    if (error || client->in_flight <= most)
        return error;
    client->counters.round_trips++;
    patience_begin(&client->patience);
    while (!error && client->in_flight > most)
        error = receive_and_answer(client, true);
    return error;
}

int client_serve(struct client *client, uint32_t timeout_ms)
{
    uint64_t before = client->served;
    int error = client_wait(client, 0);
    int ready = 1;

    patience_begin(&client->patience);
    while (!error && ready && client->served == before) {
        ready = client_wait_readable(client, timeout_ms);
        if (ready < 0)
            return fail(client, ready);
        if (ready)
            error = receive_and_answer(client, false);
    }
    return error ? error : (int)(client->served - before);
}

/* Makes room for `length` more bytes of requests. */
static int make_room(struct client *client, uint32_t length)
{
    if (client->error)
        return client->error;
    return client->out_length + length > SEND_MAX ? client_flush(client) : 0;
}

/* Region accesses */

/* Frees a slot for one more request. If all are in use, waits for half of the replies, so that
 * the server still has work meanwhile. */
static int make_slot(struct client *client)
{
    int error = 0;

    if (client->in_flight == IN_FLIGHT)
        error = client_wait(client, IN_FLIGHT / 2);
    if (!error && client_next_slot(client)->command) /* a server may answer out of order */
        error = client_wait(client, 0);
    return error;
}

static int request(struct client *client, const struct pending *request, const void *data)
{
    int error = make_slot(client);

    if (!error)
        error = make_room(client, REQUEST + (data ? request->count : 0));
    if (!error)
        client_compose_request(client, request, data);
    return error;
}

static int post(struct client *client, const struct access *access, const void *data)
{
    uint32_t size = client_fits_multi(client, access->count)
                        ? MULTI_REQUEST + (uint32_t)sizeof(struct multi_write)
                        : REQUEST + access->count;
    int error = make_room(client, size);

    if (!error)
        client_compose_post(client, access, data);
    return error;
}

static uint32_t minimum(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* Returns the largest piece of a transfer within the limit that splits no element of `width`
 * bytes. */
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

static int start_write(struct client *client, uint32_t region, uint64_t offset, const void *data,
                       uint64_t length, int *status)
{
    uint32_t most = minimum(client->max_transfer, SEND_MAX - REQUEST);
    int error = 0;

    for (uint64_t at = 0; !error && at < length; at += most) {
        struct pending pending = {.status = status,
                                  .offset = offset + at,
                                  .region = region,
                                  .count = minimum(most, length - at),
                                  .command = REGION_WRITE};
        error = request(client, &pending, (const uint8_t *)data + at);
    }
    return error;
}

int client_region_write(struct client *client, uint32_t region, uint64_t offset, const void *data,
                        uint64_t length)
{
    int refused = 0;
    int error = start_write(client, region, offset, data, length, &refused);

    if (!error)
        error = client_wait(client, 0);
    return error ? error : refused;
}

int client_access_all(struct client *client, struct client_access *accesses, uint32_t count)
{
    int error = 0;

    for (uint32_t i = 0; !error && i < count; i++) {
        struct client_access *one = &accesses[i];

        one->status = 0;
        error = one->is_write ? start_write(client, one->region, one->offset, one->data,
                                            one->length, &one->status)
                              : client_start_read(client, one->region, one->offset, one->data,
                                                  one->length, 1, &one->status);
    }
    return error ? error : client_wait(client, 0);
}

int client_region_post(struct client *client, uint32_t region, uint64_t offset, const void *data,
                       uint64_t length)
{
    return client_post(client, region, offset, data, length, 1);
}

/* Other commands */

/* Serves a request that arrives instead of a call's reply. */
static int serve_first(struct client *client, const struct header *header, int *fds,
                       uint32_t *fd_count, uint32_t room)
{
    int length = client_request_length(header);

    if (length < 0)
        return length;
    int error = client_receive_exactly(
        client, client->in, (uint32_t)length - (uint32_t)sizeof(*header), fds, fd_count, room);
    if (error)
        return error;
    client_serve_request(client, header, client->in);
    error = send_answer(client);
    return !error && patience_is_over(&client->patience) ? -ETIMEDOUT : error;
}

static int receive_reply(struct client *client, uint16_t id, uint16_t command, void *reply,
                         uint32_t capacity, int *fds, uint32_t *fd_count, uint32_t room)
{
    struct header header;
    int error;

    do {
        error = client_receive_exactly(client, &header, sizeof(header), fds, fd_count, room);
        if (!error && (header.flags & FLAG_TYPE_MASK) == 0)
            error = serve_first(client, &header, fds, fd_count, room);
        if (error)
            return fail(client, error);
    } while ((header.flags & FLAG_TYPE_MASK) == 0);
    int length = client_parse_call(&header, id, command, capacity);
    if (length < 0)
        return fail(client, length);
    error = client_receive_exactly(client, reply, (uint32_t)length, fds, fd_count, room);
    if (error)
        return fail(client, error);
    return header.flags & FLAG_ERROR ? -(int)header.error : length;
}

/* Receives the rest of a request of the server that has begun to arrive. */
static int complete_request(struct client *client)
{
    int error = 0;

    patience_begin(&client->patience);
    while (!error && client->in_length) {
        if (client->in_length < sizeof(struct header)) /* at most a reply to no request */
            return fail(client, -EPROTO);
        error = receive_and_answer(client, true);
    }
    return error;
}

int client_call(struct client *client, uint16_t command, const void *payload, uint32_t length,
                const int *fds, uint32_t fd_count, void *reply, uint32_t capacity, int *reply_fds,
                uint32_t *reply_fd_count)
{
    uint32_t room = *reply_fd_count;

    *reply_fd_count = 0;
    if (length > SEND_MAX - sizeof(struct header))
        return -EMSGSIZE;
    if (fd_count > MAX_FDS)
        return -EINVAL;
    int error = client_wait(client, 0); /* leaves `out` empty */
    if (!error)
        error = complete_request(client); /* leaves `in` empty */
    if (error)
        return error;
    uint16_t id = client_compose_call(client, command, payload, length);
    client->counters.round_trips++;
    error = send_all(client, fds, fd_count);
    if (error)
        return error;
    int result =
        receive_reply(client, id, command, reply, capacity, reply_fds, reply_fd_count, room);
    while (result < 0 && *reply_fd_count)
        close(reply_fds[--*reply_fd_count]);
    return result;
}
