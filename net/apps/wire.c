/* mode=wire: every frame leaves as it came. */
#include "net/forward.h"

void forward_wire(struct lane *lane, struct batch *batch)
{
    (void)lane;
    (void)batch;
}
