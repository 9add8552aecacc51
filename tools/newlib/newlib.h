/*
 * newlib's configuration for this kernel, in place of the one that newlib's configure would write.
 *
 * Every name is one that newlib's sources ask about; what is not defined here is off. Left off on
 * purpose: floating point in printf (the kernel prints integers only, and the conversion code would
 * be the largest part of the library), multibyte locales, wide streams, iconv, nano printf (which
 * takes %llu and %zu for something else and then misreads every argument after it).
 */
#ifndef NEWLIB_CONFIGURATION_H
#define NEWLIB_CONFIGURATION_H

#include <_newlib_version.h>

/* %zu, %jd, %hhx and %llu: events print 64-bit counters. */
#define _WANT_IO_C99_FORMATS 1
#define _WANT_IO_LONG_LONG 1

/*
 * errno and the rest of struct _reent are found by calling __getreent(), so that each core can have
 * its own. It stands here, not on the command line, so that library and kernel cannot disagree.
 */
#define __DYNAMIC_REENT__ 1

/* _WANT_REENT_SMALL is off: it ties every struct _reent to streams, and nobody opens one. */
#define _WANT_USE_LONG_TIME_T 1

/* Locks are functions that the kernel may replace; newlib's own do nothing. */
#define _RETARGETABLE_LOCKING 1

/* No exit handlers: the kernel leaves through kernel/power.c. */
#define _LITE_EXIT 1
#define _REENT_GLOBAL_ATEXIT 1

#define _MB_LEN_MAX 1

/* gcc has the flag that keeps a copying loop from becoming a call of memcpy. */
#define _HAVE_CC_INHIBIT_LOOP_TO_LIBCALL 1

#endif
