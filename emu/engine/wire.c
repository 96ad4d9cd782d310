/* Wires to outside: stream and datagram sockets, and taps. */

#include "vmcoredd/emu/engine/internal.h"
