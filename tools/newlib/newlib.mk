# The subset of newlib that the kernel uses, compiled straight from the unpacked tarball.
# tools/newlib/build starts this in a make of its own: which files there are is only known once the
# tarball has been unpacked, and mostly nothing of this runs at all, since the result is cached.
#
# Given by the caller: SRC (newlib's libc/), DIR (where to build), NEWLIB_CC (compiler and flags),
# AR, and V as in the main Makefile.

# No mem functions (the kernel's own are kinder to the cache) and nothing with a stream in it.
SOURCES := \
	ctype/ctype_.c ctype/isalnum.c ctype/isalpha.c ctype/iscntrl.c ctype/isdigit.c \
	ctype/islower.c ctype/isprint.c ctype/ispunct.c ctype/isspace.c ctype/isupper.c \
	ctype/isxdigit.c ctype/tolower.c ctype/toupper.c \
	errno/errno.c \
	locale/locale.c locale/localeconv.c \
	misc/lock.c \
	reent/impure.c reent/reent.c reent/sbrkr.c \
	search/bsearch.c search/qsort.c \
	stdio/snprintf.c stdio/vsnprintf.c \
	stdlib/abs.c stdlib/atoi.c stdlib/atol.c stdlib/atoll.c stdlib/calloc.c stdlib/div.c \
	stdlib/labs.c stdlib/ldiv.c stdlib/llabs.c stdlib/lldiv.c stdlib/malloc.c \
	stdlib/mbtowc_r.c stdlib/mlock.c stdlib/realloc.c stdlib/strtol.c stdlib/strtoll.c \
	stdlib/strtoul.c stdlib/strtoull.c stdlib/wctomb_r.c \
	string/memccpy.c string/memchr.c string/memmem.c string/memrchr.c string/stpcpy.c \
	string/strcasecmp.c string/strcasestr.c string/strcat.c string/strchr.c \
	string/strchrnul.c string/strcmp.c string/strcpy.c string/strcspn.c string/strdup.c \
	string/strdup_r.c string/strlcat.c string/strlcpy.c string/strlen.c \
	string/strncasecmp.c string/strncat.c string/strncmp.c string/strncpy.c \
	string/strndup.c string/strndup_r.c string/strnlen.c string/strpbrk.c \
	string/strrchr.c string/strsep.c string/strspn.c string/strstr.c string/strtok_r.c

# printf's core for strings and the allocator: later versions of newlib have a file for each part,
# version 3 takes the parts out of one file by macros. Of newlib's two allocators it is the larger
# one, since the small one aligns to 8 bytes where gcc expects 16.
SOURCES += stdio/svfprintf.c stdio/svfiprintf.c stdio/ssputs_r.c stdio/ssprint_r.c \
	stdlib/freer.c stdlib/callocr.c stdlib/malign.c stdlib/malignr.c stdlib/reallocr.c \
	stdlib/msizer.c
ifneq ($(wildcard $(SRC)/stdlib/freer.c),)
SOURCES += stdlib/mallocr.c
PARTS := streams.o
else
PARTS := stdio/svfprintf.o stdio/svfiprintf.o $(patsubst %,mallocr/%.o, \
	MALLOC FREE CALLOC MEMALIGN REALLOC MALLOC_USABLE_SIZE)
endif

# Another version of newlib may lack a file; whether that matters the trial link will tell.
PRESENT := $(foreach s,$(SOURCES),$(if $(wildcard $(SRC)/$(s)),$(s)))
OBJECTS := $(patsubst %.c,$(DIR)/%.o,$(PRESENT)) $(PARTS:%=$(DIR)/%)

$(DIR)/libc.a: $(OBJECTS)
	@rm -f $@
	$(if $(V),,@)$(AR) rcsD $@ $(OBJECTS)

# MALLOC_ALIGNMENT: this allocator can do better than 8 bytes, if told so.
$(DIR)/%.o: $(SRC)/%.c
	@mkdir -p $(@D)
	$(if $(V),,@)$(NEWLIB_CC) -DMALLOC_ALIGNMENT=16 -c $< -o $@

$(DIR)/streams.o: $(dir $(lastword $(MAKEFILE_LIST)))streams.c
	@mkdir -p $(@D)
	$(if $(V),,@)$(NEWLIB_CC) -c $< -o $@

ifeq ($(wildcard $(SRC)/stdlib/freer.c),)
$(DIR)/stdio/svfprintf.o: $(SRC)/stdio/vfprintf.c
	@mkdir -p $(@D)
	$(if $(V),,@)$(NEWLIB_CC) -DSTRING_ONLY -c $< -o $@

# Only this one has what both share.
$(DIR)/stdio/svfiprintf.o: $(SRC)/stdio/vfprintf.c
	@mkdir -p $(@D)
	$(if $(V),,@)$(NEWLIB_CC) -DSTRING_ONLY -DINTEGER_ONLY -c $< -o $@

$(DIR)/mallocr/%.o: $(SRC)/stdlib/mallocr.c
	@mkdir -p $(@D)
	$(if $(V),,@)$(NEWLIB_CC) -DMALLOC_ALIGNMENT=16 -DDEFINE_$* -c $< -o $@
endif
