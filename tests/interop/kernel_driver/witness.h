/* The interface of the kernel's code in user space. The text goes to cdef(), so it has only
 * declarations; pyvfio_user/io.h must precede it. */

/* The card: three BARs and configuration space, each with its access function. */
struct witness_region {
    region_access access;
    void *cookie;
    uint64_t size; /* bytes; 0: no such BAR */
};

struct witness_card {
    struct witness_region bar[6]; /* 0, 2 and 4: 64-bit BARs take two each */
    struct witness_region config;
};

/* Options of one run. */
struct witness_options {
    int kdump;               /* run as a crash kernel: elfcorehdr= was given */
    int stop_at_dump;        /* end the probe where the driver registers its dump */
    int port_without_device; /* leave port[0] NULL while collecting: affected kernels oops */
    int uncompressed;        /* make the allocation of the compression buffer fail */
    uint64_t refused_size;   /* allocations of exactly this size fail; 0: none */
    uint64_t access_budget;  /* maximum number of accesses; 0: no limit */
    int tracing;             /* record each access */
};

/* Accesses made while collecting one entity (index 0: outside entities). */
struct witness_counts {
    uint64_t r32, w32, r64, w64, other;
    uint64_t config_reads, config_writes;
    uint64_t delay_us; /* the driver's delays and sleeps, which take no real time */
};

struct witness_access {
    uint64_t offset;
    uint64_t value;
    uint16_t entity;
    uint8_t bar; /* 255: configuration space */
    uint8_t width;
    uint8_t is_write;
    uint8_t failed; /* refused by the card; a read returned all ones, as on a bus */
    uint8_t reserved[2];
};

/* How a run ended. */
enum witness_end {
    WITNESS_RETURNED = 0, /* the driver's function returned `result` */
    WITNESS_STOPPED = 1,  /* stop_at_dump */
    WITNESS_OOPS = 2,     /* a bad memory access, or BUG() */
    WITNESS_MISSING = 3,  /* it called a kernel function that is not implemented */
    WITNESS_BUDGET = 4,   /* access_budget is used up */
    WITNESS_GAVE_UP = 5,  /* the card's access function returned WITNESS_NO_CARD */
};

enum witness_access_result { WITNESS_NO_CARD = -125 };

struct witness_outcome {
    int end; /* enum witness_end */
    int result;
    char text[240]; /* for OOPS, MISSING and BUDGET: the details */
};

/* Each function runs the driver until it returns or the run ends. A loaded library probes once. */
void witness_probe(const struct witness_card *card, const struct witness_options *options,
                   struct witness_outcome *outcome);
/* Runs the registered callback on a zeroed buffer of witness_dump_size() bytes. */
void witness_collect(void *buffer, const struct witness_options *options,
                     struct witness_outcome *outcome);
void witness_set_up(int port, int up, const struct witness_options *options,
                    struct witness_outcome *outcome);
/* ethtool -W and -w on the first port: `result` is the maximum size for `flag`; then the dump of
 * that size. */
void witness_ethtool_size(uint32_t flag, const struct witness_options *options,
                          struct witness_outcome *outcome);
void witness_ethtool_dump(void *buffer, uint32_t size, const struct witness_options *options,
                          struct witness_outcome *outcome);
/* The handler of the first vector: the card's errors. -ENODEV if nobody has that vector. */
void witness_interrupt(const struct witness_options *options, struct witness_outcome *outcome);
/* A function reset while the driver is bound. */
void witness_reset(const struct witness_options *options, struct witness_outcome *outcome);
/* Writes queues to a port's slice of the RSS table; `result` is the driver's. */
void witness_rss(int port, const uint16_t *queues, int count, const struct witness_options *options,
                 struct witness_outcome *outcome);
/* Reads the driver's file clip_tbl of debugfs; what it says is lost. */
void witness_clip_table(const struct witness_options *options, struct witness_outcome *outcome);
void witness_remove(const struct witness_options *options, struct witness_outcome *outcome);

/* Size and name that the driver gave to vmcore_add_device_dump(); 0 before. */
uint64_t witness_dump_size(void);
const char *witness_dump_name(void);
/* The payload collected during a whole probe under kdump, or NULL. */
const void *witness_dump_data(void);

const struct witness_counts *witness_counts(void); /* 128 elements, by entity number */
void witness_clear_counts(void);
const struct witness_access *witness_trace(uint64_t *count);
const char *witness_log(void); /* the driver's messages, without levels */
int witness_ports(void);       /* network interfaces registered */
int witness_link(int port);    /* whether the driver reports a carrier */
void witness_free(void);       /* everything that the driver has allocated */
