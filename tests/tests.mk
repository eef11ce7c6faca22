# tests.mk - every test program prints TAP; tests/run.sh adds the lines up and closes with "N passed, N failed, N skipped".
#
#   tests/unit/*.c, tests/kern/*.c, tests/ops/*.c   cmocka programs, linked with the library
#   tests/golden/*.c                                one program, golden cases of any folder of the layout
#   tests/cli/*.sh, tests/style/*.sh                shell scripts, given the build folder
#   tests/portability/test_*.sh                     other compilers, C libraries and machines, as far as they are installed
#   tests/fuzz/fuzz_*.c                             libFuzzer targets; their corpora are replayed by `make check`

GOLDENS ?= tests/data/goldens
TEST_CFLAGS := $(shell $(PKG_CONFIG) --cflags cmocka 2>/dev/null) -Itests
TEST_LIBS := $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null)

UNIT := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c tests/kern/test_*.c)))
# The double build: the same sources with TC_REAL=double and plain C kernels, for gradients against central differences.
F64 := $(patsubst tests/%.c,$(B)/f64/%,$(sort $(wildcard tests/ops/test_*.c)))
F64_OBJ := $(PLAIN_SRC:%.c=$(B)/f64/obj/%.o)
GOLDEN_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/golden/*.c)))

$(B)/f64/obj/%.o: %.c | $(B)/needs
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) -DTC_REAL=double $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(B)/f64/libtinyclip.a: $(F64_OBJ) $(DATA_OBJ)
	@rm -f $@
	$(call say,AR)$(AR) rcsD $@ $^
$(B)/f64/%: tests/%.c $(B)/f64/libtinyclip.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CPPFLAGS) -DTC_REAL=double $(TEST_CFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< \
	    $(B)/f64/libtinyclip.a $(TEST_LIBS) $(filter-out -ldnnl -lgomp,$(ALL_LIBS))
$(B)/tests/%: tests/%.c $(B)/libtinyclip.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CPPFLAGS) $(TEST_CFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(WRAP) -o $@ $< $(B)/libtinyclip.a $(TEST_LIBS) $(ALL_LIBS)
# The calls by which files are written go through the test, which lets them fail.
$(B)/tests/unit/test_checkpoint: WRAP := -Wl,--wrap=fopen,--wrap=fwrite,--wrap=fflush,--wrap=fclose,--wrap=fsync,--wrap=rename
$(B)/tests/unit/test_report: WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(B)/tests/unit/test_cached_runs: WRAP := -Wl,--wrap=pwrite,--wrap=fsync,--wrap=fdatasync
$(B)/obj/tests/golden/%.o: TC_CPPFLAGS += -Itests
$(B)/tests/golden-run: $(GOLDEN_OBJ) $(B)/libtinyclip.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

# A fuzz target linked with replay.c runs over the files of its corpus; with libFuzzer (make fuzz) it looks for new ones.
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAY := $(FUZZ:%=$(B)/tests/fuzz/replay_%)
$(B)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(B)/libtinyclip.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CPPFLAGS) $(TEST_CFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< tests/fuzz/replay.c $(B)/libtinyclip.a $(ALL_LIBS)

# What the tests of the program call beside it.
HELPERS := $(B)/tests/cli/serve $(B)/tests/cli/make_weights $(B)/tests/cli/json_keys

# The tests' own needs: cmocka, and for tests/style a C++ compiler.
$(UNIT) $(F64): | cmocka
cmocka:
	@$(PKG_CONFIG) --exists cmocka || { echo 'make: the tests need cmocka, see docs/INSTALL.md' >&2; exit 1; }

check: all $(UNIT) $(F64) $(REPLAY) $(HELPERS) $(B)/tests/golden-run
	sh tests/run.sh $(B) check
golden: all $(B)/tests/golden-run
	sh tests/run.sh $(B) golden $(GOLDENS)

# Everything again with the address and undefined-behaviour sanitizers, in a build folder of its own.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
asan:
	$(MAKE) B=$(B)/asan OPT='-O1 -g $(SANITIZE)' check

# All tests on arm64, cross-built and run by qemu-user, where both are installed; arm64-root fetches Debian's libraries for it.
ARM64_ROOT ?= build/arm64-root
export ARM64_ROOT
cross-check:
	+@sh tests/portability/arm64.sh $(B)/arm64
arm64-root:
	sh tests/portability/arm64_root.sh $(ARM64_ROOT)

# New inputs for every target (or FUZZ=zip), FUZZ_SECONDS each; needs clang and its compiler-rt. The library is built once for all.
FUZZ_SECONDS ?= 60
FUZZ_CFLAGS := -std=c11 -O1 -g -fno-sanitize-recover=all
FUZZ_OBJ := $(patsubst %.c,$(B)/fuzz/obj/%.o,$(PLAIN_SRC))
$(B)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)clang $(ALL_CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c $< -o $@
$(B)/fuzz/libtinyclip.a: $(FUZZ_OBJ) $(DATA_OBJ)
	@rm -f $@
	$(call say,AR)$(AR) rcsD $@ $^
$(B)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(B)/fuzz/libtinyclip.a
	$(call say,LD)clang $(ALL_CPPFLAGS) -Itests $(FUZZ_CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $< $(B)/fuzz/libtinyclip.a \
	    $(filter-out -ldnnl -lgomp,$(ALL_LIBS))
fuzz: $(FUZZ:%=$(B)/fuzz/fuzz_%)
	for t in $(FUZZ); do \
	    mkdir -p $(B)/fuzz/new-$$t && \
	    $(B)/fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -print_final_stats=0 \
	        -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/new-$$t tests/fuzz/corpus/$$t || exit 1; \
	done

bench: all $(B)/bench_kern
	$(B)/bench_kern
	$(B)/tinyclip bench TinyCLIP-ViT-40M-32-Text-19M --teacher ViT-B-32
$(B)/bench_kern: bench/bench_kern.c $(B)/libtinyclip.a
	$(call say,LD)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(B)/libtinyclip.a $(ALL_LIBS)

.PHONY: cmocka check golden asan cross-check arm64-root fuzz bench
-include $(F64_OBJ:.o=.d) $(GOLDEN_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d)
