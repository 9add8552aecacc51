/*
 * A plugin for QEMU under TCG that counts what the guest executes into a page that others can read
 * while it runs (icount.h).
 *
 *     -plugin icount.so,counters=FILE[,mark=ADDRESS]...
 *
 * FILE has ICOUNT_BYTES. Each ADDRESS (up to ICOUNT_MARKS) is that of an instruction: when it is
 * first executed, the count so far is noted. One virtual processor: nothing here is atomic.
 */
#include "tests/bench/testbed/icount.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/testbed/qemu_plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count,
                                           char **words);

static struct icount *counters;
static uint64_t marked[ICOUNT_MARKS];
static unsigned marked_count;

static bool is_prefix(uint8_t byte)
{
    return byte == 0xf2 || byte == 0xf3 || byte == 0x66 || byte == 0x67 || byte == 0x2e ||
           byte == 0x3e || (byte & 0xf0) == 0x40; /* REP, sizes, segments, REX */
}

struct decoded {
    bool repeats; /* a string instruction with REP in front of it */
    bool port_io;
};

/* As much of x86-64's encoding as is needed here (Intel SDM volume 2, appendix A.3). */
static struct decoded decode(const uint8_t *bytes, size_t size)
{
    bool rep = false;
    size_t at = 0;

    for (; at < size && is_prefix(bytes[at]); at++)
        rep = rep || bytes[at] == 0xf2 || bytes[at] == 0xf3;
    const uint8_t opcode = at < size ? bytes[at] : 0;
    const bool string_io = opcode >= 0x6c && opcode <= 0x6f; /* INS, OUTS */
    const bool string =
        string_io || (opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xaa && opcode <= 0xaf);
    return (struct decoded){
        .repeats = rep && string,
        .port_io =
            string_io || (opcode >= 0xe4 && opcode <= 0xe7) || (opcode >= 0xec && opcode <= 0xef),
    };
}

static void reach_mark(unsigned int cpu, void *mark)
{
    uint64_t *const reached = mark;

    (void)cpu;
    if (*reached == 0)
        *reached = counters->instructions;
}

static void watch_instruction(struct qemu_plugin_insn *insn)
{
    const struct decoded decoded = decode(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));

    if (decoded.repeats)
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   &counters->repeats, 1);
    if (decoded.port_io)
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   &counters->port_io, 1);
    for (unsigned i = 0; i < marked_count; i++) {
        if (qemu_plugin_insn_vaddr(insn) == marked[i])
            qemu_plugin_register_vcpu_insn_exec_cb(insn, reach_mark, QEMU_PLUGIN_CB_NO_REGS,
                                                   &counters->marks[i]);
    }
}

/* Each block, when it is translated: one addition for the whole of it keeps the guest fast. */
static void watch_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t count = qemu_plugin_tb_n_insns(tb);

    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                             &counters->instructions, count);
    for (size_t i = 0; i < count; i++)
        watch_instruction(qemu_plugin_tb_get_insn(tb, i));
}

static bool map_counters(const char *path)
{
    const int file = open(path, O_RDWR | O_CLOEXEC);

    if (file < 0)
        return false;
    counters = mmap(NULL, ICOUNT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return counters != MAP_FAILED;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **words)
{
    static const char file_word[] = "counters=", mark_word[] = "mark=";
    const char *path = "";

    (void)info;
    for (int i = 0; i < count; i++) {
        if (strncmp(words[i], file_word, sizeof(file_word) - 1) == 0)
            path = words[i] + sizeof(file_word) - 1;
        else if (strncmp(words[i], mark_word, sizeof(mark_word) - 1) == 0 &&
                 marked_count < ICOUNT_MARKS)
            marked[marked_count++] = strtoull(words[i] + sizeof(mark_word) - 1, NULL, 0);
    }
    if (!map_counters(path)) {
        fprintf(stderr, "icount: cannot map the file of counters=%s\n", path);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, watch_block);
    return 0;
}
