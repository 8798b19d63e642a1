# SPDX-License-Identifier: MIT
# Fuzzing: every tests/fuzz/NAME.c is a libFuzzer target, with seeds in tests/fuzz/corpus/NAME/.
#
#   make fuzz FUZZ_SECONDS=60 [FUZZ=policy]
#
# What a run adds to the corpus stays in build-fuzz/; what it finds becomes a file of
# tests/fuzz/corpus/NAME/ and a test.

FUZZ_SECONDS ?= 60
FUZZ_BUILD ?= build-fuzz
FUZZ_CC ?= clang
FUZZ ?= $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_BINS := $(addprefix $(BUILD)/fuzz/,$(FUZZ))

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(TEST_OBJ)
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -fsanitize=fuzzer -pie -o $@ $^ $(W_LDFLAGS) $(WARDER_LIBS) $(JSON_LIBS)

.PHONY: fuzz fuzz-build fuzz-run
fuzz-build: $(FUZZ_BINS)

# Each object again, with the fuzzer's counters in it.
fuzz:
	@$(MAKE) --no-print-directory BUILD=$(FUZZ_BUILD) CC=$(FUZZ_CC) OPT='-O1 -g' \
		SANITIZE=address,undefined,fuzzer-no-link FUZZ='$(FUZZ)' fuzz-run

fuzz-run: fuzz-build
	@for name in $(FUZZ); do \
		mkdir -p $(BUILD)/corpus/$$name; \
		seeds=tests/fuzz/corpus/$$name; [ -d $$seeds ] || seeds=; \
		if $(BUILD)/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=16384 \
			-artifact_prefix=$(BUILD)/$$name- -print_final_stats=1 \
			$(BUILD)/corpus/$$name $$seeds >$(BUILD)/$$name.log 2>&1; \
		then echo "fuzz $$name: clean, $$(sed -n 's/^stat::number_of_executed_units: *//p' \
			$(BUILD)/$$name.log) inputs in $(FUZZ_SECONDS) s"; \
		else tail -n 40 $(BUILD)/$$name.log; \
			echo "fuzz $$name: FAILED; the input is $(BUILD)/$$name-*"; exit 1; \
		fi; \
	done
