# barewire's one Makefile. `make help` lists what it can do.
#
# While it is being read it calls no other program, so that git and make are enough to start with;
# whatever must be asked of the machine is asked inside a recipe. Everything built lands in $(OUT).
#
#   V=1       show the commands           OUT=dir      build there instead of in build/
#   JOBS=N    system tests side by side
#   YES=1     install without asking      CMDLINE='…'  words for the kernel in the ISO's grub.cfg

OUT ?= build
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
	kernel/main.c kernel/config.c kernel/settings.c \
	kernel/image.c kernel/memory.c kernel/paging.c \
	kernel/trap.S kernel/trap.c kernel/interrupt.c kernel/pic.c kernel/lapic.c \
	kernel/panic.c kernel/backtrace.c kernel/fault.c \
	kernel/clock.c kernel/calibrate.c kernel/acpi.c kernel/power.c kernel/button.c \
	kernel/uart.c kernel/json.c kernel/channel.c kernel/editor.c kernel/console.c \
	kernel/log.c kernel/history.c \
	kernel/syscalls.c kernel/string.c

# drivers: PCI and virtio
PCI := drivers/pci.c drivers/pci_scan.c
DRIVERS_SOURCES := \
	$(PCI) drivers/pci_interrupt.c drivers/i6300esb.c \
	drivers/virtqueue.c drivers/virtqueue_packed.c \
	drivers/virtio.c drivers/virtio_pci_region.c \
	drivers/virtio_pci_legacy.c drivers/virtio_pci_modern.c \
	drivers/virtio_net_features.c drivers/virtio_net_negotiate.c drivers/virtio_net_queues.c \
	drivers/virtio_net_control.c drivers/virtio_net_data.c \
	drivers/virtio_net_header.c drivers/virtio_net_offload.c drivers/virtio_net_chain.c \
	drivers/virtio_net_interrupt.c \
	drivers/virtio_net_settings.c drivers/virtio_net_recovery.c drivers/virtio_net_link.c drivers/virtio_net_rewire.c \
	drivers/virtio_net_plug.c drivers/virtio_net.c \
	drivers/pci_assign.c drivers/pci_hotplug.c drivers/ports.c

# net: packets, lanes and the loop that moves them
NET_SOURCES := \
	net/pool.c net/allot.c net/assembly.c net/forward.c net/lane.c net/idle.c net/loop.c net/stats.c \
	net/wiring.c net/monitor.c net/monitor_questions.c net/monitor_orders.c

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
.PHONY: run top debug demo

export CMDLINE DURATION PCAP TAP0 TAP1 CONSOLE PROMETHEUS RECORD PLOT

run: $(OUT)/barewire.elf $(OUT)/capture.pcap ## Boot in QEMU, send frames across and compare them
	@tools/run --kernel $(OUT)/barewire.elf --capture $(OUT)/capture.pcap

top: $(OUT)/barewire.elf $(OUT)/capture.pcap ## Watch the machine behind CONSOLE=socket live, or one of its own
	@tools/top --kernel $(OUT)/barewire.elf --capture $(OUT)/capture.pcap

debug: $(OUT)/barewire.elf $(OUT)/barewire.debug ## QEMU stopped at the kernel's entry, gdb attached
	@tools/debug --kernel $(OUT)/barewire.elf --symbols $(OUT)/barewire.debug

demo: $(OUT)/barewire.elf ## As root: ping, iperf3 and HTTP between two namespaces; then against a Linux bridge
	@tools/demo --kernel $(OUT)/barewire.elf --race

$(OUT)/capture.pcap: tools/make-capture | packages
	@mkdir -p $(@D)
	$(say) PCAP $@
	$(Q)tools/make-capture $@

# ---- Host tests -------------------------------------------------------------------------------
# Units on Linux, under ASAN and UBSAN. tests/host/sim/machine/ takes the place of the kernel's half of
# the seam by standing first in the include path. HOST_TEST_name lists what tests/host/test_name.c
# is linked with.

