/* The names of the forwarding functions. */
#include "net/forward.h"

const char *forward_name(forward_fn *forward)
{
    if (forward == forward_wire)
        return "wire";
    return forward == forward_reflect ? "reflect" : "idle";
}
