/*
 * What every target in this folder is: one function, called by libFuzzer with inputs of its own and
 * by replay.c with the files of the corpus. It must give the same result for the same bytes, and
 * ends the process (panic, sanitizer) where the code under test is at fault.
 */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
