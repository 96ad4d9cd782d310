#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "pyvfio_user/io.h"

#include "vmcoredd/bench/load.h"

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t load_reads(const struct io *io, uint64_t offset, void *into, uint32_t width, uint32_t count,
                   uint64_t n, uint64_t depth)
{
    int64_t began = now_ns();
    int error = 0;

    for (uint64_t i = 1; i <= n && !error; i++) {
        error = io->read(io->cookie, offset, into, width, count);
        if (!error && (i == n || i % depth == 0))
            error = io->fence(io->cookie);
    }
    return error ? error : now_ns() - began;
}

int64_t load_writes(const struct io *io, uint64_t offset, uint64_t n)
{
    int64_t began = now_ns();
    uint32_t word = 0;
    int error = 0;

    for (uint64_t i = 0; i < n && !error; i++)
        error = io->write(io->cookie, offset, &word, 4, 1);
    if (!error)
        error = io->read(io->cookie, offset, &word, 4, 1);
    if (!error)
        error = io->fence(io->cookie);
    return error ? error : now_ns() - began;
}
