/*
 * Runs a target once over each file of its corpus, without a fuzzing engine: what it has learned
 * stays a test. As a program replay_NAME it reads tests/fuzz/corpus/NAME, or the files it is given.
 * Prints TAP; a finding ends it.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/target.h"

#define INPUT_MAX 65536
#define PREFIX "replay_"

static void fail(const char *path)
{
    perror(path);
    exit(1);
}

/* The input is copied to memory of its own size, so that the sanitizer guards its end. */
static void run_file(const char *path, const char *name)
{
    static unsigned number;
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        fail(path);
    const size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    uint8_t *copy = malloc(size);
    if (size != 0)
        memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    printf("ok %u - %s\n", ++number, name);
    fflush(stdout); /* what came before a finding is not to be lost */
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of names, which is the same everywhere. */
static void run_folder(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_input, alphasort);

    if (count <= 0)
        fail(folder);
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        run_file(path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", count);
}

int main(int argc, char **argv)
{
    const char *name = strstr(argv[0], PREFIX);
    char folder[256];

    if (argc > 1) {
        for (int i = 1; i < argc; i++)
            run_file(argv[i], argv[i]);
        return 0;
    }
    if (name == NULL) {
        fprintf(stderr, "%s: name the files, or call me " PREFIX "TARGET\n", argv[0]);
        return 2;
    }
    snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", name + strlen(PREFIX));
    run_folder(folder);
    return 0;
}
