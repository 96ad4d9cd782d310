/* Interrupts. The server signals its client's eventfds and never waits for the client.
 *
 * A write to an eventfd that is full sleeps until somebody reads it. O_NONBLOCK does not help: the
 * client shares the flag and can clear it at any time. So the kernel signals, which adds without
 * waiting: an asynchronous read of nothing has the eventfd for its completion. */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

int server_open_signals(struct server *server)
{
    server->nothing = memfd_create("nothing", MFD_CLOEXEC);
    if (server->nothing < 0 || syscall(SYS_io_setup, 1, &server->signals) < 0)
        return -errno;
    return 0;
}

void server_close_signals(struct server *server)
{
    if (server->signals)
        syscall(SYS_io_destroy, server->signals);
    if (server->nothing >= 0)
        close(server->nothing);
}

static int signal_eventfd(const struct server *server, int fd)
{
    struct iocb read = {.aio_lio_opcode = IOCB_CMD_PREAD,
                        .aio_fildes = (uint32_t)server->nothing,
                        .aio_flags = IOCB_FLAG_RESFD,
                        .aio_resfd = (uint32_t)fd};
    struct iocb *reads[] = {&read};
    struct timespec limit = {.tv_sec = 1}; /* it is complete already */
    struct io_event event;

    if (syscall(SYS_io_submit, server->signals, 1, reads) < 0 ||
        syscall(SYS_io_getevents, server->signals, 1, 1, &event, &limit) < 0)
        return -errno;
    return 0;
}

static int signal_vector(const struct server *server, uint32_t vector)
{
    const vfu_irqs_t *irqs = server->ctx->irqs;

    if (!irqs || vector >= irqs->max_ivs)
        return -EINVAL;
    return irqs->efds[vector] < 0 ? -ENOENT : signal_eventfd(server, irqs->efds[vector]);
}

int server_irq(struct server *server, uint32_t vector)
{
    bool entered = server_enter(server);
    int error = signal_vector(server, vector);

    server_leave(server, entered);
    return error;
}

enum { STATUS = 0x06, INTERRUPT_STATUS = 0x08 }; /* of config space */

int server_intx(struct server *server, int asserted)
{
    bool entered = server_enter(server);
    uint8_t *status = &server_config_space(server)[STATUS];
    bool rises = asserted && !(*status & INTERRUPT_STATUS);
    int error;

    *status = (uint8_t)((*status & ~INTERRUPT_STATUS) | (asserted ? INTERRUPT_STATUS : 0));
    error = rises ? signal_vector(server, 0) : 0;
    server_leave(server, entered);
    return error;
}

/* Returns whether the device's PCI status says that it asserts INTx. */
static bool asserts_intx(struct server *server)
{
    const int config = VFU_PCI_DEV_CFG_REGION_IDX;
    uint8_t status = server_config_space(server)[STATUS];

    if (server->config_callback &&
        server->regions[config].access(server->regions[config].cookie, STATUS, (char *)&status,
                                       sizeof(status), false) != 0)
        return false;
    return status & INTERRUPT_STATUS;
}

/* INTx is a level. A client lowers the guest's line and unmasks the vector when the guest's
 * interrupt ends; what the device raised meanwhile it has forgotten, so it is told again. */
static void on_intx_state(vfu_ctx_t *ctx, uint32_t start, uint32_t count, bool mask)
{
    struct server *server = vfu_get_private(ctx);

    (void)start, (void)count;
    if (!mask && asserts_intx(server))
        (void)signal_vector(server, 0);
}

int server_hear_intx(struct server *server)
{
    return vfu_setup_irq_state_callback(server->ctx, VFU_DEV_INTX_IRQ, on_intx_state);
}

static uint32_t action(const struct vfio_irq_set *set)
{
    return set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
}

static uint32_t data_type(const struct vfio_irq_set *set)
{
    return set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
}

/* Returns whether a DEVICE_SET_IRQS detaches some vectors of INTx, MSI or MSI-X. */
static bool detaches(const vfu_msg_t *message, const struct vfio_irq_set *set)
{
    return data_type(set) == VFIO_IRQ_SET_DATA_EVENTFD && message->in.nr_fds == 0 &&
           set->index <= VFIO_PCI_MSIX_IRQ_INDEX;
}

/* Returns whether a DEVICE_SET_IRQS is one that the library gets wrong (irq.c): a trigger of the
 * client's own eventfds, for which it would wait, or the detaching of vectors, of which it forgets
 * those that do not begin at 0. */
bool server_sets_irqs(const vfu_msg_t *message, const void *payload)
{
    struct vfio_irq_set set;

    if (message->hdr.cmd != VFIO_USER_DEVICE_SET_IRQS || message->in.iov.iov_len < sizeof(set))
        return false;
    memcpy(&set, payload, sizeof(set));
    return set.count && action(&set) == VFIO_IRQ_SET_ACTION_TRIGGER &&
           (!(set.flags & VFIO_IRQ_SET_DATA_EVENTFD) || detaches(message, &set));
}

static bool set_is_valid(const struct server *server, const vfu_msg_t *message,
                         const struct vfio_irq_set *set)
{
    uint32_t type = data_type(set);
    size_t data = message->in.iov.iov_len - sizeof(*set);

    if (type != VFIO_IRQ_SET_DATA_NONE && type != VFIO_IRQ_SET_DATA_EVENTFD &&
        (type != VFIO_IRQ_SET_DATA_BOOL || data != set->count))
        return false;
    return set->argsz >= sizeof(*set) && message->in.nr_fds == 0 &&
           set->index <= VFIO_PCI_MSIX_IRQ_INDEX &&
           (uint64_t)set->start + set->count <= server->ctx->irq_count[set->index];
}

static int trigger(const struct server *server, const struct vfio_irq_set *set,
                   const uint8_t *chosen)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if ((set->flags & VFIO_IRQ_SET_DATA_BOOL) && chosen[i] != 1)
            continue;
        int error = signal_vector(server, set->start + i);
        if (error && error != -ENOENT)
            return -error;
    }
    return 0;
}

static void detach(struct server *server, const struct vfio_irq_set *set)
{
    int *fds = server->ctx->irqs->efds + set->start;

    for (uint32_t i = 0; i < set->count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* Does what server_sets_irqs() found. Returns 0 or an errno. */
int server_set_irqs_of(struct server *server, const vfu_msg_t *message, const void *payload)
{
    struct vfio_irq_set set;

    memcpy(&set, payload, sizeof(set));
    if (!set_is_valid(server, message, &set))
        return EINVAL;
    if (!detaches(message, &set))
        return trigger(server, &set, (const uint8_t *)payload + sizeof(set));
    detach(server, &set);
    return 0;
}
