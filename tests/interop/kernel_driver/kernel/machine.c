/* What the kernel's inline functions expect to exist, and objects that only have to be there. */
#include <linux/firmware.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "kernel.h"

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

/* No firmware or configuration files: the card's own flash has to do. */
int request_firmware(const struct firmware **firmware, const char *name, struct device *device)
{
    return -ENOENT;
}
int request_firmware_direct(const struct firmware **firmware, const char *name,
                            struct device *device)
{
    return -ENOENT;
}
