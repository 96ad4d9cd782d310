/* Register programs over a `struct io`: short lists of operations, repeated for each row of a
 * table. Anything that accesses the hardware thousands of times is such a program. */

enum { ENGINE_WRITE_MOST = 64 };
enum engine_kind { ENGINE_WRITE = 1, ENGINE_READ = 2, ENGINE_POLL = 3, ENGINE_PUT = 4 };

/* A number that may depend on the row, modulo 2^32:
 * base + stride * row, plus the table's cell in `column` (none: -1) of that row. */
struct engine_value {
    uint32_t base;
    uint32_t stride;
    int32_t column;
};

/* One operation.
 *
 * WRITE  Writes `value`, 4 bytes, to `count` registers at ascending offsets, at most
 *        ENGINE_WRITE_MOST.
 *
 * READ   Reads `count` values of `width` (4 or 8) bytes, `step` bytes apart: `width` for a run of
 *        registers, 0 for the same register again. With `keep`, appends them to the output.
 *
 * POLL   Reads `offset`, 4 bytes, until (value & mask) == wanted: at most `attempts` times, with
 *        `delay_us` between them. Then fails with `error` (-errno), or continues if that is 0.
 *        attempts = 1 is a check. With `keep`, appends the last value to the output. A count of 0
 *        skips the operation in this row.
 *
 * PUT    Appends `value`, 4 bytes, to the output without an access. */
struct engine_op {
    enum engine_kind kind;
    uint32_t width;
    uint32_t step;
    uint32_t keep;
    struct engine_value offset;
    struct engine_value value;
    struct engine_value count;
    uint32_t mask;
    uint32_t wanted;
    uint32_t attempts;
    uint32_t delay_us;
    int32_t error;
};

/* The accesses that a driver without pipelining makes: a run of n registers counts n, and discarded
 * reads do not count. `timeouts` counts the POLLs of more than one attempt that failed. */
struct engine_counts {
    uint64_t r32;
    uint64_t w32;
    uint64_t r64;
    uint64_t w64;
    uint64_t timeouts;
};

struct engine {
    const struct io *io;
    struct engine_counts counts;
    int32_t dead;          /* the transport's first error, -errno, or -EIO of a `gone` device */
    uint32_t gone;         /* 1: every register reads all ones */
    uint32_t alive;        /* the offset of a register that never does while it is there; 0: none */
    uint32_t pipelined;    /* 0: wait for every read, as the kernel does */
    uint64_t sink;         /* receives values that are not kept */
    uint32_t polled[4096]; /* values of the polls in a batch */
};

struct engine_run {
    const struct engine_op *ops;
    uint32_t n_ops;
    const uint32_t *rows; /* n_rows * n_columns cells, or NULL */
    uint32_t n_columns;
    uint32_t n_rows;
    uint8_t *out;
    uint64_t out_size;
    uint32_t row;  /* result: rows completed, hence the index of the row that failed */
    uint64_t used; /* result: bytes of output of those rows */
};

/* Runs a whole program. Returns 0 or -errno: the error of the POLL that failed in run->row; the
 * transport's error, which also sets engine->dead; -EINVAL for a malformed program; -EOVERFLOW if
 * `out` is too small; -EIO, with engine->dead and engine->gone set, if a POLL that fails reads all
 * ones and so does the register at engine->alive. After a failure the registers are as if the rows
 * had run one by one up to the failed one, and any output of later rows is zeroed. */
int engine_run(struct engine *engine, struct engine_run *run);

/* Single accesses. engine_read() waits for `count` values of `width` (4 or 8) bytes at ascending
 * offsets; engine_write() posts one value. Both return 0 or -errno. */
int engine_read(struct engine *engine, uint64_t offset, void *into, uint32_t width, uint32_t count);
int engine_write(struct engine *engine, uint64_t offset, const void *data, uint32_t width);

/* Reads the register at engine->alive, uncounted. Returns 0 or -errno: -EIO, with engine->gone set,
 * if it is all ones several times. */
int engine_check_alive(struct engine *engine);
