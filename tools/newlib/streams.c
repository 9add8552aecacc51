/*
 * Later versions of newlib point from every struct _reent to three global streams. Theirs come with
 * all of stdio; these stand in for them, since nobody here opens a stream.
 */
#include <reent.h>

__FILE __sf[3];
