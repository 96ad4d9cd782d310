/* Replies: matched with their requests, checked in every field, their data put where it belongs. */

#include <errno.h>
#include <string.h>

#include "pyvfio_user/client_internal.h"

_Static_assert(sizeof(struct header) == 16, "vfio-user header");
_Static_assert(sizeof(struct access) == 16, "vfio-user region access");
_Static_assert(REQUEST + 8 <= RECEIVE_MAX, "a small reply fits the buffer");

/* The request that `reply` answers, or NULL where there is none. */
static struct pending *find(struct client *client, const struct header *reply)
{
    struct pending *pending = &client->pending[reply->id % IN_FLIGHT];

    if ((reply->flags & FLAG_TYPE_MASK) != FLAG_REPLY || pending->command == 0 ||
        pending->id != reply->id || pending->command != reply->command)
        return NULL;
    return pending;
}

static void complete(struct client *client, struct pending *pending)
{
    pending->command = 0;
    client->current = NULL;
    client->in_flight--;
}

/* An error reply: servers send it with the payload of success, or with none. */
static int refused(struct client *client, struct pending *pending, const struct header *reply)
{
    if (reply->size > REQUEST + pending->count || reply->error == 0 || reply->error > 4095)
        return client_fail(client, -EPROTO);
    if (*pending->status == 0)
        *pending->status = -(int)reply->error;
    pending->into = NULL;
    client->current = pending;
    client->payload_left = reply->size - (uint32_t)sizeof(*reply);
    return (int)sizeof(*reply);
}

/* A reply that grants the request must repeat it. */
static int granted(struct client *client, struct pending *pending, const struct header *reply,
                   const struct access *access)
{
    uint32_t payload = pending->into ? pending->count : 0;

    if (reply->size != REQUEST + payload || access->offset != pending->offset ||
        access->region != pending->region || access->count != pending->count)
        return client_fail(client, -EPROTO);
    client->current = pending;
    client->payload_left = payload;
    return REQUEST;
}

/* Begin the reply at `data`. Returns how much of it was consumed, 0 if `length` is too little
 * yet. */
static int begin(struct client *client, const uint8_t *data, uint32_t length)
{
    struct header reply;
    struct access access;
    struct pending *pending;

    if (length < sizeof(reply))
        return 0;
    memcpy(&reply, data, sizeof(reply));
    pending = find(client, &reply);
    if (!pending || reply.size < sizeof(reply))
        return client_fail(client, -EPROTO);
    if (reply.flags & FLAG_ERROR)
        return refused(client, pending, &reply);
    if (length < REQUEST)
        return reply.size < REQUEST ? client_fail(client, -EPROTO) : 0;
    memcpy(&access, data + sizeof(reply), sizeof(access));
    return granted(client, pending, &reply, &access);
}

/* Take what `length` bytes at `data` hold of the current reply's payload. */
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

/* Handle all that has arrived in `in`; an unfinished header is moved to its beginning. */
int client_parse(struct client *client)
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
        }
        at += take_payload(client, client->in + at, client->in_length - at);
        if (client->payload_left)
            break;
        complete(client, client->current);
    }
    client->in_length -= at;
    memmove(client->in, client->in + at, client->in_length);
    return 0;
}
