# SPDX-License-Identifier: MIT
# The README's table of daemons, from a run of their test, which compares the two from then on.

DAEMONS_TABLE := $(BUILD)/daemons.table

.PHONY: daemons-table
daemons-table: all
	BUILD='$(abspath $(BUILD))' TABLE='$(abspath $(DAEMONS_TABLE))' tests/e2e/daemons.sh
	awk -v table=$(DAEMONS_TABLE) ' \
		/^<!-- daemons end -->$$/ { inside = 0 } \
		!inside { print } \
		/^<!-- daemons -->$$/ { inside = 1; while ((getline row < table) > 0) print row }' \
		README.md >$(DAEMONS_TABLE).readme
	cat $(DAEMONS_TABLE).readme >README.md
