/* Short accesses to regions, which are most messages, without libvfio-user: it allocates memory
 * four times for each, and clears 4 KiB. They are served from the buffer of received bytes into
 * that of delayed replies. */

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "pyvfio_user/server_internal.h"

/* Bytes of an access at most. The library's work for a longer one is little beside the device's,
 * and the clock is to be looked at after it. */
enum { QUICK_MOST = 4096 };

/* A request without its data, or a reply. */
struct access_message {
    struct vfio_user_header header;
    struct vfio_user_region_access access;
};
_Static_assert(sizeof(struct access_message) == 32, "no padding");

int server_access_region(struct server *server, uint32_t index, uint64_t offset, void *data,
                         uint32_t length, bool is_write)
{
    int error = server->regions[index].access(server->regions[index].cookie, offset, data, length,
                                              is_write);

    return error <= 0 && error >= -4095 ? -error : EIO;
}

/* Returns whether the device serves the region, and not the library. */
static bool is_served(const struct server *server, uint32_t region)
{
    if (region >= REGIONS || !server->regions[region].access)
        return false;
    return region != VFU_PCI_DEV_CFG_REGION_IDX || server->config_callback;
}

/* Returns whether this is an access to answer here. The library answers one that is wrong, or to
 * nothing. */
static bool is_good(const struct server *server, const struct access_message *message)
{
    const struct vfio_user_region_access *access = &message->access;
    bool is_write = message->header.cmd == VFIO_USER_REGION_WRITE;

    if (!is_write &&
        (message->header.cmd != VFIO_USER_REGION_READ || message->header.flags.no_reply))
        return false;
    if (message->header.flags.type != VFIO_USER_F_TYPE_COMMAND || access->count == 0 ||
        access->count > QUICK_MOST ||
        message->header.msg_size != sizeof(*message) + (is_write ? access->count : 0))
        return false;
    return is_served(server, access->region) &&
           access->count <= server->regions[access->region].size &&
           access->offset <= server->regions[access->region].size - access->count;
}

/* Returns whether messages may be served here. The library logs each if it is asked to. */
static bool may_serve(const struct server *server)
{
    return server->attached && !server->dropped && !server->stopping &&
           server->ctx->log_level < LOG_DEBUG;
}

static void say_failed(const struct server *server, const struct vfio_user_header *header,
                       int error)
{
    errno = error;
    vfu_log(server->ctx, LOG_ERR, "msg%#hx: cmd %d failed: %m", header->msg_id, header->cmd);
}

/* Completes the reply, whose data are there, or makes it an error's. It is sent later. */
static void reply(struct server *server, struct access_message *message, uint8_t *room, int error)
{
    struct vfio_user_header *header = &message->header;
    bool is_read = header->cmd == VFIO_USER_REGION_READ;
    size_t size = error ? sizeof(*header) : sizeof(*message);

    header->flags.type = VFIO_USER_F_TYPE_REPLY;
    header->flags.error = error != 0;
    header->error_no = (uint32_t)error;
    header->msg_size = (uint32_t)size + (is_read && !error ? message->access.count : 0);
    memcpy(room, message, size);
    server_delay_reply(server, header->msg_size);
}

static void serve(struct server *server, struct access_message *message, uint8_t *request,
                  uint8_t *room)
{
    const struct vfio_user_region_access *access = &message->access;
    bool is_write = message->header.cmd == VFIO_USER_REGION_WRITE;
    uint8_t *data = (is_write ? request : room) + sizeof(*message);

    server_skip_message(server, message->header.msg_size);
    int error =
        server_access_region(server, access->region, access->offset, data, access->count, is_write);
    if (error)
        say_failed(server, &message->header, error);
    if (!message->header.flags.no_reply)
        reply(server, message, room, error);
}

bool server_serve_access(struct server *server)
{
    struct access_message message;
    uint8_t *request = server_whole_message(server, sizeof(message));

    if (!request || !may_serve(server))
        return false;
    memcpy(&message, request, sizeof(message));
    if (!is_good(server, &message))
        return false;
    bool is_read = message.header.cmd == VFIO_USER_REGION_READ;
    uint8_t *room =
        server_reply_room(server, sizeof(message) + (is_read ? message.access.count : 0));
    if (!room)
        return false;
    serve(server, &message, request, room);
    return true;
}
