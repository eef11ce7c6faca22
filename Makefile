# Makefile - build, test and install TinyCLIP. `make help` lists the targets, docs/INSTALL.md tells what can be chosen.
#
# Everything is found with pkg-config, except oneDNN and giflib, which Debian ships without a .pc file.
# Sources are found by folder: src/*/ is the library, cli/ the program, tests/ one program a file.
# CPPFLAGS, CFLAGS, LDFLAGS and LDLIBS are the user's; they come after what the project needs, which has names of its own.

CC ?= gcc
PKG_CONFIG ?= pkg-config
STRIP ?= strip
B ?= build
OPT ?= -O2 -g
VERSION := $(shell sed -n 's/^.define TC_VERSION "\(.*\)"/\1/p' include/tinyclip.h)
SONAME := libtinyclip.so.$(firstword $(subst ., ,$(VERSION)))

# Kernels are chosen by the compiler's target. oneDNN (DNNL=0: without) serves the levels above plain C, so that the others have no
# use for it; it is built with OpenMP, which nothing else here uses.
ARCH := $(if $(filter x86_64-%,$(shell $(CC) -dumpmachine)),x86,plain)
DNNL ?= 1
override DNNL := $(if $(filter x86,$(ARCH)),$(DNNL),0)

PKGS := libjpeg libpng libwebp libwebpdemux libutf8proc jansson zlib libzip nettle
# libcurl is loaded when it is needed, not linked (src/zoo/libcurl.h).
TC_CPPFLAGS := -D_GNU_SOURCE -Iinclude -Isrc $(shell $(PKG_CONFIG) --cflags $(PKGS) libcurl 2>/dev/null)
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla
# Objects are the same bytes in whatever folder they are built.
TC_CFLAGS := -std=c11 $(WARN) -fPIC -fopenmp-simd -ffp-contract=off -fno-math-errno -fvisibility=hidden \
    -ffile-prefix-map=$(CURDIR)=.
TC_LDFLAGS :=
TC_LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lgif $(if $(filter 0,$(DNNL)),,-ldnnl -lgomp) -lm -lpthread

ALL_CPPFLAGS = $(TC_CPPFLAGS) $(CPPFLAGS)
ALL_CFLAGS = $(TC_CFLAGS) $(OPT) $(KERN_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(TC_LDFLAGS) $(OPT) $(LDFLAGS)
ALL_LIBS = $(TC_LIBS) $(LDLIBS)

# A short line for each command; V=1 prints the commands.
ifneq ($(V),)
say =
else ifneq ($(findstring s,$(firstword -$(MAKEFLAGS))),)
say = @
else
say = @printf '  %-4s %s\n' $(1) $@;
endif

# What is left out of src/kern: here, and in builds with plain C alone (tests of gradients, fuzzing).
PLAIN_LACKS := src/kern/x86/% src/kern/dnnl%
LACKS := $(if $(filter x86,$(ARCH)),src/kern/plain_levels.c $(if $(filter 0,$(DNNL)),src/kern/dnnl%),$(PLAIN_LACKS))
ALL_SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
LIB_SRC := $(filter-out $(LACKS),$(ALL_SRC))
PLAIN_SRC := $(filter-out $(PLAIN_LACKS),$(ALL_SRC))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
DATA_OBJ := $(B)/obj/data/embedded.o
CLI_SRC := $(sort $(wildcard cli/*.c))
CLI_OBJ := $(CLI_SRC:%.c=$(B)/obj/%.o)

all: $(B)/tinyclip $(B)/libtinyclip.a $(B)/libtinyclip.so

# What has to be there before anything is compiled, once a build folder.
$(B)/needs:
	@mkdir -p $(B)
	@$(PKG_CONFIG) --print-errors --exists $(PKGS) libcurl || { echo 'make: a library is missing, see docs/INSTALL.md' >&2; exit 1; }
	@printf '#include <%s>\n' stdio.h gif_lib.h $(if $(filter 0,$(DNNL)),,oneapi/dnnl/dnnl.h) | \
	    $(CC) $(ALL_CPPFLAGS) -E -xc - >/dev/null || { echo 'make: a library is missing, see docs/INSTALL.md' >&2; exit 1; }
	@touch $@

$(B)/obj/src/kern/%: TC_CPPFLAGS += $(if $(filter 0,$(DNNL)),,-DTC_DNNL)
# One translation unit a set of instructions, each with its own flags; nothing else is compiled for more than the base machine.
$(B)/obj/src/kern/x86/avx2_%.o: KERN_CFLAGS := -mavx2 -mfma -mf16c -O3
$(B)/obj/src/kern/x86/avx512_%.o: KERN_CFLAGS := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512 -O3

$(B)/obj/%.o: %.c Makefile | $(B)/needs
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Files under data/ and configs/ that the program carries: data/embed.list names them; an assembler file includes their bytes.
EMBEDDED := $(shell cat data/embed.list 2>/dev/null)
$(B)/embedded.S: data/embed.list $(EMBEDDED) data/embed.sh
	@mkdir -p $(@D)
	$(call say,GEN)sh data/embed.sh tc_file_ $(EMBEDDED) >$@
# The program has files of its own.
CLI_EMBEDDED := examples/demo-teacher.json examples/demo-student.json
CLI_OBJ += $(B)/obj/cli/embedded.o
$(B)/cli_embedded.S: $(CLI_EMBEDDED) data/embed.sh
	@mkdir -p $(@D)
	$(call say,GEN)sh data/embed.sh cli_file_ $(CLI_EMBEDDED) >$@
$(DATA_OBJ): $(B)/embedded.S
$(B)/obj/cli/embedded.o: $(B)/cli_embedded.S
$(DATA_OBJ) $(B)/obj/cli/embedded.o:
	@mkdir -p $(@D)
	$(call say,AS)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(B)/libtinyclip.a: $(LIB_OBJ) $(DATA_OBJ)
	@rm -f $@
	$(call say,AR)$(AR) rcsD $@ $^
$(B)/libtinyclip.so: $(LIB_OBJ) $(DATA_OBJ)
	$(call say,LD)$(CC) -shared -Wl,-soname,$(SONAME) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)
$(B)/tinyclip: $(CLI_OBJ) $(B)/libtinyclip.a
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

include install.mk
include tests/tests.mk
include tests/parity.mk

help:
	@echo 'make                build/tinyclip, libtinyclip.a, libtinyclip.so; V=1 prints the commands'
	@echo 'make check          all tests; the last line is "N passed, N failed, N skipped"'
	@echo 'make golden         golden tests at every CPU level, GOLDENS=DIR for another set'
	@echo 'make asan           all tests with the address and undefined-behaviour sanitizers'
	@echo 'make cross-check    the tests on arm64 by qemu-user, ARM64_ROOT=DIR with its libraries ("make arm64-root")'
	@echo 'make fuzz           new inputs for the readers of files, FUZZ_SECONDS=60 each'
	@echo 'make bench          speed of the kernels and of a model'
	@echo 'make parity         the same work in transformers and open_clip (PyPI), side by side'
	@echo 'make peers          speed beside ONNX Runtime, OpenVINO and PyTorch (PyPI)'
	@echo 'make install        PREFIX=/usr/local BINDIR= LIBDIR= INCLUDEDIR= MANDIR= DESTDIR='
	@echo 'make install-strip  the same without symbols for debuggers'
	@echo 'make uninstall      removes what install puts there, given the same settings'

clean:
	rm -rf $(B)/obj $(B)/tests $(B)/f64 $(B)/tinyclip $(B)/libtinyclip.* $(B)/*embedded.S $(B)/needs

.PHONY: all clean help
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
