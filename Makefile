# barewire's one Makefile. `make help` lists what it can do.
#
# While it is being read it calls no other program, so that git and make are enough to start with;
# whatever must be asked of the machine is asked inside a recipe. Everything built lands in $(OUT).
#
#   V=1       show the commands           OUT=dir      build there instead of in build/
#   JOBS=N    system tests side by side   ACCEL=auto|kvm|tcg  what QEMU runs by: auto tries KVM
#   YES=1     install without asking      CMDLINE='…'  words for the kernel in the ISO's grub.cfg
#   PCAP=file what `make run` sends, or TAP0=… TAP1=… for ports on two taps
#   QEMU=path another QEMU, from 7.2 on, for whatever starts one

# An empty OUT would be the root of the file system.
ifeq ($(strip $(OUT)),)
override OUT := build
endif
CC = gcc
LD = ld
AR = ar
NM = nm
OBJCOPY = objcopy
# Debian's own: another one in PATH would lack scapy and pytest. -B: no byte code beside the sources.
PYTHON = /usr/bin/python3 -B

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-builtin-variables

Q := $(if $(V),,@)
say = @printf '  %-7s %s\n'

# ---- The modules ------------------------------------------------------------------------------
# A new file is one more word here; `make check` reports files that stand in no list.

# boot: from the loader's first instruction to C, and one boot_info out of three protocols
BOOT_SOURCES := \
	boot/headers.S boot/entry.S boot/boot_info.c

# kernel: what the machine offers
KERNEL_SOURCES := \
	kernel/main.c kernel/table.c kernel/option.c \
	kernel/image.c kernel/memory.c kernel/paging.c \
	kernel/trap.S kernel/trap.c kernel/interrupt.c kernel/pic.c kernel/lapic.c \
	kernel/panic.c kernel/panic_action.c kernel/backtrace.c kernel/fault_injection.c \
	kernel/clock.c kernel/calibrate.c kernel/hypervisor.c kernel/acpi.c kernel/power.c kernel/button.c \
	kernel/uart.c kernel/json.c kernel/tty.c kernel/editor.c kernel/console.c \
	kernel/log.c kernel/log_level.c kernel/log_ring.c \
	kernel/syscalls.c kernel/string.c

# drivers: PCI and virtio
DRIVERS_SOURCES := \
	drivers/pci/pci.c drivers/pci/pci_scan.c drivers/pci/pci_interrupt.c drivers/i6300esb.c \
	drivers/virtio/virtqueue.c drivers/virtio/virtqueue_watch.c \
	drivers/virtio/virtio.c drivers/virtio/virtio_pci_region.c \
	drivers/virtio/virtio_pci_legacy.c drivers/virtio/virtio_pci_modern.c \
	drivers/virtio/virtio_net_features.c drivers/virtio/virtio_net_negotiate.c drivers/virtio/virtio_net_queues.c \
	drivers/virtio/virtio_net_control.c drivers/virtio/virtio_net_data.c \
	drivers/virtio/virtio_net_header.c drivers/virtio/virtio_net_offload.c drivers/virtio/virtio_net_chain.c \
	drivers/virtio/virtio_net_interrupt.c \
	drivers/virtio/virtio_net_settings.c drivers/virtio/virtio_net_watch.c drivers/virtio/virtio_net_refuse.c \
	drivers/virtio/virtio_net_describe.c drivers/virtio/virtio_net_options.c drivers/virtio/virtio_net.c \
	drivers/pci/pci_assign.c drivers/pci/pci_hotplug.c drivers/probe.c

