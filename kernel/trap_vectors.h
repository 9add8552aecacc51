/* How many entries trap.S has and trap.c makes gates of. Read by the assembler too. */
#ifndef KERNEL_TRAP_VECTORS_H
#define KERNEL_TRAP_VECTORS_H

#define TRAP_VECTORS 32    /* exceptions */
#define TRAP_INTERRUPTS 64 /* behind them */

#endif
