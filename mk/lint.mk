# SPDX-License-Identifier: MIT
# Format and man pages, as CI has them.  Whether other projects' pages are installed is no fault of
# ours; that our own exist is looked at here.

LINT_SOURCES = $(wildcard */*.c */*.h broker/dialer/*.[ch] tests/*/*.c tests/*/*.h docs/examples/*.c)
LINT_PAGES = $(wildcard docs/man/*.[1-9])
LINT_SCRIPTS = $(wildcard .ci/run tests/run tests/layers tests/*/*.sh tests/*/*/*.sh docs/examples/*.sh)

# All test and bench programs, built but not run.
.PHONY: tests
tests: $(REAP) $(foreach kind,unit cell e2e hostile,$(call test_bins,$(kind)))

.PHONY: lint
lint:
	@clang-format --dry-run -Werror $(LINT_SOURCES)
	@! mandoc -T lint -W style $(LINT_PAGES) 2>/dev/null | grep -v 'referenced manual not found'
	@grep -hoE '^\.Xr (warder|libwarder)[a-z.-]* [1-9]' $(LINT_PAGES) | sort -u | while read -r _ page n; do \
		[ -e docs/man/$$page.$$n ] || { echo "docs/man/$$page.$$n is referred to and missing"; exit 1; }; \
	done
	@for script in $(LINT_SCRIPTS); do \
		case $$(head -n 1 $$script) in *bash*) bash -n $$script ;; *) sh -n $$script ;; esac || exit 1; \
	done
