/* Time passes only when the driver waits, and waiting takes no real time: a mailbox that never
 * replies costs ten seconds here and none on the wall clock. */
#include <time.h>

#include "host.h"

enum { HZ = 250, US_PER_SECOND = 1000000, NS_PER_SECOND = 1000000000 };

static uint64_t now_us;
volatile unsigned long jiffies = 1000UL * HZ;

void witness_pass(uint64_t microseconds)
{
    now_us += microseconds;
    witness_count_now()->delay_us += microseconds;
    jiffies = 1000UL * HZ + now_us * HZ / US_PER_SECOND;
}

void __udelay(unsigned long us);
void __const_udelay(unsigned long loops);
void msleep(unsigned int ms);
void usleep_range_state(unsigned long least, unsigned long most, unsigned int state);
long schedule_timeout(long ticks);
long schedule_timeout_uninterruptible(long ticks);
long ktime_get_with_offset(int offset);
unsigned long __usecs_to_jiffies(unsigned int us);
struct timespec ns_to_timespec64(int64_t ns);

void __udelay(unsigned long us)
{
    witness_pass(us);
}

void __const_udelay(unsigned long loops) /* microseconds * 2^32 / 10^6, rounded up */
{
    witness_pass((uint64_t)loops * US_PER_SECOND >> 32);
}

void msleep(unsigned int ms)
{
    witness_pass(1000ULL * ms);
}

void usleep_range_state(unsigned long least, unsigned long most, unsigned int state)
{
    (void)most;
    (void)state;
    witness_pass(least);
}

long schedule_timeout(long ticks)
{
    witness_pass((uint64_t)ticks * US_PER_SECOND / HZ);
    return 0;
}

long schedule_timeout_uninterruptible(long ticks)
{
    return schedule_timeout(ticks);
}

long ktime_get_with_offset(int offset)
{
    (void)offset;
    return (long)(now_us * 1000);
}

unsigned long __usecs_to_jiffies(unsigned int us)
{
    return ((unsigned long)us * HZ + US_PER_SECOND - 1) / US_PER_SECOND;
}

struct timespec ns_to_timespec64(int64_t ns) /* never negative here */
{
    return (struct timespec){ns / NS_PER_SECOND, ns % NS_PER_SECOND};
}