# net: packets, lanes and the loop that moves them. Whatever is in net/apps is an app.
APP_SOURCES := $(sort $(wildcard net/apps/*.c))
NET_SOURCES := $(APP_SOURCES) \
	net/pool.c net/port.c net/lane.c net/app.c \
	net/pairs.c net/core.c net/topology.c net/topology_options.c net/port_options.c \
	net/idle.c net/stats.c net/loop.c net/loop_options.c \
	net/command.c net/monitor_session.c net/monitor_phrases.c net/monitor_show.c net/monitor_set.c net/monitor.c

IMAGE_SOURCES := $(BOOT_SOURCES) $(KERNEL_SOURCES) $(DRIVERS_SOURCES) $(NET_SOURCES)

# ---- Flags ------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wvla -Wformat=2 -Wundef -Werror

# The flags that decide the machine code: newlib and the kernel share them.
#   -ffreestanding -fbuiltin   no operating system, but memcpy of six bytes is still two moves
#   -fno-pic -mcmodel=small    linked to run where linker.ld puts it, below 2 GiB
#   -mgeneral-regs-only        no x87, no vectors: no state of theirs to keep, and hypervisors that
#                              emulate instructions know none of them
#   -mno-red-zone              an exception without a stack of its own would overwrite it
#   -fno-stack-protector, -fcf-protection=none, -U_FORTIFY_SOURCE
#                              distributions switch these on; they want a C library's help
#   -fno-asynchronous-unwind-tables, -fno-omit-frame-pointer
#                              backtraces walk frame pointers; nothing reads unwind tables
#   -ffunction-sections -fdata-sections
#                              with --gc-sections: what nobody calls is not in the image
MACHINE_FLAGS := -std=gnu11 -O2 -m64 -ffreestanding -fbuiltin -fno-pic -fno-pie -mcmodel=small \
	-mgeneral-regs-only -mno-red-zone -fno-stack-protector -fcf-protection=none -U_FORTIFY_SOURCE \
	-fno-asynchronous-unwind-tables -fno-omit-frame-pointer -ffunction-sections -fdata-sections

#   -fno-strict-aliasing       frames and rings are byte arrays that are read as structures
#   -ffile-prefix-map          no trace of where checkout and $(OUT) lie: builds are reproducible
#   -nostdinc                  no header of the host; gcc's own and newlib's are named instead
KERNEL_FLAGS := $(MACHINE_FLAGS) -g -fno-strict-aliasing -ffile-prefix-map=$(CURDIR)=. \
	-ffile-prefix-map=$(OUT)=build $(WARNINGS)
# newlib's headers before gcc's: both have a <stdint.h>, and PRIu64 goes with newlib's. The shell asks
# gcc for the place of its own, so that make need not while it reads this.
KERNEL_INCLUDES := -nostdinc -I. -Ikernel -I$(OUT)/include \
	-isystem $(OUT)/newlib/include -isystem $$($(CC) -print-file-name=include)

#   --gc-sections              linker.ld keeps the headers
#   -z noexecstack             newlib's assembler files do not say that they need none
#   --build-id=none            linker.ld has no place for it
LINK_FLAGS := -m elf_x86_64 -static -nostdlib --gc-sections --fatal-warnings --build-id=none \
	-z noexecstack -z max-page-size=4096

# ---- The kernel -------------------------------------------------------------------------------

NEWLIB_KEY := $(OUT)/newlib/key
NEWLIB := $(OUT)/newlib/libc.a
KERNEL_OBJECTS := $(IMAGE_SOURCES:%=$(OUT)/obj/%.o)
# -MD and not -MMD: `make check` reads the lists of headers to see that none is the host's.
COMPILE = $(CC) $(KERNEL_FLAGS) $(FILE_FLAGS_$<) $(KERNEL_INCLUDES) -MD -MP

.PHONY: all elf iso FORCE
all: elf iso ## The kernel and the ISO image (what plain `make` does)

elf: $(OUT)/barewire.elf ## The kernel: build/barewire.elf (symbols for gdb: barewire.debug)

# gcc sees the copying loop in memcpy and would replace it by a call of memcpy.
FILE_FLAGS_kernel/string.c := -fno-builtin -fno-tree-loop-distribute-patterns

# No frame goes through these: small is better than fast. (In the file left out it would make the fence an
# mfence, which a processor without SSE2 does not have.)
COLD_SOURCES := $(filter-out kernel/string.c kernel/interrupt.c, \
	$(filter boot/% kernel/% net/monitor% net/%_options.c,$(IMAGE_SOURCES)))
$(foreach source,$(COLD_SOURCES),$(eval FILE_FLAGS_$(source) := -Os))

$(OUT)/obj/%.c.o: %.c $(NEWLIB_KEY) $(OUT)/flags $(OUT)/include/version.h
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(COMPILE) -c $< -o $@

$(OUT)/obj/%.S.o: %.S $(NEWLIB_KEY) $(OUT)/flags
	@mkdir -p $(@D)
	$(say) AS $<
	$(Q)$(COMPILE) -c $< -o $@

# The image is linked twice: the names in backtraces come from a table, and the table comes from the
# first link, whose own is empty. The table lies behind the text, so that no function moves; the
# comparison makes sure. The map is the second link's.
LINK = $(LD) $(LINK_FLAGS) -T linker.ld $(KERNEL_OBJECTS)

$(OUT)/link/pass1.elf: $(KERNEL_OBJECTS) $(OUT)/link/symbols1.o $(NEWLIB_KEY) linker.ld
	$(Q)$(LINK) $(OUT)/link/symbols1.o $(NEWLIB) -o $@

$(OUT)/barewire.debug: $(OUT)/link/pass1.elf $(OUT)/link/symbols2.o
	$(say) LD $@
	$(Q)$(LINK) $(OUT)/link/symbols2.o $(NEWLIB) -Map $(OUT)/barewire.map -o $@
	@$(NM) $< | grep -i ' t ' >$(OUT)/link/text1; $(NM) $@ | grep -i ' t ' >$(OUT)/link/text2
	@cmp -s $(OUT)/link/text1 $(OUT)/link/text2 || { \
		echo '$@: functions moved between the two links, so the table of symbols is wrong:' \
			'linker.ld must place .rodata behind .text' >&2; exit 1; }

$(OUT)/link/symbols1.c: tools/symbols
	@mkdir -p $(@D)
	$(Q)tools/symbols </dev/null >$@

$(OUT)/link/symbols2.c: $(OUT)/link/pass1.elf tools/symbols
	$(Q)$(NM) $< | tools/symbols >$@

$(OUT)/link/%.o: $(OUT)/link/%.c $(NEWLIB_KEY) $(OUT)/flags
	$(Q)$(COMPILE) -c $< -o $@

# What is booted carries no symbols: it is read whole at every start.
$(OUT)/barewire.elf: $(OUT)/barewire.debug tools/check-elf
	$(say) STRIP $@
	$(Q)$(OBJCOPY) --strip-all $< $@
	@tools/check-elf $@

-include $(KERNEL_OBJECTS:.o=.d)

# ---- newlib -----------------------------------------------------------------------------------
# One script that looks every time whether its inputs are still the same (a few milliseconds) and
# touches the key only when they are not. The + passes make's -j on to it.

$(NEWLIB_KEY): FORCE | packages
	@mkdir -p $(OUT)
	+$(Q)CC='$(CC)' AR='$(AR)' MAKE='$(MAKE)' V='$(V)' NEWLIB_FLAGS='-g0 $(MACHINE_FLAGS)' \
		NEWLIB_TARBALL='$(NEWLIB_TARBALL)' tools/newlib/build $(OUT)/newlib

# ---- Files that change only when their content does ---------------------------------------------

# $(call update,FILE): stdin becomes FILE unless it is that already
update = mkdir -p $(@D) && cat >$@.new && if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# Other flags mean other objects.
$(OUT)/flags: FORCE
	@printf '%s\n' '$(CC) $(KERNEL_FLAGS) $(LINK_FLAGS)' | { $(update); }

$(OUT)/include/version.h: FORCE
	@version=$$(git describe --always --dirty --tags 2>/dev/null || echo unknown); \
	case $$version in *[!0-9]*) ;; *) version=g$$version ;; esac; \
	printf '#define BAREWIRE_VERSION "%s"\n' "$$version" | { $(update); }

FORCE:

# ---- The ISO image ----------------------------------------------------------------------------

iso: $(OUT)/barewire.iso ## The GRUB image for BIOS and UEFI; CMDLINE='…' puts words into grub.cfg

$(OUT)/grub.cfg: boot/grub.cfg tools/grub-config FORCE
	@CMDLINE='$(subst ','\'',$(CMDLINE))' tools/grub-config $< >$@.words
	@{ $(update); } <$@.words && rm $@.words

# newlib's licence asks that its notices go wherever its code goes.
$(OUT)/NOTICES: LICENSE $(NEWLIB_KEY)
	@{ echo 'barewire'; echo; cat LICENSE; echo; echo 'newlib (the C library inside)'; echo; \
		cat $(OUT)/newlib/NOTICES; } >$@

$(OUT)/barewire.iso: $(OUT)/barewire.elf $(OUT)/grub.cfg $(OUT)/NOTICES tools/image
	$(say) ISO $@
	$(Q)tools/image $@ $(OUT)/barewire.elf $(OUT)/grub.cfg $(OUT)/NOTICES

# ---- Packages ---------------------------------------------------------------------------------

.PHONY: packages deps
packages:
	@tools/deps $(MAKECMDGOALS)

deps: packages ## Install every package that any of this needs; YES=1 asks nothing

# ---- Running ----------------------------------------------------------------------------------
.PHONY: run top debug demo kvm-trial

# Whether KVM can run this kernel is tried once a make call, as a phony target is made once.
kvm-trial: $(OUT)/barewire.elf | packages
	@tools/accelerator.py $< $(OUT)/kvm-trial

tried = KVM_TRIAL="$$(cat $(OUT)/kvm-trial)"

export ACCEL CMDLINE DURATION PCAP TAP0 TAP1 CONSOLE PROMETHEUS RECORD PLOT

run: $(OUT)/barewire.elf $(OUT)/capture.pcap kvm-trial ## Boot in QEMU, send frames across and compare them
	@$(tried) tools/run --kernel $(OUT)/barewire.elf --capture $(OUT)/capture.pcap

top: $(OUT)/barewire.elf $(OUT)/capture.pcap \
		$(if $(CONSOLE),,kvm-trial) ## Watch the machine behind CONSOLE=socket live, or one of its own
	@$(if $(CONSOLE),,$(tried)) tools/top --kernel $(OUT)/barewire.elf --capture $(OUT)/capture.pcap

debug: $(OUT)/barewire.elf $(OUT)/barewire.debug ## QEMU stopped at the kernel's entry, gdb attached
	@tools/debug --kernel $(OUT)/barewire.elf --symbols $(OUT)/barewire.debug

demo: $(OUT)/barewire.elf kvm-trial ## As root: ping, iperf3, HTTP across it; then against a Linux bridge
	@$(tried) tools/demo --kernel $(OUT)/barewire.elf --race

$(OUT)/capture.pcap: tools/make-capture | packages
	@mkdir -p $(@D)
	$(say) PCAP $@
	$(Q)tools/make-capture $@

# Distributions are slow to change their QEMU, and hosts are not. The wrapper stands in $(OUT) with all
# that it needs.
QEMU_10 := $(OUT)/qemu-10/qemu-system-x86_64

.PHONY: qemu-10
qemu-10: ## Fetch QEMU 10 out of Debian 13, for QEMU=build/qemu-10/qemu-system-x86_64; installs nothing
	@tools/qemu-10 $(OUT)

# ---- Programs for this machine ----------------------------------------------------------------
# Tests, fuzzers and benchmarks come in four flavours:
#   host      units, and fuzz targets that go through their corpora; under ASAN and UBSAN
#   fuzz      fuzz targets with libFuzzer
#   coverage  the programs of host again, with counts of branches
#   bench     what the benchmarks measure, with the kernel's flags
# A flavour compiles each source once. Every program is linked with the whole simulation and with what
# it calls out of one archive.

# tests/host/sim/machine/ takes the place of the kernel's half of the seam by standing first in the
# include path. sim/uart.c is another machine, for the tests that call it.
HOST_INCLUDES := -Itests/host/sim -I. -Ikernel
SIMULATION := $(filter-out tests/host/sim/uart.c,$(wildcard tests/host/sim/*.c tests/host/sim/boot/*.c))

# Without the parts that are instructions of a bare machine.
KERNEL_ON_HOST := boot/boot_info.c $(addprefix kernel/,memory.c paging.c backtrace.c panic_action.c fault_injection.c \
	clock.c calibrate.c hypervisor.c acpi.c power.c button.c uart.c json.c tty.c editor.c console.c \
	log.c log_level.c log_ring.c)
BENCH_PARTS := $(DRIVERS_SOURCES) $(NET_SOURCES) kernel/table.c kernel/option.c
HOST_PARTS := $(BENCH_PARTS) $(KERNEL_ON_HOST) tests/host/sim/uart.c \
	$(wildcard tests/host/fixture/*.c tests/host/oracle/*.c)
FUZZ_PARTS := $(HOST_PARTS)
COV_PARTS := $(HOST_PARTS)

# test_NAME is tests/host/test_NAME.c. Each tests/fuzz/fuzz_NAME.c becomes fuzz_NAME for `make fuzz`, and
# replay_NAME for `make test`, which goes through the corpus once.
TESTS_ON_HOST := $(patsubst tests/host/%.c,%,$(wildcard tests/host/test_*.c))
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OWN := $(FUZZ_TARGETS:%=tests/fuzz/fuzz_%.c)
HOST_OWN := $(TESTS_ON_HOST:%=tests/host/%.c) tests/fuzz/replay.c $(FUZZ_OWN)
COV_OWN := $(HOST_OWN)
BENCH_OWN := $(addprefix tests/bench/,native.c ring_device.c large.c)

HOST_PROGRAMS := $(TESTS_ON_HOST:%=$(OUT)/host/%) $(FUZZ_TARGETS:%=$(OUT)/host/replay_%)
COV_PROGRAMS := $(HOST_PROGRAMS:$(OUT)/host/%=$(OUT)/coverage/%)
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(OUT)/fuzz/fuzz_%)
BENCH_PROGRAMS := $(OUT)/bench/native $(OUT)/bench/large

HOST_CC = $(CC)
HOST_FLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing \
	-fsanitize=address,undefined -fno-sanitize-recover=all $(WARNINGS)
HOST_LINK = $(HOST_FLAGS)
HOST_LIBS := -lcmocka

# The engine watches which branches are taken, but those of the simulated machine tell it nothing.
FUZZ_CC := clang
FUZZ_WATCH = $(if $(filter tests/host/sim/% tests/host/oracle/%,$<),,fuzzer-no-link,)
FUZZ_FLAGS = $(HOST_FLAGS) -fsanitize=$(FUZZ_WATCH)address
FUZZ_LINK = $(HOST_FLAGS) -fsanitize=fuzzer

COV_CC := clang
COV_FLAGS := -std=gnu11 -O1 -g -fno-strict-aliasing -fprofile-instr-generate -fcoverage-mapping $(WARNINGS)
COV_LINK = $(COV_FLAGS)
COV_LIBS := -lcmocka

# The kernel's own flags, so that what is measured is what the kernel runs. In the kernel a physical
# address is a pointer, so here it is one too.
#   -no-pie                    addresses are fixed, so that native.py can find variables in a trace
#   --wrap=io_write16          native.c answers doorbells in the simulated bus's place
BENCH_CC = $(CC)
# What stands around the data path computes with doubles.
BENCH_FLAGS = $(filter-out $(if $(filter tests/%,$<),-mgeneral-regs-only),$(MACHINE_FLAGS)) -g \
	-fno-strict-aliasing $(WARNINGS) -DPHYSICAL_OFFSET=0 $(FILE_FLAGS_$<)
BENCH_LINK = -no-pie
$(OUT)/bench/native: BENCH_LINK += -pthread -Wl,--wrap=io_write16

# $(call flavour,FOLDER,NAME): how the sources NAME_PARTS and NAME_OWN become NAME_PROGRAMS in $(OUT)/FOLDER
define flavour
$(OUT)/$(1)/obj/%.c.o: %.c $(OUT)/$(1)/flags | packages
	@mkdir -p $$(@D)
	$$(say) $(2)CC $$<
	$$(Q)$$($(2)_CC) $$($(2)_FLAGS) $$(HOST_INCLUDES) -MMD -MP -c $$< -o $$@

$(OUT)/$(1)/flags: FORCE
	@printf '%s\n' '$$($(2)_CC) $$($(2)_FLAGS) $$(foreach s,$$($(2)_PARTS),$$(FILE_FLAGS_$$(s)))' | { $$(update); }

$(OUT)/$(1)/parts.a: $($(2)_PARTS:%=$(OUT)/$(1)/obj/%.o)
	@rm -f $$@
	$$(Q)$$(AR) rcsT $$@ $$^

$($(2)_PROGRAMS): $(patsubst %,$(OUT)/$(1)/obj/%.o,$(SIMULATION) $(APP_SOURCES)) $(OUT)/$(1)/parts.a
	$$(say) $(2)LD $$@
	$$(Q)$$($(2)_CC) $$($(2)_LINK) $$(filter %.o,$$^) $$(filter %.a,$$^) $$($(2)_LIBS) -o $$@

-include $(patsubst %,$(OUT)/$(1)/obj/%.d,$(SIMULATION) $($(2)_PARTS) $($(2)_OWN))
endef
$(eval $(call flavour,host,HOST))
$(eval $(call flavour,fuzz,FUZZ))
$(eval $(call flavour,coverage,COV))
$(eval $(call flavour,bench,BENCH))

# $(call own,FOLDER): which objects of their own the programs there have. The simulation has a log, too, so
# that those which test the kernel's name it.
define own
$(TESTS_ON_HOST:%=$(OUT)/$(1)/%): $(OUT)/$(1)/%: $(OUT)/$(1)/obj/tests/host/%.c.o
$(FUZZ_TARGETS:%=$(OUT)/$(1)/replay_%): $(OUT)/$(1)/replay_%: $(OUT)/$(1)/obj/tests/fuzz/fuzz_%.c.o \
	$(OUT)/$(1)/obj/tests/fuzz/replay.c.o
$(OUT)/$(1)/test_log $(OUT)/$(1)/test_console: $(OUT)/$(1)/obj/kernel/log.c.o
endef
$(eval $(call own,host))
$(eval $(call own,coverage))
$(FUZZ_PROGRAMS): $(OUT)/fuzz/%: $(OUT)/fuzz/obj/tests/fuzz/%.c.o
$(BENCH_PROGRAMS): $(OUT)/bench/%: $(OUT)/bench/obj/tests/bench/%.c.o
$(OUT)/bench/native: $(OUT)/bench/obj/tests/bench/ring_device.c.o

# ---- Fuzzing and coverage -----------------------------------------------------------------------
.PHONY: fuzz coverage

FUZZED := $(or $(TARGET),$(FUZZ_TARGETS))

fuzz: $(FUZZED:%=$(OUT)/fuzz/fuzz_%) ## Fuzz each target, or TARGET=ring, for TIME=60 seconds
	@tests/fuzz/run $(OUT)/fuzz '$(or $(TIME),60)' $(FUZZED)

coverage: $(COV_PROGRAMS) ## Branches of drivers/ and net/ that units and fuzz corpora take
	@tools/coverage $(OUT)/coverage $(OUT)/fuzz $(COV_PROGRAMS)

# ---- Tests ------------------------------------------------------------------------------------

.PHONY: test test-host test-qemu test-kvm test-virtio test-qemu10 soak

test: $(HOST_PROGRAMS) all $(OUT)/capture.pcap kvm-trial ## Units and system tests; ends with 'N passed, N failed'
	@$(tried) PYTHON='$(PYTHON)' tools/test $(OUT) $(HOST_PROGRAMS) --system $(TESTS)

# TEST=lane is test_lane, TEST=replay_ring a corpus; several if it has several words.
CHOSEN := $(if $(TEST),$(filter $(TEST:%=$(OUT)/host/%) $(TEST:%=$(OUT)/host/test_%),$(HOST_PROGRAMS)),$(HOST_PROGRAMS))

test-host: $(CHOSEN) ## Only the units, on this machine; TEST=lane for those of tests/host/test_lane.c
	@tools/test $(OUT) $(CHOSEN)

test-qemu: all $(OUT)/capture.pcap kvm-trial ## Only the system tests; TESTS='-k pvh' goes to pytest
	@$(tried) PYTHON='$(PYTHON)' tools/test $(OUT) --system $(TESTS)

test-kvm: all $(OUT)/capture.pcap kvm-trial ## All system tests that make sense under KVM, there
	@$(tried) PYTHON='$(PYTHON)' tools/test $(OUT) --kvm -rs $(TESTS)

test-virtio: all ## Every form of QEMU's card, DPDK, vhost-net: some minutes
	@PYTHON='$(PYTHON)' tools/test $(OUT) --tcg -m virtio -rs $(TESTS)

test-qemu10: all $(OUT)/capture.pcap qemu-10 ## The system tests on QEMU 10
	@QEMU='$(abspath $(QEMU_10))' PYTHON='$(PYTHON)' tools/test $(OUT) --tcg $(TESTS)

soak: all ## Links, cards, resets, orders, lone frames for DURATION=600 seconds, and as long again
	@BAREWIRE_SOAK_S='$(or $(DURATION),600)' PYTHON='$(PYTHON)' \
		BAREWIRE_SOAK_SEED=$${BAREWIRE_SOAK_SEED:-$$(date +%s)} JOBS=1 \
		tools/test $(OUT) --tcg -k test_soak -s

# ---- Benchmarks -------------------------------------------------------------------------------
# Nothing is asserted. Instructions and cache lines are exact; times depend on the machine.
.PHONY: bench bench-peers

# What runs beside and inside QEMU to measure the whole of it.
TESTBED_SOURCES := $(addprefix tests/bench/testbed/,testbed.c phases.c meter.c traffic.c vhost_user.c \
	device_queue.c split_queue.c packed_queue.c guest_memory.c)
ICOUNT_SOURCES := tests/bench/testbed/icount.c
TESTBED_PROGRAMS := $(OUT)/bench/testbed $(OUT)/bench/icount.so
TESTBED_FLAGS = -std=gnu11 -O2 -g $(WARNINGS) -I.

$(OUT)/bench/testbed: $(TESTBED_SOURCES) $(wildcard tests/bench/testbed/*.h) drivers/virtio/virtio_spec.h | packages
	@mkdir -p $(@D)
	$(say) BENCHLD $@
	$(Q)$(CC) $(TESTBED_FLAGS) $(TESTBED_SOURCES) -o $@

$(OUT)/bench/icount.so: $(ICOUNT_SOURCES) $(wildcard tests/bench/testbed/*.h) | packages
	@mkdir -p $(@D)
	$(say) BENCHLD $@
	$(Q)$(CC) $(TESTBED_FLAGS) -fPIC -shared $(ICOUNT_SOURCES) -o $@

bench: $(BENCH_PROGRAMS) $(TESTBED_PROGRAMS) elf ## Count what a frame costs; build/bench.json has all
	@PYTHONPATH=tools $(PYTHON) tests/bench/bench $(OUT)

bench-peers: $(TESTBED_PROGRAMS) elf ## The same in QEMU beside a Linux bridge and DPDK, as ratios
	@PYTHONPATH=tools $(PYTHON) tests/bench/peers $(OUT)

.PHONY: bench-idle
bench-idle: $(OUT)/barewire.elf kvm-trial ## Processor share without traffic, latency of a lone frame: sleep and poll
	@$(tried) tests/bench/idle $(OUT)

# ---- Checks -----------------------------------------------------------------------------------
# One stamp a check, so that -j runs them side by side and nothing is checked twice.
.PHONY: check check-reproducible conformance format

C_FILES = $(sort $(wildcard boot/*.[ch] kernel/*.[ch] kernel/machine/*.h drivers/*.[ch] drivers/*/*.[ch] \
	net/*.[ch] net/*/*.[ch] tests/host/*.[ch] tests/host/*/*.[ch] tests/host/*/*/*.[ch] tests/fuzz/*.[ch] \
	tests/bench/*.[ch] tests/bench/*/*.[ch]))
