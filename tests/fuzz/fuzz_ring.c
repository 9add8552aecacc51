/* The rings: what a device does with the memory it shares, read out of the input. */
#include "tests/fuzz/target.h"

#include "tests/host/fixture/adversary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    adversary_begin(&input);
    adversary_play(&input);
    adversary_end();
    return 0;
}
