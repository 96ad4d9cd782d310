/* How each run of the driver begins: the calls that the PCI core, the network stack and ethtool
 * would make, and the state that the kernel's code expects. */
#include <linux/ethtool.h>
#include <linux/firmware.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "kernel.h"
#include "cxgb4.h"
#include "clip_tbl.h"

/* What the kernel's inline functions refer to. */
const unsigned int witness_gfp_zero = (__force unsigned int)__GFP_ZERO;
const size_t witness_task_size = sizeof(struct task_struct);
const size_t witness_thread_size = THREAD_SIZE;

struct module __this_module;
const struct kernel_param_ops param_ops_int;
unsigned long uml_physmem, task_size;
struct page *mem_map;
struct workqueue_struct *system_wq;
int signals_enabled;

void witness_thread_info(void *stack_base, void *task)
{
    ((struct thread_info *)stack_base)->task = task;
    ((struct task_struct *)task)->stack = stack_base;
}

/* There are no firmware or configuration files: the driver uses the card's own flash. */
int request_firmware(const struct firmware **firmware, const char *name, struct device *device)
{
    return -ENOENT;
}
int request_firmware_direct(const struct firmware **firmware, const char *name,
                            struct device *device)
{
    return -ENOENT;
}

/* The runs */

extern int init_module(void); /* the driver's module_init() */

static struct pci_dev *device;

struct run {
    const struct witness_card *card;
    struct net_device *port;
    void *buffer;
    const u16 *queues;
    u32 flag;
    u32 size;
    int result;
};

static void start(void (*step)(void *), struct run *run, const struct witness_options *options,
                  struct witness_outcome *outcome)
{
    witness_set_options(options);
    witness_run(step, run, outcome);
    outcome->result = run->result;
}

static void probe(void *argument)
{
    struct run *run = argument;
    const struct pci_device_id *id;

    witness_attach(run->card);
    device = witness_pci_device(run->card);
    run->result = init_module();
    if (run->result || !device)
        return;
    id = witness_match(witness_driver->id_table, device);
    run->result = id ? witness_driver->probe(device, id) : -ENODEV;
}

void witness_probe(const struct witness_card *card, const struct witness_options *options,
                   struct witness_outcome *outcome)
{
    struct run run = {.card = card};

    start(probe, &run, options, outcome);
}

static void collect(void *argument)
{
    struct run *run = argument;

    run->result = witness_dump_size() ? witness_collect_into(run->buffer) : -ENODEV;
}

void witness_collect(void *buffer, const struct witness_options *options,
                     struct witness_outcome *outcome)
{
    struct run run = {.buffer = buffer};

    start(collect, &run, options, outcome);
}

/* As dev_open(). */
static void open(void *argument)
{
    struct run *run = argument;

    set_bit(__LINK_STATE_START, &run->port->state);
    run->result = run->port->netdev_ops->ndo_open(run->port);
    if (run->result)
        return;
    run->port->flags |= IFF_UP;
    run->port->netdev_ops->ndo_set_rx_mode(run->port);
}

static void close(void *argument)
{
    struct run *run = argument;

    clear_bit(__LINK_STATE_START, &run->port->state);
    run->result = run->port->netdev_ops->ndo_stop(run->port);
    run->port->flags &= ~IFF_UP;
}

void witness_set_up(int port, int up, const struct witness_options *options,
                    struct witness_outcome *outcome)
{
    struct run run = {.port = witness_port(port)};

    if (run.port)
        start(up ? open : close, &run, options, outcome);
}

int witness_link(int port)
{
    return witness_port(port) && netif_carrier_ok(witness_port(port));
}

/* ethtool -W: selects what to dump; the result is the maximum size. */
static void set_dump(void *argument)
{
    struct run *run = argument;
    struct ethtool_dump request = {.flag = run->flag};
    const struct ethtool_ops *ops = run->port->ethtool_ops;

    run->result = ops->set_dump(run->port, &request) ?: ops->get_dump_flag(run->port, &request);
    if (!run->result)
        run->result = request.len;
}

/* ethtool -w */
static void get_dump(void *argument)
{
    struct run *run = argument;
    struct ethtool_dump request = {.len = run->size};

    witness_follow(run->buffer);
    run->result = run->port->ethtool_ops->get_dump_data(run->port, &request, run->buffer);
    witness_follow(NULL);
}

void witness_ethtool_size(uint32_t flag, const struct witness_options *options,
                          struct witness_outcome *outcome)
{
    struct run run = {.port = witness_port(0), .flag = flag};

    if (run.port)
        start(set_dump, &run, options, outcome);
}

void witness_ethtool_dump(void *buffer, uint32_t size, const struct witness_options *options,
                          struct witness_outcome *outcome)
{
    struct run run = {.port = witness_port(0), .buffer = buffer, .size = size};

    if (run.port)
        start(get_dump, &run, options, outcome);
}

static void interrupt(void *argument)
{
    struct run *run = argument;

    run->result = witness_first_vector();
}

void witness_interrupt(const struct witness_options *options, struct witness_outcome *outcome)
{
    struct run run = {.result = 0};

    start(interrupt, &run, options, outcome);
}

static void reset(void *argument)
{
    struct run *run = argument;

    run->result = witness_function_reset(device);
}

void witness_reset(const struct witness_options *options, struct witness_outcome *outcome)
{
    struct run run = {.result = 0};

    start(reset, &run, options, outcome);
}

static void configure_rss(void *argument)
{
    struct run *run = argument;
    struct port_info *port = netdev_priv(run->port);

    run->result = t4_config_rss_range(port->adapter, port->adapter->mbox, port->viid, 0, run->size,
                                      run->queues, run->size);
}

void witness_rss(int port, const uint16_t *queues, int count, const struct witness_options *options,
                 struct witness_outcome *outcome)
{
    struct run run = {.port = witness_port(port), .queues = queues, .size = count};

    if (run.port)
        start(configure_rss, &run, options, outcome);
}

static void show_clip_table(void *argument)
{
    struct run *run = argument;
    struct seq_file file = {.private = pci_get_drvdata(device)};

    run->result = clip_tbl_show(&file, NULL);
}

void witness_clip_table(const struct witness_options *options, struct witness_outcome *outcome)
{
    struct run run = {.result = 0};

    start(show_clip_table, &run, options, outcome);
}

static void remove_device(void *argument)
{
    witness_driver->remove(device);
}

void witness_remove(const struct witness_options *options, struct witness_outcome *outcome)
{
    struct run run = {.result = 0};

    start(remove_device, &run, options, outcome);
}
