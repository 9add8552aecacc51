/* Reads counters and clocks, and prints JSON. */
#define _GNU_SOURCE
#include "tests/bench/testbed/meter.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void meter_open(struct meter *meter, const char *path)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);

    *meter = (struct meter){0};
    if (file < 0)
        err(1, "%s", path);
    meter->icount = mmap(NULL, ICOUNT_BYTES, PROT_READ, MAP_SHARED, file, 0);
    if (meter->icount == MAP_FAILED)
        err(1, "%s", path);
    close(file);
}

/* The first bytes of a file of /proc, as a string; "" if it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = file < 0 ? 0 : read(file, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    if (file >= 0)
        close(file);
}

/* ---- the vCPU's thread ---- */

/* Binds thread `thread` (0: the calling one) to core number `number` of those in `allowed`. */
static void bind_to(pid_t thread, const cpu_set_t *allowed, int number)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, allowed) && number-- == 0)
            CPU_SET(core, &one);
    }
    if (sched_setaffinity(thread, sizeof(one), &one) != 0)
        warn("cannot bind a thread to a core of its own");
}

static pid_t find_vcpu(pid_t qemu)
{
    char path[320], name[64];
    pid_t found = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", qemu);
    DIR *const tasks = opendir(path);
    if (tasks == NULL)
        err(1, "%s", path);
    for (const struct dirent *entry; found == 0 && (entry = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", qemu, entry->d_name);
        read_text(path, name, sizeof(name));
        if (strncmp(name, "CPU 0/", 6) == 0)
            found = atoi(entry->d_name);
    }
    closedir(tasks);
    return found;
}

void meter_follow(struct meter *meter, pid_t qemu)
{
    const pid_t vcpu = find_vcpu(qemu);
    cpu_set_t allowed;

    if (vcpu == 0)
        errx(1, "QEMU has no thread called 'CPU 0/…'");
    if (clock_getcpuclockid(qemu, &meter->qemu) != 0)
        errx(1, "QEMU's processor time cannot be read");
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) >= 2) {
        bind_to(0, &allowed, 0);
        bind_to(vcpu, &allowed, 1);
    }
}

/* ---- readings ---- */

static uint64_t clock_now_ns(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0)
        err(1, "a clock cannot be read");
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t meter_now_ns(void)
{
    return clock_now_ns(CLOCK_MONOTONIC);
}

struct reading meter_read(const struct meter *meter, struct traffic *traffic)
{
    struct reading reading = {
        .ns = meter_now_ns(),
        .cpu_ns = clock_now_ns(meter->qemu),
        .instructions = meter->icount->instructions,
        .port_io = meter->icount->port_io,
        .received = traffic_received(traffic),
    };

    for (unsigned port = 0; port < PORTS; port++) {
        for (unsigned i = 0; i < VHOST_USER_QUEUES; i++) {
            struct device_queue *const queue = &traffic->ports[port].queues[i].ring;
            device_queue_count_doorbells(queue);
            reading.doorbells[i] += queue->doorbells;
            reading.interrupts += queue->interrupts;
        }
    }
    return reading;
}

/* ---- output ---- */

static void print_count(const char *name, uint64_t before, uint64_t after)
{
    printf(", \"%s\": %llu", name, (unsigned long long)(after - before));
}

void meter_print(const char *name, const struct reading *before, const struct reading *after)
{
    printf("{\"phase\": \"%s\"", name);
    printf(", \"seconds\": %.4f", (double)(after->ns - before->ns) / 1e9);
    printf(", \"cpu_seconds\": %.4f", (double)(after->cpu_ns - before->cpu_ns) / 1e9);
    print_count("frames", before->received, after->received);
    print_count("instructions", before->instructions, after->instructions);
    print_count("port_io", before->port_io, after->port_io);
    print_count("doorbells_rx", before->doorbells[0], after->doorbells[0]);
    print_count("doorbells_tx", before->doorbells[1], after->doorbells[1]);
    print_count("interrupts", before->interrupts, after->interrupts);
}

void meter_print_flows(const struct traffic *traffic)
{
    uint64_t sent = 0, disordered = 0, corrupt = 0;

    for (unsigned i = 0; i < PORTS; i++) {
        sent += traffic->flows[i].sent;
        disordered += traffic->flows[i].disordered;
        corrupt += traffic->flows[i].corrupt;
    }
    print_count("lost", traffic_received(traffic), sent);
    print_count("disordered", 0, disordered);
    print_count("corrupt", 0, corrupt);
    print_count("foreign", 0, traffic->foreign);
    printf("}\n");
    fflush(stdout);
}

/* ---- series ---- */

struct series series_make(size_t capacity)
{
    double *const values = calloc(capacity, sizeof(*values));

    if (values == NULL)
        err(1, "series");
    return (struct series){.values = values, .capacity = capacity};
}

void series_free(struct series *series)
{
    free(series->values);
}

void series_add(struct series *series, double value)
{
    if (series->count < series->capacity)
        series->values[series->count++] = value;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

void series_print(struct series *series, const char *name)
{
    const size_t count = series->count;
    double *const v = series->values;

    if (count == 0)
        return;
    qsort(v, count, sizeof(*v), compare);
    printf(
        ", \"%s\": {\"min\": %.2f, \"p10\": %.2f, \"median\": %.2f, \"p90\": %.2f, \"max\": %.2f}",
        name, v[0], v[count / 10], v[count / 2], v[count * 9 / 10], v[count - 1]);
}
