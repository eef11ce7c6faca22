# tests.mk - every test program prints TAP; tests/run.sh adds the lines up and closes with "N passed, N failed, N skipped".
#
#   tests/unit/*.c, tests/kern/*.c, tests/ops/*.c   cmocka programs, linked with the library
#   tests/golden/*.c                                one program, golden cases of any folder of the layout
#   tests/cli/*.sh, tests/style/*.sh                shell scripts, given the build folder
#   tests/fuzz/fuzz_*.c                             libFuzzer targets; their corpora are replayed by `make check`

GOLDENS ?= tests/data/goldens
TEST_CFLAGS := $(shell $(PKG_CONFIG) --cflags cmocka 2>/dev/null) -Itests
TEST_LIBS := $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null)

UNIT := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c tests/kern/test_*.c)))
# The double build: the same sources with TC_REAL=double and plain C kernels, for gradients against central differences.
F64 := $(patsubst tests/%.c,$(B)/f64/%,$(sort $(wildcard tests/ops/test_*.c)))
F64_SRC := $(filter-out src/kern/x86/% src/kern/dnnl%,$(LIB_SRC)) tests/ops/f64_levels.c
F64_OBJ := $(F64_SRC:%.c=$(B)/f64/obj/%.o)
GOLDEN_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/golden/*.c)))

$(B)/f64/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DTC_REAL=double $(CFLAGS) -MMD -MP -c $< -o $@
$(B)/f64/libtinyclip.a: $(F64_OBJ) $(DATA_OBJ)
	rm -f $@
	$(AR) rcs $@ $^
$(B)/f64/%: tests/%.c $(B)/f64/libtinyclip.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DTC_REAL=double $(TEST_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(B)/f64/libtinyclip.a $(TEST_LIBS) $(filter-out -ldnnl,$(LDLIBS))
$(B)/tests/%: tests/%.c $(B)/libtinyclip.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(TEST_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(B)/libtinyclip.a $(TEST_LIBS) $(LDLIBS)
$(B)/obj/tests/golden/%.o: CPPFLAGS += -Itests
$(B)/tests/golden-run: $(GOLDEN_OBJ) $(B)/libtinyclip.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

check: all $(UNIT) $(F64) $(B)/tests/golden-run
	sh tests/run.sh $(B) check
golden: all $(B)/tests/golden-run
	sh tests/run.sh $(B) golden $(GOLDENS)

.PHONY: check golden
-include $(F64_OBJ:.o=.d) $(GOLDEN_OBJ:.o=.d)
