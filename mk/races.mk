# SPDX-License-Identifier: MIT
# The races of check-hostile at full length, its storms and crowds too, a thousand cells, and a fault at each call
# of the broker's: that takes a quarter of an hour.

RACE_TRIES ?= 1000000
RACES := $(addprefix $(BUILD)/tests/hostile/,trap_races sock_races trap_storm fault_walk crowds) \
	tests/hostile/lifecycle.sh

.PHONY: check-races
check-races: all $(REAP) $(RACES)
	TEST_TIMEOUT=3600 RACE_OPENS=$(RACE_TRIES) RACE_CONNECTS=$(RACE_TRIES) FAULT_STEP=1 \
		OPENS=100000 STORM=4000 KILLED=300 CELLS=1000 CROWD=5000 \
		$(RUN_TESTS) hostile $(RACES)
