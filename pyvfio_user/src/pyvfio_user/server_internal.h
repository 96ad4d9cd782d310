/* Declarations that the server's C files share, not for Python. Each file calls only those below
 * it:
 *
 *   server.c            creates, configures and destroys a server
 *   server_host.c       the device's host: DMA, and the lock for it
 *   server_sealed.c     which of the client's memory cannot go away under memcpy()
 *   server_irq.c        interrupts
 *   server_loop.c       serves one client after another
 *   server_access.c     accesses to regions, which are most messages, without libvfio-user
 *   server_transport.c  messages: what libvfio-user reads and replies
 *   server_check.c      messages that libvfio-user must not see
 *   server_stream.c     bytes, buffered in both directions
 *   server_socket.c     the connection, and every wait for it
 *   server_waiting.c    clients that have not sent their version yet
 *   server_work.c       the device's own work
 */
#ifndef PYVFIO_USER_SERVER_INTERNAL_H
#define PYVFIO_USER_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "libvfio-user.h"
#include "private.h"
#include "pyvfio_user/host.h"
#include "pyvfio_user/io.h"
#include "pyvfio_user/patience.h"
#include "pyvfio_user/server.h"
#include "pyvfio_user/work.h"

enum {
    REGIONS = VFU_PCI_DEV_VGA_REGION_IDX + 1,
    DMA_REGIONS = 512, /* that a client may map; debs/libvfio_user.py builds the library for them */
    DMA_PARTS = 16,    /* regions of one transfer */
    STREAM_MAX = 65536,
    FDS_MAX = 16,
    WAITING_MAX = 16,
    VERSION_MAX = 4096, /* bytes of a version, header included */
};

/* Received bytes that are not processed yet, and replies that are not sent yet. */
struct stream {
    uint32_t in_start, in_end;
    uint32_t out_length;
    uint32_t delayed; /* replies in `out` */
    uint32_t fd_count;
    int fds[FDS_MAX]; /* of the last message in `in` */
    uint8_t in[STREAM_MAX];
    uint8_t out[STREAM_MAX];
};

/* A client that has not sent its whole version yet. */
struct waiting {
    int fd;
    uint32_t length; /* of `message`, so far */
    uint64_t ends_at;
    uint8_t message[VERSION_MAX];
};

/* Mapped memory whose pages the client cannot take away. */
struct sealed {
    uintptr_t start;
    size_t size;
};

struct server {
    vfu_ctx_t *ctx;
    struct server_callbacks callbacks;
    struct host host;
    struct {
        region_access access;
        void *cookie;
        uint64_t size;
    } regions[REGIONS];
    bool config_callback; /* a callback serves the whole config space */
    bool attached;
    uint32_t deadline_ms;
    uint32_t spin_us;
    uint32_t idle_ms;         /* after which a client gives way to another; 0: never */
    struct patience patience; /* with the client, in the middle of a message or a reply */
    dma_sg_t *parts;
    uint32_t sealed_count, sealed_hint; /* the hint: which one was last used */
    struct sealed sealed[DMA_REGIONS];
    unsigned long signals; /* see server_irq.c */
    int nothing;           /* an empty file */
    uint32_t dma_regions;  /* that the client has mapped */
    bool dma_full_said;    /* to this client's user */

    pthread_mutex_t busy; /* held by the serving thread, except while it waits for a message */
    atomic_uint entering; /* threads that wait for `busy` */

    struct work work;
    bool work_ready; /* its descriptor was readable */
    uint32_t work_looks;
    bool quick; /* the last message was a short access, served without the library */
    uint64_t work_looked_at;

    pthread_mutex_t connection_lock; /* lets server_stop() shut the connection down */
    atomic_bool stopping;
    atomic_bool woken; /* server_run() is to return */
    int wake_event;    /* readable when it is woken or stopped */
    int connection;    /* the client's socket, or -1 */

    bool heard;               /* a message has come since the last look at the client */
    uint64_t messages;        /* that have come from all clients */
    uint64_t last_message_at; /* us */
    uint64_t gone_at;         /* when the client was found to be gone, or 0 */
    bool dropped;             /* nothing more is taken from this client */

    struct stream stream;

    uint32_t waiting_count;
    struct waiting waiting[WAITING_MAX];
};

/* server_host.c: server_enter() returns whether it took the lock, for server_leave() */
void server_init_host(struct server *server);
bool server_enter(struct server *server);
void server_leave(struct server *server, bool entered);

/* server_sealed.c: the library has mapped or unmaps memory; can memcpy() touch it? */
void server_sealed_mapped(struct server *server, const vfu_dma_info_t *info);
void server_sealed_unmapped(struct server *server, const vfu_dma_info_t *info);
bool server_is_sealed(struct server *server, const struct iovec *part);

/* server_irq.c */
int server_open_signals(struct server *server);
int server_hear_intx(struct server *server);
void server_close_signals(struct server *server);
bool server_sets_irqs(const vfu_msg_t *message, const void *payload);
int server_set_irqs_of(struct server *server, const vfu_msg_t *message, const void *payload);

/* server_loop.c: does this thread serve `server`? */
bool server_is_mine(const struct server *server);

/* server_access.c: server_access_region() returns 0 or an errno, server_serve_access() whether it
 * has served the next message */
int server_access_region(struct server *server, uint32_t index, uint64_t offset, void *data,
                         uint32_t length, bool is_write);
bool server_serve_access(struct server *server);

/* server_transport.c */
void server_set_transport(struct server *server);

/* server_check.c: returns 0 if the library may see the message, else the errno to refuse it with */
int server_refuse(const struct server *server, const vfu_msg_t *message, const void *payload);

/* server_stream.c */
void server_clear_stream(struct server *server);
int server_fill(struct server *server);
bool server_take(struct server *server, void *into, size_t length);
size_t server_take_fds(struct server *server, const struct vfio_user_header *header, int *fds);
uint8_t *server_whole_message(struct server *server, size_t length);
void server_skip_message(struct server *server, size_t length);
uint8_t *server_reply_room(struct server *server, size_t length);
void server_delay_reply(struct server *server, size_t length);
bool server_send_reply(struct server *server, struct iovec *parts, size_t count);
bool server_send_reply_with_fds(struct server *server, struct iovec *parts, size_t count,
                                const int *fds, size_t fd_count);

/* server_waiting.c */
int server_next_client(struct server *server, int listener);
bool server_has_another_client(struct server *server, int listener);
void server_turn_all_away(struct server *server);

/* server_work.c */
bool server_has_work(const struct server *server);
bool server_work_is_due(struct server *server);
bool server_do_work(struct server *server);

/* server_socket.c */
uint64_t server_now_us(void);
bool server_client_is_gone(const struct server *server);
int server_accept(struct server *server, int listener);
void server_disconnect(struct server *server);
void server_close_connection(struct server *server);
ssize_t server_receive_first(struct server *server, struct msghdr *message);
bool server_receive_rest(struct server *server, void *into, size_t length);
bool server_send(struct server *server, struct msghdr *message);

#endif