SIMULATION := tests/host/sim/machine.c tests/host/sim/operator.c tests/host/sim/bus.c
SIMULATED_DEVICE := tests/host/sim/virtio_net.c tests/host/sim/virtio_legacy.c \
	tests/host/sim/virtio_modern.c tests/host/sim/virtio_interrupt.c tests/host/sim/virtqueue.c \
	tests/host/sim/split.c tests/host/sim/packed.c

HOST_TESTS := boot_info memory paging backtrace pci virtqueue virtqueue_packed virtio_net virtio_modern virtio_net_data virtio_net_offload virtio_net_chain \
	virtio_net_breach virtio_net_recovery virtio_net_control virtio_net_multiqueue virtio_net_filter \
	virtio_net_interrupt pci_interrupt pci_assign pci_hotplug i6300esb wakeup idle \
	hostile_ring hostile_shared hostile_device hostile_time adversary rewire link ports lane assembly wiring \
	loop monitor \
	config log history json editor console clock calibrate acpi power string
HOST_TEST_boot_info := boot/boot_info.c tests/host/sim/boot/physical.c
HOST_TEST_memory := kernel/memory.c
HOST_TEST_paging := kernel/paging.c
HOST_TEST_backtrace := kernel/backtrace.c
HOST_TEST_config := kernel/config.c $(SIMULATION)
CONSOLE := kernel/console.c kernel/channel.c kernel/editor.c kernel/json.c kernel/uart.c \
	tests/host/sim/uart.c
HOST_TEST_log := kernel/log.c kernel/history.c $(CONSOLE)
HOST_TEST_history := kernel/history.c $(SIMULATION)
HOST_TEST_editor := kernel/editor.c tests/host/sim/terminal.c
HOST_TEST_json := kernel/json.c
HOST_TEST_console := kernel/log.c kernel/history.c $(CONSOLE)
HOST_TEST_clock := kernel/clock.c
HOST_TEST_calibrate := kernel/calibrate.c
HOST_TEST_acpi := kernel/acpi.c $(SIMULATION)
HOST_TEST_power := kernel/power.c kernel/button.c $(SIMULATION)
HOST_TEST_string := # the test includes kernel/string.c itself, under other names
HOST_TEST_pci := $(PCI) $(SIMULATION)
HOST_TEST_virtqueue := $(filter drivers/virtqueue%,$(DRIVERS_SOURCES)) $(SIMULATION)
HOST_TEST_virtqueue_packed := $(HOST_TEST_virtqueue)
# ports.c knows the assembly, and so all of net/
DRIVERS_ALONE := $(filter-out drivers/ports.c,$(DRIVERS_SOURCES))
VIRTIO_BENCH := $(DRIVERS_ALONE) net/pool.c tests/host/fixture/virtio_bench.c $(SIMULATED_DEVICE) \
	$(SIMULATION)
HOST_TEST_virtio_net := $(VIRTIO_BENCH)
HOST_TEST_virtio_modern := $(VIRTIO_BENCH)
HOST_TEST_virtio_net_data := $(VIRTIO_BENCH)
HOST_TEST_virtio_net_breach := $(VIRTIO_BENCH)
HOST_TEST_virtio_net_recovery := $(VIRTIO_BENCH)
HOST_TEST_virtio_net_control := $(VIRTIO_BENCH)
HOST_TEST_virtio_net_multiqueue := $(VIRTIO_BENCH)
HOST_TEST_virtio_net_filter := $(VIRTIO_BENCH)
WIRE_BENCH := $(VIRTIO_BENCH) drivers/ports.c tests/host/fixture/wire_bench.c $(filter-out net/pool.c,$(NET_SOURCES))
HOST_TEST_hostile_ring := $(WIRE_BENCH)
HOST_TEST_hostile_shared := $(VIRTIO_BENCH) tests/host/fixture/access_watch.c
HOST_TEST_hostile_device := $(WIRE_BENCH)
HOST_TEST_hostile_time := $(WIRE_BENCH)
OFFLOAD_BENCH := $(WIRE_BENCH) tests/host/fixture/offload_bench.c
HOST_TEST_virtio_net_offload := $(OFFLOAD_BENCH)
HOST_TEST_virtio_net_chain := $(OFFLOAD_BENCH)
HOST_TEST_rewire := $(WIRE_BENCH)
HOST_TEST_link := $(WIRE_BENCH)
HOST_TEST_ports := $(WIRE_BENCH)
ADVERSARY := $(addprefix tests/host/fixture/,adversary.c adversary_ring.c adversary_frame.c) \
	$(addprefix tests/host/oracle/,referee.c referee_ring.c referee_header.c) $(DRIVERS_ALONE) \
	net/pool.c net/lane.c net/forward.c $(SIMULATED_DEVICE) $(SIMULATION)
