# Makefile - build, test and install TinyCLIP. `make help` lists the targets.
#
# Everything is found with pkg-config, except oneDNN and giflib, which Debian ships without a .pc file.
# Sources are found by folder: src/*/ is the library, cli/ the program, tests/ one program a file.

CC ?= gcc
PKG_CONFIG ?= pkg-config
B ?= build
PREFIX ?= /usr/local
VERSION := 0.1.0

PKGS := libjpeg libpng libwebp libwebpdemux libutf8proc jansson zlib libzip nettle
# libcurl is loaded when it is needed, not linked (src/zoo/libcurl.h).
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Isrc $(shell $(PKG_CONFIG) --cflags $(PKGS) libcurl)
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla
OPT ?= -O2 -g
CFLAGS += -std=c11 $(OPT) $(WARN) -fPIC -fopenmp -ffp-contract=off -fno-math-errno -fvisibility=hidden
LDLIBS := $(shell $(PKG_CONFIG) --libs $(PKGS)) -lgif -ldnnl -lm -lpthread
LDFLAGS += -fopenmp

LIB_SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
DATA_OBJ := $(B)/obj/data/embedded.o
CLI_SRC := $(sort $(wildcard cli/*.c))
CLI_OBJ := $(CLI_SRC:%.c=$(B)/obj/%.o)

all: $(B)/tinyclip $(B)/libtinyclip.a $(B)/libtinyclip.so $(B)/tinyclip.pc

# One translation unit a set of instructions, each with its own flags; nothing else is compiled for more than the base machine.
$(B)/obj/src/kern/x86/avx2_%.o: CFLAGS += -mavx2 -mfma -mf16c -O3
$(B)/obj/src/kern/x86/avx512_%.o: CFLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512 -O3

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Files under data/ and configs/ that the program carries: data/embed.list names them; an assembler file includes their bytes.
EMBEDDED := $(shell cat data/embed.list 2>/dev/null)
$(B)/embedded.S: data/embed.list $(EMBEDDED) data/embed.sh
	@mkdir -p $(@D)
	sh data/embed.sh tc_file_ $(EMBEDDED) >$@
$(DATA_OBJ): $(B)/embedded.S
	@mkdir -p $(@D)
	$(CC) -c $< -o $@

# The program has files of its own.
CLI_EMBEDDED := examples/demo-teacher.json examples/demo-student.json
CLI_OBJ += $(B)/obj/cli/embedded.o
$(B)/cli_embedded.S: $(CLI_EMBEDDED) data/embed.sh
	@mkdir -p $(@D)
	sh data/embed.sh cli_file_ $(CLI_EMBEDDED) >$@
$(B)/obj/cli/embedded.o: $(B)/cli_embedded.S
	@mkdir -p $(@D)
	$(CC) -c $< -o $@

$(B)/libtinyclip.a: $(LIB_OBJ) $(DATA_OBJ)
	rm -f $@
	$(AR) rcs $@ $^
$(B)/libtinyclip.so: $(LIB_OBJ) $(DATA_OBJ)
	$(CC) -shared -Wl,-soname,libtinyclip.so.0 $(LDFLAGS) -o $@ $(LIB_OBJ) $(DATA_OBJ) $(LDLIBS)
$(B)/tinyclip: $(CLI_OBJ) $(B)/libtinyclip.a
	$(CC) $(LDFLAGS) -o $@ $(CLI_OBJ) $(B)/libtinyclip.a $(LDLIBS)
$(B)/tinyclip.pc: Makefile
	@mkdir -p $(@D)
	printf 'prefix=%s\nlibdir=$${prefix}/lib\nincludedir=$${prefix}/include\n\nName: tinyclip\nDescription: Small CLIP models: distillation, inference and evaluation\nVersion: %s\nRequires.private: %s\nLibs: -L$${libdir} -ltinyclip\nLibs.private: -lgif -ldnnl -lgomp -lm -lpthread\nCflags: -I$${includedir}\n' '$(PREFIX)' '$(VERSION)' '$(PKGS)' >$@

include tests/tests.mk
include tests/parity.mk

help:
	@echo 'make            build/tinyclip, libtinyclip.a, libtinyclip.so, tinyclip.pc'
	@echo 'make check      all tests; the last line is "N passed, N failed, N skipped"'
	@echo 'make golden     golden tests at every CPU level, GOLDENS=DIR for another set'
	@echo 'make asan       all tests with the address and undefined-behaviour sanitizers'
	@echo 'make fuzz       new inputs for the readers of files, FUZZ_SECONDS=60 each'
	@echo 'make bench      speed of the kernels and of a model'
	@echo 'make parity     the same work in transformers and open_clip (PyPI), side by side'
	@echo 'make peers      speed beside ONNX Runtime, OpenVINO and PyTorch (PyPI)'
	@echo 'make install    PREFIX=/usr/local DESTDIR='

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(B)/tinyclip $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(B)/libtinyclip.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(B)/libtinyclip.so $(DESTDIR)$(PREFIX)/lib/libtinyclip.so.0
	ln -sf libtinyclip.so.0 $(DESTDIR)$(PREFIX)/lib/libtinyclip.so
	install -m 644 $(B)/tinyclip.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	install -m 644 include/tinyclip.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 docs/tinyclip.1 $(DESTDIR)$(PREFIX)/share/man/man1/

clean:
	rm -rf $(B)/obj $(B)/tests $(B)/f64 $(B)/tinyclip $(B)/libtinyclip.* $(B)/tinyclip.pc $(B)/*embedded.S

.PHONY: all install clean help
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
