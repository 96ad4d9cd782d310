/* What the server's C files share. Not for Python. */
#ifndef PYVFIO_USER_SERVER_INTERNAL_H
#define PYVFIO_USER_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libvfio-user.h"
#include "pyvfio_user/io.h"
#include "pyvfio_user/server.h"

enum {
    REGIONS = VFU_PCI_DEV_VGA_REGION_IDX + 1,
    DMA_PARTS = 16, /* of one transfer; libvfio-user keeps 16 DMA regions */
};

struct server {
    vfu_ctx_t *ctx;
    struct server_callbacks callbacks;
    struct {
        region_access access;
        void *cookie;
    } regions[REGIONS];
    bool config_callback; /* the whole config space is the callback's */
    bool attached;
    bool quiet; /* the library is about to report what is no error */
    uint32_t deadline_ms;
    uint32_t spin_us;
    dma_sg_t *parts;

    pthread_mutex_t busy; /* held by the serving thread, except while it waits for a message */

    struct vfio_user_header header; /* of the message whose payload comes next */

    pthread_mutex_t stopping_lock;
    atomic_bool stopping;
    int stop_event;
    int connection; /* a duplicate of the client's descriptor, so that its number stays ours; or -1
    */
};

/* The server that runs in this thread. */
extern _Thread_local struct server *serving;

/* server_socket.c */
void server_disconnect(struct server *server);
void server_forget_connection(struct server *server);

/* server_check.c */
bool server_message_is_harmful(struct server *server, const struct vfio_user_header *header,
                               const void *payload, size_t length);

/* server.c */
void server_log(struct server *server, int level, const char *message);

#endif