HOST_TEST_adversary := $(ADVERSARY)
HOST_TEST_idle := $(NET_SOURCES) tests/host/fixture/memory_port.c $(SIMULATION)
HOST_TEST_i6300esb := $(PCI) drivers/i6300esb.c $(SIMULATION)
HOST_TEST_pci_assign := $(PCI) drivers/pci_assign.c $(SIMULATION)
HOST_TEST_pci_hotplug := $(PCI) drivers/pci_hotplug.c $(SIMULATION)
HOST_TEST_pci_interrupt := $(PCI) drivers/pci_interrupt.c $(SIMULATION)
HOST_TEST_virtio_net_interrupt := $(WIRE_BENCH)
HOST_TEST_wakeup := drivers/virtqueue_packed.c $(SIMULATION) # the test includes drivers/virtqueue.c itself, with atomics of its own
HOST_TEST_lane := net/lane.c net/forward.c net/pool.c tests/host/fixture/memory_port.c $(SIMULATION)
HOST_TEST_wiring := net/wiring.c net/allot.c net/lane.c net/forward.c net/pool.c \
	tests/host/fixture/memory_port.c \
	$(SIMULATION)
HOST_TEST_assembly := net/assembly.c net/allot.c net/wiring.c net/lane.c net/forward.c net/pool.c \
	tests/host/fixture/memory_port.c $(SIMULATION)
HOST_TEST_loop := $(NET_SOURCES) tests/host/fixture/memory_port.c $(SIMULATION)
HOST_TEST_monitor := $(HOST_TEST_loop)

HOST_FLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing \
	-fsanitize=address,undefined -fno-sanitize-recover=all $(WARNINGS)
HOST_INCLUDES := -Itests/host/sim -I. -Ikernel
HOST_SOURCES = $(sort $(foreach t,$(HOST_TESTS),tests/host/test_$(t).c $(HOST_TEST_$(t))) \
	tests/fuzz/replay.c $(FUZZ_SOURCES))
HOST_OBJECTS = $(HOST_SOURCES:%=$(OUT)/host/%.o)
HOST_PROGRAMS = $(HOST_TESTS:%=$(OUT)/host/test_%) $(FUZZ_TARGETS:%=$(OUT)/host/replay_%)

$(OUT)/host/%.c.o: %.c $(OUT)/host/flags | packages
	@mkdir -p $(@D)
	$(say) HOSTCC $<
	$(Q)$(CC) $(HOST_FLAGS) $(HOST_INCLUDES) -MMD -MP -c $< -o $@

$(OUT)/host/flags: FORCE
	@printf '%s\n' '$(CC) $(HOST_FLAGS)' | { $(update); }

define host_program
$(OUT)/host/test_$(1): $(patsubst %,$(OUT)/host/%.o,tests/host/test_$(1).c $(HOST_TEST_$(1)))
	$$(say) HOSTLD $$@
	$$(Q)$$(CC) $$(HOST_FLAGS) $$^ -lcmocka -o $$@
endef
$(foreach t,$(HOST_TESTS),$(eval $(call host_program,$(t))))

# ---- Fuzzing ----------------------------------------------------------------------------------
# FUZZ_TARGET_name lists what tests/fuzz/fuzz_name.c is linked with. Each becomes a program twice: by
# clang with libFuzzer for `make fuzz`, by gcc for `make test`, where it goes through its corpus once.
.PHONY: fuzz coverage

FUZZ_TARGETS := ring transport pci frames header boot cmdline wiring acpi console
FUZZ_TARGET_ring := $(ADVERSARY)
FUZZ_TARGET_transport := tests/host/fixture/adversary_frame.c tests/host/oracle/referee_header.c \
	$(filter-out tests/host/fixture/% tests/host/oracle/%,$(ADVERSARY))
