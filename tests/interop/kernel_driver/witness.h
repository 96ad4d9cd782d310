/* Between the kernel's code in user space and whoever runs it. Goes to cdef() as it stands, so it
 * holds declarations only; pyvfio_user/io.h comes before it. */

/* The card: three BARs and the configuration space, each behind one access function. */
struct witness_region {
    region_access access;
    void *cookie;
    uint64_t size; /* bytes; 0: the card has no such BAR */
};

struct witness_card {
    struct witness_region bar[6]; /* 0, 2 and 4; 64-bit BARs leave the odd ones empty */
    struct witness_region config;
};

/* What differs between one run and another. */
struct witness_options {
    int kdump;               /* the crash-recovery kernel: elfcorehdr= was given */
    int stop_at_dump;        /* end the probe where the driver hands its dump to /proc/vmcore */
    int port_without_device; /* leave port[0] NULL while collecting, as affected kernels do: they
                                oops */
    int uncompressed;        /* refuse the driver its compression buffer, so it does without */
    uint64_t refused_size;   /* an allocation of exactly so many bytes fails; 0: none does */
    uint64_t access_budget;  /* accesses until a run is ended; 0: no limit */
    int tracing;             /* record each access */
};

/* Accesses made while one entity was collected (index 0: outside of any). */
struct witness_counts {
    uint64_t r32, w32, r64, w64, other;
    uint64_t config_reads, config_writes;
    uint64_t delay_us; /* the driver's own delays and sleeps; no time passes in them */
};

struct witness_access {
    uint64_t offset;
    uint64_t value;
    uint16_t entity;
    uint8_t bar; /* 255: configuration space */
    uint8_t width;
    uint8_t is_write;
    uint8_t failed; /* the card refused it; reads then gave all ones, as a bus does */
    uint8_t reserved[2];
};

/* How a run ended. */
enum witness_end {
    WITNESS_RETURNED = 0, /* the driver's function returned; `result` is what it gave */
    WITNESS_STOPPED = 1,  /* stop_at_dump */
    WITNESS_OOPS = 2,     /* a bad access to memory, a BUG(): a kernel would have oopsed */
    WITNESS_MISSING = 3,  /* it called a kernel function that is not here */
    WITNESS_BUDGET = 4,   /* access_budget was used up */
    WITNESS_GAVE_UP = 5,  /* the card's access function returned WITNESS_NO_CARD */
};

enum witness_access_result { WITNESS_NO_CARD = -125 };

struct witness_outcome {
    int end; /* enum witness_end */
    int result;
    char text[240]; /* for OOPS and MISSING: what, and where */
};

/* Each runs the driver until it returns or ends otherwise. One probe for each loaded library. */
void witness_probe(const struct witness_card *card, const struct witness_options *options,
                   struct witness_outcome *outcome);
/* The callback the driver handed over, into a buffer of witness_dump_size() bytes of zero. */
void witness_collect(void *buffer, const struct witness_options *options,
                     struct witness_outcome *outcome);
void witness_set_up(int port, int up, const struct witness_options *options,
                    struct witness_outcome *outcome);
/* ethtool -W and -w on the first port: `result` is how much `flag` may give, then the dump of so
 * much. */
void witness_ethtool_size(uint32_t flag, const struct witness_options *options,
                          struct witness_outcome *outcome);
void witness_ethtool_dump(void *buffer, uint32_t size, const struct witness_options *options,
                          struct witness_outcome *outcome);
void witness_remove(const struct witness_options *options, struct witness_outcome *outcome);

/* Sizes and names the driver gave to vmcore_add_device_dump(); size 0 before that. */
uint64_t witness_dump_size(void);
const char *witness_dump_name(void);
/* The payload collected within a whole probe under kdump; NULL when none was. */
const void *witness_dump_data(void);

const struct witness_counts *witness_counts(void); /* 128 of them, by entity number */
void witness_clear_counts(void);
const struct witness_access *witness_trace(uint64_t *count);
const char *witness_log(void); /* what the driver printed, one line each, without level */
int witness_ports(void);       /* network interfaces registered */
int witness_link(int port);    /* whether the driver reports a carrier */
void witness_free(void);       /* everything the driver still holds */
