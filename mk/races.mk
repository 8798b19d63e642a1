# SPDX-License-Identifier: MIT
# The races of check-hostile at full length, and its faults at each call of the broker's: that takes
# minutes.

RACE_TRIES ?= 1000000
RACES := $(addprefix $(BUILD)/tests/hostile/,trap_races sock_races fault_walk)

.PHONY: check-races
check-races: all $(REAP) $(RACES)
	TEST_TIMEOUT=3600 RACE_OPENS=$(RACE_TRIES) RACE_CONNECTS=$(RACE_TRIES) FAULT_STEP=1 \
		$(RUN_TESTS) hostile $(RACES)
