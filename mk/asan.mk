# SPDX-License-Identifier: MIT
# The tests under AddressSanitizer and UndefinedBehaviorSanitizer, in a build of their own.
#
# Leaks are looked for in the modules' tests alone: the leak check stops a process by ptrace, which
# neither the broker's cage nor the worker's filter allows.

ASAN_KINDS ?= unit cell e2e
ASAN_OPTIONS_CELL = detect_leaks=0:abort_on_error=1:handle_segv=0
UBSAN_OPTIONS_ALL = print_stacktrace=1:halt_on_error=1

.PHONY: asan
asan:
	$(MAKE) BUILD=build-asan SANITIZE=address,undefined all tests
	@status=0; for kind in $(ASAN_KINDS); do \
		case $$kind in unit) options=detect_leaks=1:abort_on_error=1 ;; \
		*) options=$(ASAN_OPTIONS_CELL) ;; esac; \
		ASAN_OPTIONS=$$options UBSAN_OPTIONS=$(UBSAN_OPTIONS_ALL) \
			$(MAKE) -s BUILD=build-asan SANITIZE=address,undefined check-$$kind || status=1; \
	done; exit $$status
