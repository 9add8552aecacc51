/* Backtraces: `trace` events by frame pointers, with names from the kernel's own symbol table. */
#ifndef KERNEL_BACKTRACE_H
#define KERNEL_BACKTRACE_H

#include "kernel/trap.h"

/*
 * Reports `trace frame=N rip=0x… symbol=NAME+0x…|none` a frame, from `frame` outwards: 32 lines at
 * most, and only as far as the frame pointers stay inside the kernel's stacks. Nothing else is
 * read, so a broken chain ends the trace and harms nothing. A recursion is one line with `times=N`
 * at its end. Functions without a frame (they touch no stack) are missing above the first line.
 */
void backtrace_report(const struct trap_frame *frame);

#endif
