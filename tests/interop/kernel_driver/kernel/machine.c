/* The few things the kernel's inline functions expect to exist. One CPU, no preemption, no interrupts:
 * every lock is free. */
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/mutex.h>
#include <linux/completion.h>
#include <linux/wait.h>
#include <linux/timer.h>
#include <linux/interrupt.h>
#include <linux/firmware.h>
#include <linux/rtnetlink.h>
#include <linux/ratelimit.h>

#include "kernel.h"

const unsigned int witness_gfp_zero = (__force unsigned int)__GFP_ZERO;
const size_t witness_task_size = sizeof(struct task_struct);
const size_t witness_thread_size = THREAD_SIZE;

void witness_thread_info(void *stack_base, void *task)
{
	((struct thread_info *)stack_base)->task = task;
	((struct task_struct *)task)->stack = stack_base;
}

struct module __this_module;
const struct kernel_param_ops param_ops_int;
unsigned long uml_physmem, task_size;
struct page *mem_map;
struct workqueue_struct *system_wq;

int signals_enabled;
int um_set_signals(int enable)
{
	return enable;
}
void block_signals(void) {}
void unblock_signals(void) {}
void __local_bh_enable_ip(unsigned long ip, unsigned int count) {}

void __mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key) {}
void mutex_lock(struct mutex *lock) {}
int mutex_lock_killable(struct mutex *lock)
{
	return 0;
}
void mutex_unlock(struct mutex *lock) {}
void rtnl_lock(void) {}
void rtnl_unlock(void) {}
void synchronize_rcu(void) {}
void schedule(void) {}

int ___ratelimit(struct ratelimit_state *state, const char *function)
{
	return 1;
}

/* Work and timers never run: nothing in the paths taken here waits for them. */
struct workqueue_struct *alloc_workqueue(const char *format, unsigned int flags, int most, ...)
{
	return witness_allocate(64, 64, 1);
}
void destroy_workqueue(struct workqueue_struct *queue)
{
	witness_release(queue);
}
bool queue_work_on(int cpu, struct workqueue_struct *queue, struct work_struct *work)
{
	return true;
}
bool cancel_work_sync(struct work_struct *work)
{
	return false;
}
void init_timer_key(struct timer_list *timer, void (*function)(struct timer_list *),
		    unsigned int flags, const char *name, struct lock_class_key *key) {}
int mod_timer(struct timer_list *timer, unsigned long expires)
{
	return 0;
}
int timer_delete_sync(struct timer_list *timer)
{
	return 0;
}
void tasklet_setup(struct tasklet_struct *tasklet, void (*callback)(struct tasklet_struct *)) {}
void tasklet_kill(struct tasklet_struct *tasklet) {}

void __init_swait_queue_head(struct swait_queue_head *head, const char *name,
			     struct lock_class_key *key) {}
void complete(struct completion *completion) {}

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
void release_firmware(const struct firmware *firmware) {}
