/*
 * Every target in this folder is one function. libFuzzer calls it with inputs of its own, replay.c
 * with the files of the corpus. It must give the same result for the same bytes, and end the
 * process (panic, sanitizer) if the code under test is wrong.
 */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