KERNEL_C_FILES = $(filter %.c,$(IMAGE_SOURCES))
LISTED_SOURCES = $(sort $(IMAGE_SOURCES) $(BENCH_OWN) $(TESTBED_SOURCES) $(ICOUNT_SOURCES))

check: check-format check-layers check-circles check-headers check-newlib check-instructions \
	check-readme check-conformance check-tidy check-cppcheck $(HOST_PROGRAMS) \
	$(BENCH_PROGRAMS) $(TESTBED_PROGRAMS) ## Warnings, formatting, clang-tidy, cppcheck, layers, README, conformance
	@echo 'check: all passed'

.PHONY: check-format check-layers check-circles check-headers check-newlib check-instructions \
	check-readme check-conformance check-tidy check-cppcheck

check-format: | packages
	$(say) CHECK 'formatting (mended by `make format`)'
	$(Q)clang-format --dry-run -Werror $(C_FILES)

check-layers: | packages
	$(say) CHECK 'layers, top level, lists of sources'
	$(Q)tools/check-layers $(LISTED_SOURCES)

check-circles: $(KERNEL_OBJECTS)
	$(say) CHECK 'no circles of files'
	$(Q)tools/check-circles $(NM) $(OUT)/obj $^

# Each header must be enough by itself. The kernel's are compiled as the kernel is.
check-headers: $(NEWLIB_KEY) $(OUT)/include/version.h
	$(say) CHECK 'each header compiles alone'
	$(Q)status=0; for header in $(filter-out tests/%,$(filter %.h,$(C_FILES))); do \
		printf '#include "%s"\n' $$header | $(COMPILE_ONLY) -x c - || status=1; \
	done; exit $$status

