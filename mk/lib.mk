# SPDX-License-Identifier: MIT
# Tests of the built-in worker link its parts; main.o stays out, as everywhere.

FILES_PARTS := $(call obj,$(filter-out %/files_main.c,$(FILES)))

$(BUILD)/tests/unit/rpc: $(FILES_PARTS)
$(BUILD)/tests/unit/rpc: JSON_LIBS += $(shell $(PKG_CONFIG) --libs libsodium) -lmagic
