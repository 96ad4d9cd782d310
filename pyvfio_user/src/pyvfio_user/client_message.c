/* Messages. Requests are composed in one buffer. A reply is matched with its request and checked
 * in every field, and its data are copied to the request's destination. */

#include <errno.h>
#include <string.h>

#include "pyvfio_user/client_internal.h"

_Static_assert(sizeof(struct header) == 16, "vfio-user header");
_Static_assert(sizeof(struct access) == 16, "vfio-user region access");
_Static_assert(sizeof(struct multi_write) == 24, "qemu, VFIOUserWROne");
_Static_assert(MULTI_REQUEST + MULTI_MAX * sizeof(struct multi_write) <= SEND_MAX,
               "a full REGION_WRITE_MULTI fits one send");
_Static_assert(REQUEST + 8 <= RECEIVE_MAX, "a small reply fits the buffer");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

/* Composing. The caller has made room in `out`. */

static void append(struct client *client, const void *data, uint32_t length)
{
    memcpy(client->out + client->out_length, data, length);
    client->out_length += length;
}

static void append_header(struct client *client, uint16_t id, uint16_t command, uint32_t size,
                          uint32_t flags)
{
    struct header header = {.id = id, .command = command, .size = size, .flags = flags};

    client->multi_at = NO_MULTI;
    append(client, &header, sizeof(header));
    client->counters.messages++;
}

/* Composes a request that the server answers; the next slot is free. A write has `data`. */
void client_compose_request(struct client *client, const struct pending *request, const void *data)
{
    uint32_t size = REQUEST + (data ? request->count : 0);
    struct access access = {request->offset, request->region, request->count};
    struct pending *slot = client_next_slot(client);

    *slot = *request;
    slot->id = client->next_id++;
    client->in_flight++;
    append_header(client, slot->id, slot->command, size, 0);
    append(client, &access, sizeof(access));
    if (data)
        append(client, data, request->count);
}