COMPILE_ONLY = $(CC) $(KERNEL_FLAGS) $(KERNEL_INCLUDES) -fsyntax-only

check-newlib: $(OUT)/barewire.elf
	$(say) CHECK 'newlib is linked, and no header of the host'
	$(Q)tools/check-newlib $(OUT)

check-instructions: $(OUT)/barewire.debug
	$(say) CHECK 'general registers only, and no instruction that is never emulated'
	$(Q)tools/check-instructions $<

check-readme: | packages
	$(say) CHECK "README's tables"
	$(Q)tools/check-readme

check-conformance: | packages
	$(say) CHECK 'the table of what VIRTIO asks of a driver'
	$(Q)$(PYTHON) tests/conformance/conformance

# -nostdlibinc where gcc has -nostdinc: clang's own headers stay, the host's go.
TIDY_INCLUDES := -I. -Ikernel -I$(OUT)/include -nostdlibinc -isystem $(OUT)/newlib/include
TIDY_STAMPS = $(KERNEL_C_FILES:%=$(OUT)/tidy/%.ok)

check-tidy: $(TIDY_STAMPS)

$(OUT)/tidy/%.ok: % $(OUT)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	$(say) TIDY $<
	$(Q)clang-tidy --quiet $< -- -std=gnu11 -ffreestanding -fno-builtin $(TIDY_INCLUDES) 2>$@.log \
		|| { cat $@.log >&2; exit 1; }
	@touch $@

