/* What the server's C files share. Not for Python. */
#ifndef PYVFIO_USER_SERVER_INTERNAL_H
#define PYVFIO_USER_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "libvfio-user.h"
#include "pyvfio_user/io.h"
#include "pyvfio_user/server.h"

enum {
    REGIONS = VFU_PCI_DEV_VGA_REGION_IDX + 1,
    DMA_PARTS = 16, /* of one transfer; libvfio-user keeps 16 DMA regions */
    STREAM_MAX = 65536,
    FDS_MAX = 16,
};

/* What has arrived and was not asked for yet, and what was replied and not sent yet. */
struct stream {
    uint32_t in_start, in_end;
    uint32_t out_length;
    uint32_t delayed; /* replies in `out` */
    uint32_t fd_count;
    int fds[FDS_MAX];               /* of the last message in `in` */
    struct vfio_user_header header; /* of the message whose payload comes next */
    uint8_t in[STREAM_MAX];
    uint8_t out[STREAM_MAX];
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

    pthread_mutex_t stopping_lock;
    atomic_bool stopping;
    int stop_event;
    int connection; /* a duplicate of the client's, so that its number stays ours; or -1 */

    struct stream stream;
};

/* The server that runs in this thread. */
extern _Thread_local struct server *serving;

/* The system calls proper (ld's --wrap), and what libvfio-user calls instead. */
int __real_accept(int fd, struct sockaddr *address, socklen_t *length);
int __wrap_accept(int fd, struct sockaddr *address, socklen_t *length);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __real_recv(int fd, void *into, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *into, size_t length, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

/* server_socket.c */
void server_disconnect(struct server *server);
void server_forget_connection(struct server *server);
ssize_t server_receive_first(struct server *server, int fd, struct msghdr *message);
bool server_receive_rest(struct server *server, int fd, void *into, size_t length);
bool server_send(struct server *server, int fd, struct msghdr *message);

/* server_stream.c */
void server_clear_stream(struct server *server);

/* server_check.c */
bool server_message_is_harmful(struct server *server, const struct vfio_user_header *header,
                               const void *payload, size_t length);

/* server_device.c */
void server_log(struct server *server, int level, const char *message);

#endif
