/* Segmentation, checksums and VLAN tags of frames to send. */

#include "vmcoredd/emu/engine/internal.h"