check-cppcheck: | packages
	$(say) CHECK cppcheck
	$(Q)mkdir -p $(OUT)/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
		--library=tools/cppcheck.cfg --suppress=missingInclude --cppcheck-build-dir=$(OUT)/cppcheck \
		-I. -Ikernel $(KERNEL_C_FILES)

check-reproducible: all ## Build a second time elsewhere, later, and compare every byte
	@tools/check-reproducible $(OUT)

conformance: ## Write the table of what VIRTIO asks of a driver, after a change of its data
	$(Q)$(PYTHON) tests/conformance/conformance write

format: ## Bring all C files into the form that `make check` asks for
	clang-format -i $(C_FILES)

# ---- The rest ---------------------------------------------------------------------------------
.PHONY: clean distclean help

clean: ## Remove everything that was built, but not newlib from the user's cache
	rm -rf $(OUT)

distclean: clean ## clean, and newlib out of the user's cache
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/barewire"

help: ## Show this
	@awk 'BEGIN { FS = ":.*## " } \
		/^[a-z0-9-]+:.*## / || joined { if (joined) { $$0 = joined $$0; joined = "" } } \
		/^[a-z0-9-]+:.*\\$$/ { joined = $$0; sub(/\\$$/, "", joined); next } \
		/^[a-z0-9-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@sed -n 's/^#   \([A-Z].*\)/  \1/p' $(firstword $(MAKEFILE_LIST)) | grep =
