# SPDX-License-Identifier: MIT
# What tests the built-in worker links its parts; main.o stays out, as everywhere.

FILES_PARTS := $(call obj,$(filter-out %/files_main.c,$(FILES)))

$(BUILD)/tests/unit/rpc: $(FILES_PARTS)
$(BUILD)/tests/unit/rpc: JSON_LIBS += $(shell $(PKG_CONFIG) --libs libsodium) -lmagic
$(BUILD)/fuzz/rpc: $(FILES_PARTS)
$(BUILD)/fuzz/rpc: JSON_LIBS += $(shell $(PKG_CONFIG) --libs libsodium) -lmagic

# The names of the calls that the build's headers have, for the test that none is forgotten.
CALLS_DIR := $(BUILD)/gen/calls

$(CALLS_DIR)/header_calls.h: $(MACHINE)
	@mkdir -p $(@D)
	printf '%sinclude <asm/unistd.h>\n' '#' | $(CC) $(CPPFLAGS) $(CFLAGS) -E -dM - | \
		sed -nE 's/^.define __NR_([a-z0-9_]+) .*/"\1",/p' | grep -vE '"(arch_specific_syscall|syscalls)"' >$@

$(BUILD)/obj/tests/cell/paths.o: $(CALLS_DIR)/header_calls.h
$(BUILD)/obj/tests/cell/paths.o: CPPFLAGS += -I$(CALLS_DIR)
$(BUILD)/tests/cell/paths: $(call obj,sandbox/tables/worker.c)

# What makes the filters, for the test that what it makes shorter stays the same.
$(BUILD)/tests/unit/filter_shrink: $(call obj,$(filter-out %/make.c,$(wildcard sandbox/tables/*.c)))
# The table itself, and what makes a program of it.
$(BUILD)/tests/cell/filter_tables: $(call obj,sandbox/tables/worker.c sandbox/tables/compile.c)
$(BUILD)/tests/unit/socket_options: $(call obj,sandbox/tables/worker.c)
# The part of the dialer that makes its sockets in the cell.
$(BUILD)/tests/unit/spares: $(call obj,broker/dialer/spares.c)