FUZZ_TARGET_pci := $(PCI) $(SIMULATION)
FUZZ_TARGET_frames := net/lane.c net/forward.c net/pool.c tests/host/fixture/memory_port.c $(SIMULATION)
FUZZ_TARGET_header := drivers/virtio_net_header.c $(SIMULATION)
FUZZ_TARGET_boot := $(HOST_TEST_boot_info) $(SIMULATION)
FUZZ_TARGET_cmdline := $(HOST_TEST_config)
FUZZ_TARGET_wiring := $(HOST_TEST_wiring)
FUZZ_TARGET_acpi := $(HOST_TEST_acpi)
FUZZ_TARGET_console := kernel/editor.c kernel/json.c tests/host/sim/terminal.c $(HOST_TEST_loop)
FUZZ_SOURCES = $(sort $(foreach t,$(FUZZ_TARGETS),tests/fuzz/fuzz_$(t).c $(FUZZ_TARGET_$(t))))

-include $(FUZZ_SOURCES:%=$(OUT)/host/%.d)

define replay_program
$(OUT)/host/replay_$(1): $(patsubst %,$(OUT)/host/%.o,tests/fuzz/replay.c tests/fuzz/fuzz_$(1).c \
		$(FUZZ_TARGET_$(1)))
	$$(say) HOSTLD $$@
	$$(Q)$$(CC) $$(HOST_FLAGS) $$^ -o $$@
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call replay_program,$(t))))

# The engine watches which branches are taken, but those of the simulated machine tell it nothing.
FUZZ_CC := clang
FUZZ_WATCH = $(if $(filter tests/host/sim/% tests/host/oracle/%,$<),,fuzzer-no-link,)
FUZZ_OBJECTS = $(FUZZ_SOURCES:%=$(OUT)/fuzz/obj/%.o)

$(OUT)/fuzz/obj/%.c.o: %.c $(OUT)/fuzz/flags | packages
	@mkdir -p $(@D)
	$(say) FUZZCC $<
	$(Q)$(FUZZ_CC) $(HOST_FLAGS) $(HOST_INCLUDES) -fsanitize=$(FUZZ_WATCH)address -MMD -MP -c $< -o $@

$(OUT)/fuzz/flags: FORCE
	@printf '%s\n' '$(FUZZ_CC) $(HOST_FLAGS)' | { $(update); }

define fuzz_program
$(OUT)/fuzz/fuzz_$(1): $(patsubst %,$(OUT)/fuzz/obj/%.o,tests/fuzz/fuzz_$(1).c $(FUZZ_TARGET_$(1)))
	$$(say) FUZZLD $$@
	$$(Q)$$(FUZZ_CC) $$(HOST_FLAGS) -fsanitize=fuzzer $$^ -o $$@
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_program,$(t))))

-include $(FUZZ_OBJECTS:.o=.d) $(HOST_OBJECTS:.o=.d)

TARGET ?= $(FUZZ_TARGETS)

fuzz: $(TARGET:%=$(OUT)/fuzz/fuzz_%) ## Fuzz each target, or TARGET=ring, for TIME=60 seconds
	@tests/fuzz/run $(OUT)/fuzz $(or $(TIME),60) $(TARGET)

# Counts of branches, by clang: what the units and the corpora of the fuzz targets reach.
COVERAGE_FLAGS = -std=gnu11 -O1 -g -fno-strict-aliasing \
	-fprofile-instr-generate -fcoverage-mapping $(WARNINGS) $(HOST_INCLUDES)
COVERAGE_PROGRAMS = $(HOST_PROGRAMS:$(OUT)/host/%=$(OUT)/coverage/%)

$(OUT)/coverage/obj/%.c.o: %.c | packages
	@mkdir -p $(@D)
	$(say) COVCC $<
	$(Q)$(FUZZ_CC) $(COVERAGE_FLAGS) -MMD -MP -c $< -o $@

# Linked from the same files as its namesake among the host programs.
define coverage_program
$(OUT)/coverage/$(notdir $(1)): $(patsubst %,$(OUT)/coverage/obj/%.o,$(2))
	$$(say) COVLD $$@
	$$(Q)$$(FUZZ_CC) $$(COVERAGE_FLAGS) $$^ -lcmocka -o $$@
