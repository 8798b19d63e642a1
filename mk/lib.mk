# SPDX-License-Identifier: MIT
# What tests the built-in worker links its parts; main.o stays out, as everywhere.

FILES_PARTS := $(call obj,$(filter-out %/files_main.c,$(FILES)))

$(BUILD)/tests/unit/rpc: $(FILES_PARTS)
$(BUILD)/tests/unit/rpc: JSON_LIBS += $(shell $(PKG_CONFIG) --libs libsodium) -lmagic
$(BUILD)/fuzz/rpc: $(FILES_PARTS)
$(BUILD)/fuzz/rpc: JSON_LIBS += $(shell $(PKG_CONFIG) --libs libsodium) -lmagic
