/* The transports of real adapters: registers that are mapped into this process. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pyvfio_user/io.h"

#include "vmcoredd/driver/mmio.h"

/* An access in progress, and where to go on if it faults. */
struct attempt {
    const struct mmio *mmio;
    sigjmp_buf faulted;
};

/* Set only while this thread touches a mapping. Initial-exec: the handler must not allocate. */
static __thread struct attempt *volatile current __attribute__((tls_model("initial-exec")));
static struct sigaction earlier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_error;

/* Of a fault that is not ours, the faulting access is made again under the earlier handler. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    struct attempt *attempt = current;
    uintptr_t at = (uintptr_t)info->si_addr;
    (void)context;

    if (attempt && info->si_code > 0 && at - attempt->mmio->base < attempt->mmio->bytes) {
        current = NULL;
        siglongjmp(attempt->faulted, 1);
    }
    sigaction(number, &earlier, NULL);
    if (info->si_code <= 0) /* sent by a process: nothing is made again */
        raise(number);
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    install_error = sigaction(SIGBUS, &action, &earlier) ? -errno : 0;
}

/* ---- single words ---- */

static void load(uintptr_t from, uint8_t *into, uint32_t width)
{
    if (width == 8) {
        uint64_t value = *(const volatile uint64_t *)from;
        memcpy(into, &value, sizeof value);
    } else {
        uint32_t value = *(const volatile uint32_t *)from;
        memcpy(into, &value, sizeof value);
    }
}

static void store(uintptr_t to, const uint8_t *data, uint32_t width)
{
    if (width == 8) {
        uint64_t value;
        memcpy(&value, data, sizeof value);
        *(volatile uint64_t *)to = value;
    } else {
        uint32_t value;
        memcpy(&value, data, sizeof value);
        *(volatile uint32_t *)to = value;
    }
}

/* Returns the number of words, of `count` from `offset` on, that are in the mapping. */
static uint32_t words_inside(const struct mmio *mmio, uint64_t offset, uint32_t width,
                             uint32_t count)
{
    if (offset % width || offset >= mmio->bytes)
        return 0;
    uint64_t words = (mmio->bytes - offset) / width;
    return words < count ? (uint32_t)words : count;
}

/* ---- runs of words ---- */

/* `words` words of `width` bytes, ascending from `at` on: read into `into`, or else written. */
struct run {
    struct mmio *mmio;
    uintptr_t at;
    uint8_t *into;
    const uint8_t *data;
    uint32_t width;
    uint32_t words;
};

static __attribute__((noinline)) void touch(const struct run *run)
{
    for (uint32_t i = 0; i < run->words; i++) {
        size_t done = (size_t)i * run->width;
        if (run->into)
            load(run->at + done, run->into + done, run->width);
        else
            store(run->at + done, run->data + done, run->width);
    }
}

/* Returns 0, or -EIO if an access faults. */
static int touch_or_fail(const struct run *run)
{
    struct attempt attempt = {.mmio = run->mmio};

    if (sigsetjmp(attempt.faulted, 0))
        return run->mmio->error = -EIO;
    current = &attempt;
    touch(run);
    current = NULL;
    return 0;
}

/* ---- struct io ---- */

static int mmio_write(void *cookie, uint64_t offset, const void *data, uint32_t width,
                      uint32_t count)
{
    struct mmio *mmio = cookie;
    uint32_t inside = words_inside(mmio, offset, width, count);
    struct run run = {mmio, mmio->base + offset, NULL, data, width, inside};

    return mmio->error ? mmio->error : touch_or_fail(&run);
}

static int mmio_read(void *cookie, uint64_t offset, void *into, uint32_t width, uint32_t count)
{
    struct mmio *mmio = cookie;
    uint32_t inside = words_inside(mmio, offset, width, count);
    struct run run = {mmio, mmio->base + offset, into, NULL, width, inside};

    memset((uint8_t *)into + (size_t)inside * width, 0xff, (size_t)(count - inside) * width);
    return mmio->error ? mmio->error : touch_or_fail(&run);
}

/* Loads have their values, and stores are on their way. */
static int mmio_fence(void *cookie)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ((struct mmio *)cookie)->error;
}

int mmio_init(struct mmio *mmio, uintptr_t base, uint64_t bytes)
{
    mmio->io = (struct io){mmio, mmio_write, mmio_read, mmio_fence};
    mmio->base = base;
    mmio->bytes = bytes;
    mmio->error = 0;
    pthread_once(&once, install);
    return install_error;
}

void mmio_end(struct mmio *mmio)
{
    mmio->error = -EIO;
}
