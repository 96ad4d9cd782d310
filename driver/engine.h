/* Register programs: short lists of operations, repeated for each row of a table, over a `struct
 * io`. Everything that touches the hardware thousands of times is one such program. */

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
 *   WRITE  `value`, 4 bytes, to `count` registers at ascending offsets, at most ENGINE_WRITE_MOST.
 *   READ   `count` values of `width` (4 or 8) bytes; `step` bytes lie between them: width (a run)
 * or 0 (the same register again and again). Those with `keep` go to the output, in order. POLL
 * `offset` (4 bytes) until (value & mask) == wanted: at most `attempts` reads, `delay_us` between
 *          them. Then -> `error` (-errno; 0: go on as if nothing were). attempts = 1 is a mere
 * check. With `keep` the last value read goes to the output. Count 0: not in this row. PUT `value`,
 * 4 bytes, goes to the output; no access: what a record says besides what was read. */
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

/* Accesses as a driver without pipelining makes them: a run of n registers counts n. What was read
 * ahead in vain is not counted. */
struct engine_counts {
    uint64_t r32;
    uint64_t w32;
    uint64_t r64;
    uint64_t w64;
};

struct engine {
    const struct io *io;
    struct engine_counts counts;
    int32_t dead;          /* the transport's first error, -errno: it never recovers */
    uint32_t pipelined;    /* 0: every read is waited for, as the kernel does */
    uint64_t sink;         /* what is read to be dropped */
    uint32_t polled[4096]; /* what the polls read that were sent ahead */
};

struct engine_run {
    const struct engine_op *ops;
    uint32_t n_ops;
    const uint32_t *rows; /* n_rows * n_columns cells, or NULL */
    uint32_t n_columns;
    uint32_t n_rows;
    uint8_t *out;
    uint64_t out_size;
    uint32_t row;  /* result: rows completed; the one that failed, if one did */
    uint64_t used; /* result: bytes of output those rows gave */
};

/* Runs the whole program. 0, or -errno: that of the POLL that failed at run->row, of the transport
 * (then engine->dead is set), -EINVAL for a malformed program, -EOVERFLOW if `out` is too small. On
 * failure the registers stand as if rows had been done one by one up to the failing one, and what
 * later rows had put into the output is zeroed. */
int engine_run(struct engine *engine, struct engine_run *run);

/* Single accesses, waited for; `count` of `width` (4 or 8) bytes at ascending offsets. 0 or -errno.
 */
int engine_read(struct engine *engine, uint64_t offset, void *into, uint32_t width, uint32_t count);
int engine_write(struct engine *engine, uint64_t offset, const void *data, uint32_t width);