/* Posts a few bytes in the open REGION_WRITE_MULTI, or in a new one. */
static void post_multi(struct client *client, const struct access *access, const void *data)
{
    struct multi_write one = {.access = *access};
    struct header header;
    uint64_t count = 0;

    memcpy(one.data, data, access->count);
    if (client->multi_at == NO_MULTI) {
        uint32_t at = client->out_length;
        append_header(client, 0, REGION_WRITE_MULTI, MULTI_REQUEST, FLAG_NO_REPLY);
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
}

/* Composes a posted write. */
void client_compose_post(struct client *client, const struct access *access, const void *data)
{
    if (client_fits_multi(client, access->count)) {
        post_multi(client, access, data);
        return;
    }
    append_header(client, 0, REGION_WRITE, REQUEST + access->count, FLAG_NO_REPLY);
    append(client, access, sizeof(*access));
    append(client, data, access->count);
}

/* Composes any other command. Returns its id. */
uint16_t client_compose_call(struct client *client, uint16_t command, const void *payload,
                             uint32_t length)
{
    uint16_t id = client->next_id++;

    append_header(client, id, command, (uint32_t)sizeof(struct header) + length, 0);
    append(client, payload, length);
    return id;
}

/* Parsing */

/* Returns the request that `reply` answers, or NULL. */
static struct pending *find(struct client *client, const struct header *reply)
{
    struct pending *pending = &client->pending[reply->id % IN_FLIGHT];

    if ((reply->flags & FLAG_TYPE_MASK) != FLAG_REPLY || pending->command == 0 ||
        pending->id != reply->id || pending->command != reply->command)
        return NULL;
    return pending;
}

/* Begins an error reply, which some servers send with the payload of a success, some without. */
static int refused(struct client *client, struct pending *pending, const struct header *reply)
{
    if (reply->size > REQUEST + pending->count || reply->error == 0 || reply->error > 4095)
        return -EPROTO;
    if (*pending->status == 0)
        *pending->status = -(int)reply->error;
    pending->into = NULL;
    client->current = pending;
    client->payload_left = reply->size - (uint32_t)sizeof(*reply);
    return (int)sizeof(*reply);
}

/* Begins a reply that grants the request, which it must repeat. */
static int granted(struct client *client, struct pending *pending, const struct header *reply,
                   const struct access *access)
{
    uint32_t payload = pending->into ? pending->count : 0;

    if (reply->size != REQUEST + payload || access->offset != pending->offset ||
        access->region != pending->region || access->count != pending->count)
        return -EPROTO;
    client->current = pending;
    client->payload_left = payload;
    return REQUEST;
}

/* Serves the server's request at `data`. Returns its length; 0 if it is not complete, or must wait
 * until the answer to the one before is sent. */
static int serve_request(struct client *client, const struct header *header, const uint8_t *data,
                         uint32_t length)
{
    int whole = client_request_length(header);

    if (whole < 0)
        return whole;
    if (client->answer_length || length < (uint32_t)whole)
        return 0;
    client_serve_request(client, header, data + sizeof(*header));
    return whole;
}

/* Begins the reply at `data`, or serves a request. Returns the number of bytes used; 0 if `length`
 * is too short. */
static int begin(struct client *client, const uint8_t *data, uint32_t length)
{
    struct header reply;
    struct access access;
    struct pending *pending;

    if (length < sizeof(reply))
        return 0;
    memcpy(&reply, data, sizeof(reply));
    if ((reply.flags & FLAG_TYPE_MASK) == 0)
        return serve_request(client, &reply, data, length);
    pending = find(client, &reply);
    if (!pending || reply.size < sizeof(reply))
        return -EPROTO;
    if (reply.flags & FLAG_ERROR)
        return refused(client, pending, &reply);
    if (length < REQUEST)
        return reply.size < REQUEST ? -EPROTO : 0;
    memcpy(&access, data + sizeof(reply), sizeof(access));
    return granted(client, pending, &reply, &access);
}

/* Takes as much of the current reply's payload as `length` bytes at `data` hold. */
static uint32_t take_payload(struct client *client, const uint8_t *data, uint32_t length)
{
    struct pending *pending = client->current;
    uint32_t taken = length < client->payload_left ? length : client->payload_left;

    if (pending->into) {
        memcpy(pending->into, data, taken);
        pending->into += taken;
    }
    client->payload_left -= taken;
    return taken;
}

static void complete(struct client *client)
{
    client->current->command = 0;
    client->current = NULL;
    client->in_flight--;
}

/* Handles the content of `in`; moves an incomplete header to the beginning. */
static int parse_buffer(struct client *client)
{
    uint32_t at = 0;

    while (at < client->in_length || client->current) {
        if (!client->current) {
            int used = begin(client, client->in + at, client->in_length - at);
            if (used < 0)
                return used;
            if (used == 0)
                break;
            at += (uint32_t)used;
            if (!client->current) /* it was a request */
                continue;
        }
        at += take_payload(client, client->in + at, client->in_length - at);
        if (client->payload_left)
            break;
        complete(client);
    }
    client->in_length -= at;
    memmove(client->in, client->in + at, client->in_length);
    return 0;
}

static uint32_t direct_length(const struct client *client)
{
    return client->current && client->current->into ? client->payload_left : 0;
}

/* Fills `parts` (2) with the destinations of the next bytes: the rest of a payload goes straight
 * to the request's destination, all else to the buffer. Returns the number of parts. */
size_t client_receive_parts(struct client *client, struct iovec *parts)
{
    uint32_t direct = direct_length(client);
    size_t count = 0;

    if (direct)
        parts[count++] = (struct iovec){client->current->into, direct};
    parts[count++] =
        (struct iovec){client->in + client->in_length, RECEIVE_MAX - client->in_length};
    return count;
}

/* Handles `received` bytes that have arrived in those parts. Returns -EPROTO if the server breaks
 * the protocol. */
int client_parse(struct client *client, uint32_t received)
{
    uint32_t direct = direct_length(client);

    direct = received < direct ? received : direct;
    if (direct) {
        client->current->into += direct;
        client->payload_left -= direct;
    }
    client->in_length += received - direct;
    return parse_buffer(client);
}

/* Checks a call's reply. Returns the length of its payload, or -EPROTO. */
int client_parse_call(const struct header *reply, uint16_t id, uint16_t command, uint32_t capacity)
{
    if ((reply->flags & FLAG_TYPE_MASK) != FLAG_REPLY || reply->id != id ||
        reply->command != command || reply->size < sizeof(*reply) ||
        reply->size - sizeof(*reply) > capacity)
        return -EPROTO;
    if ((reply->flags & FLAG_ERROR) && (reply->error == 0 || reply->error > 4095))
        return -EPROTO;
    return (int)(reply->size - sizeof(*reply));
}
