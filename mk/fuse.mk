# SPDX-License-Identifier: MIT
# A file system whose server sleeps, for tests/e2e/fuse.sh; without libfuse3 that test says so.

FUSE_LIBS := $(shell $(PKG_CONFIG) --cflags --libs fuse3 2>/dev/null)
# Whether it is there for the machine that is built for.
FUSE_FOUND := $(if $(FUSE_LIBS),$(call probe,$(FUSE_LIBS)))

ifneq ($(FUSE_FOUND),)
SLEEPY := $(BUILD)/tests/fuse/sleepy

$(BUILD)/obj/tests/fuse/sleepy.o: CPPFLAGS += $(shell $(PKG_CONFIG) --cflags fuse3)
$(SLEEPY): $(BUILD)/obj/tests/fuse/sleepy.o
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(shell $(PKG_CONFIG) --libs fuse3)

tests check-e2e: $(SLEEPY)
endif
