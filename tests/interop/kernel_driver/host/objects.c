/* Kernel objects of which only the address matters. Called with arguments, which nothing looks at.
 */
#include "host.h"

static void *object(void)
{
    return witness_allocate(64, 64, 1);
}

#define OBJECT(name)     \
    void *name(void);    \
    void *name(void)     \
    {                    \
        return object(); \
    }

OBJECT(alloc_workqueue)
OBJECT(ptp_clock_register) /* granted, so that the driver goes on to tell the firmware about it */
OBJECT(thermal_zone_device_register)
OBJECT(thermal_zone_device_register_with_trips)

int ___ratelimit(void);
int ___ratelimit(void)
{
    return 1; /* always print */
}
