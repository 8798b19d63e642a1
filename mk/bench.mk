# SPDX-License-Identifier: MIT
# Figures: each a ratio to a reference measured in the same run.  BENCH_ROUNDS=5 makes it quick.

BENCH_SOURCES := $(wildcard tests/bench/*.c)
BENCH_BINS := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_SOURCES))
SOAK_GRANTS ?= 1000000
# Rules name absolute paths.
BENCH_AT = $(abspath $(BUILD))

# The worker is linked as any other user of libwarder is; the rest may use every module.
$(BUILD)/bench/worker: $(BUILD)/obj/tests/bench/worker.o $(BUILD)/libwarder.a
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(LIB_LIBS) -lpthread

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(TEST_OBJ)
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(WARDER_LIBS) $(JSON_LIBS)

# Its session is the unit tests'.
$(BUILD)/bench/pipeline: $(BUILD)/obj/tests/bench/pipeline.o $(TEST_OBJ)
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(WARDER_LIBS) $(JSON_LIBS) -lcmocka

.PHONY: bench bench-build soak
bench-build: all $(BENCH_BINS)

bench: bench-build
	@status=0; \
	for figure in \
		"policy" \
		"open $(BENCH_AT)/warder $(BENCH_AT)/bench/worker" \
		"trap $(BENCH_AT)/warder $(BENCH_AT)/bench/worker" \
		"programs $(BENCH_AT)/warder $(BENCH_AT)/bench/worker" \
		"socket $(BENCH_AT)/warder" \
		"start $(BENCH_AT)/warder" \
		"echo" \
		"soak $(BENCH_AT)/warder $(BENCH_AT)/bench/worker $${BENCH_GRANTS:-50000}"; do \
		[ -x $(BUILD)/bench/$${figure%% *} ] || continue; \
		$(BUILD)/bench/$$figure || { echo "$$figure: could not measure (exit $$?)"; status=1; }; \
	done; exit $$status

soak: bench-build
	$(BUILD)/bench/soak $(BENCH_AT)/warder $(BENCH_AT)/bench/worker $(SOAK_GRANTS)
