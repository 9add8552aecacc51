/* Why a device cannot be used. */
#include <stdarg.h>
#include <stdio.h>

#include "drivers/virtio/virtio_net_internal.h"

bool virtio_net_refuse(struct virtio_net *net, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(net->refusal, sizeof(net->refusal), format, arguments);
    va_end(arguments);
    return false;
}
