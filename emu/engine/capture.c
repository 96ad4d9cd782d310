/* Captures of a port's frames, in pcapng. */

#include "vmcoredd/emu/engine/internal.h"
