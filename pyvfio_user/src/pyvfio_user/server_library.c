/* Compiled with LIBRARY, or with UNAVAILABLE where libvfio-user could not be had. */

#include <stddef.h>

#include "pyvfio_user/server_library.h"

#ifdef LIBRARY
const char *server_library(void)
{
    return LIBRARY;
}

const char *server_unavailable(void)
{
    return NULL;
}
#else
const char *server_library(void)
{
    return NULL;
}

const char *server_unavailable(void)
{
    return UNAVAILABLE;
}
#endif
