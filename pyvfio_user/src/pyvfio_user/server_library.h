/* What this build was linked with. */

/* libvfio-user's version and where it came from, such as "0.0.1 (0b28d205572c), Debian qemu
 * 1:10.0.13"; NULL in a build without it. */
const char *server_library(void);

/* In a build without libvfio-user: why, and what to do; else NULL. */
const char *server_unavailable(void);