endef
$(foreach t,$(HOST_TESTS),$(eval $(call coverage_program,test_$(t),\
	tests/host/test_$(t).c $(HOST_TEST_$(t)))))
$(foreach t,$(FUZZ_TARGETS),$(eval $(call coverage_program,replay_$(t),\
	tests/fuzz/replay.c tests/fuzz/fuzz_$(t).c $(FUZZ_TARGET_$(t)))))

-include $(HOST_SOURCES:%=$(OUT)/coverage/obj/%.d)

coverage: $(COVERAGE_PROGRAMS) ## Branches of drivers/ and net/ that units and fuzz corpora take
	@tools/coverage $(OUT)/coverage $(OUT)/fuzz $(COVERAGE_PROGRAMS)

# ---- Tests ------------------------------------------------------------------------------------
.PHONY: test test-host test-qemu test-virtio soak

test: $(HOST_PROGRAMS) all $(OUT)/capture.pcap ## Units and system tests; ends with 'N passed, N failed'
	@PYTHON='$(PYTHON)' tools/test $(OUT) $(HOST_PROGRAMS) --system $(TESTS)

test-host: $(HOST_PROGRAMS) ## Only the units, on this machine; a few seconds
	@tools/test $(OUT) $(HOST_PROGRAMS)

test-qemu: all $(OUT)/capture.pcap ## Only the system tests; TESTS='-k pvh' goes to pytest
	@PYTHON='$(PYTHON)' tools/test $(OUT) --system $(TESTS)

test-virtio: all ## Every form of QEMU's card, DPDK, vhost-net: some minutes
	@PYTHON='$(PYTHON)' tools/test $(OUT) --system -m virtio -rs $(TESTS)

soak: all ## Links, cards, resets, orders, lone frames for DURATION=600 seconds, and as long again
	@BAREWIRE_SOAK_S=$(or $(DURATION),600) PYTHON='$(PYTHON)' \
		BAREWIRE_SOAK_SEED=$${BAREWIRE_SOAK_SEED:-$$(date +%s)} JOBS=1 \
		tools/test $(OUT) --system -k test_soak -s

# ---- Benchmarks -------------------------------------------------------------------------------
# Nothing is asserted. Instructions and cache lines are exact; times depend on the machine.
.PHONY: bench bench-peers

BENCH_SOURCES := tests/bench/native.c tests/bench/ring_device.c $(DRIVERS_SOURCES) $(NET_SOURCES) \
	$(SIMULATED_DEVICE) $(SIMULATION)

# The kernel's own flags, so that what is measured is what the kernel runs. In the kernel a physical
# address is a pointer, so here it is one too. What stands around the data path computes with doubles.
BENCH_FLAGS = $(filter-out $(if $(filter tests/%,$<),-mgeneral-regs-only),$(MACHINE_FLAGS)) -g -fno-strict-aliasing $(WARNINGS) -DPHYSICAL_OFFSET=0

$(OUT)/bench/obj/%.c.o: %.c $(OUT)/bench/flags | packages
	@mkdir -p $(@D)
	$(say) BENCHCC $<
	$(Q)$(CC) $(BENCH_FLAGS) $(FILE_FLAGS_$<) $(HOST_INCLUDES) -MMD -MP -c $< -o $@

$(OUT)/bench/flags: FORCE
	@printf '%s\n' '$(CC) $(BENCH_FLAGS) $(foreach s,$(BENCH_SOURCES),$(FILE_FLAGS_$(s)))' | \
		{ $(update); }

#   --wrap=io_write16          native.c answers doorbells in the simulated bus's place
#   -no-pie                    addresses are fixed, so that native.py can find variables in a trace
$(OUT)/bench/native: $(BENCH_SOURCES:%=$(OUT)/bench/obj/%.o)
	$(say) BENCHLD $@
	$(Q)$(CC) -no-pie -pthread -Wl,--wrap=io_write16 $^ -o $@

LARGE_SOURCES := tests/bench/large.c $(filter-out tests/bench/%,$(BENCH_SOURCES))
$(OUT)/bench/large: $(LARGE_SOURCES:%=$(OUT)/bench/obj/%.o)
	$(say) BENCHLD $@
	$(Q)$(CC) -no-pie $^ -o $@

-include $(BENCH_SOURCES:%=$(OUT)/bench/obj/%.d) $(OUT)/bench/obj/tests/bench/large.c.d

# What runs beside and inside QEMU to measure the whole of it.
BED_SOURCES := $(addprefix tests/bench/bed/,bed.c phases.c meter.c traffic.c vhost_user.c \
	device_queue.c split_queue.c packed_queue.c guest_memory.c)
ICOUNT_SOURCES := tests/bench/bed/icount.c
BED_PROGRAMS := $(OUT)/bench/bed $(OUT)/bench/icount.so
BENCH_PROGRAMS := $(OUT)/bench/native $(OUT)/bench/large $(BED_PROGRAMS)
BED_FLAGS = -std=gnu11 -O2 -g $(WARNINGS) -I.

$(OUT)/bench/bed: $(BED_SOURCES) $(wildcard tests/bench/bed/*.h) drivers/virtio_spec.h | packages
	@mkdir -p $(@D)
	$(say) BENCHLD $@
	$(Q)$(CC) $(BED_FLAGS) $(BED_SOURCES) -o $@

$(OUT)/bench/icount.so: $(ICOUNT_SOURCES) $(wildcard tests/bench/bed/*.h) | packages
	@mkdir -p $(@D)
	$(say) BENCHLD $@
	$(Q)$(CC) $(BED_FLAGS) -fPIC -shared $(ICOUNT_SOURCES) -o $@

bench: $(BENCH_PROGRAMS) elf ## Count what a frame costs; build/bench.json has all
	@PYTHONPATH=tools $(PYTHON) tests/bench/bench $(OUT)

bench-peers: $(BED_PROGRAMS) elf ## The same in QEMU beside a Linux bridge and DPDK, as ratios
	@PYTHONPATH=tools $(PYTHON) tests/bench/peers $(OUT)

.PHONY: bench-idle
bench-idle: $(OUT)/barewire.elf ## Processor share without traffic, latency of a lone frame: sleep and poll
	@tests/bench/idle $(OUT)

# ---- Checks -----------------------------------------------------------------------------------
# One stamp a check, so that -j runs them side by side and nothing is checked twice.
.PHONY: check check-reproducible conformance format

C_FILES = $(sort $(wildcard boot/*.[ch] kernel/*.[ch] kernel/machine/*.h drivers/*.[ch] net/*.[ch] \
	tests/host/*.[ch] tests/host/*/*.[ch] tests/host/*/*/*.[ch] tests/fuzz/*.[ch] tests/bench/*.[ch] \
	tests/bench/*/*.[ch]))
KERNEL_C_FILES = $(filter %.c,$(IMAGE_SOURCES))
ALL_SOURCES = $(sort $(IMAGE_SOURCES) $(HOST_SOURCES) $(BENCH_SOURCES) $(LARGE_SOURCES) \
	$(BED_SOURCES) 	$(ICOUNT_SOURCES))

check: check-format check-layers check-headers check-newlib check-readme check-conformance \
	check-tidy check-cppcheck $(HOST_PROGRAMS) \
	$(BENCH_PROGRAMS) ## Warnings, formatting, clang-tidy, cppcheck, layers, README, conformance
	@echo 'check: all passed'

.PHONY: check-format check-layers check-headers check-newlib check-readme check-conformance \
	check-tidy check-cppcheck

check-format: | packages
	$(say) CHECK 'formatting (mended by `make format`)'
	$(Q)clang-format --dry-run -Werror $(C_FILES)

check-layers: | packages
	$(say) CHECK 'layers, top level, lists of sources'
	$(Q)tools/check-layers $(ALL_SOURCES)

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
		/^[a-z-]+:.*## / || joined { if (joined) { $$0 = joined $$0; joined = "" } } \
		/^[a-z-]+:.*\\$$/ { joined = $$0; sub(/\\$$/, "", joined); next } \
		/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@sed -n 's/^#   \([A-Z].*\)/  \1/p' $(firstword $(MAKEFILE_LIST)) | grep =
