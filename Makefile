# SPDX-License-Identifier: MIT
# warder - see `make help`.

VERSION := 0.1.0
SOVERSION := 0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
LIBEXECDIR ?= $(PREFIX)/libexec
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
SYSCONFDIR ?= /etc

BUILD ?= build
PKG_CONFIG ?= $(PREFERRED_PKG_CONFIG)
INSTALL ?= install
OBJCOPY ?= $(TOOLS_PREFIX)objcopy
PREFERRED_PKG_CONFIG := pkg-config

# ---- deps: before all else, since what it installs is what the rest of this file looks for -----

ifneq ($(filter deps,$(MAKECMDGOALS)),)
AFTER_DEPS := $(filter-out deps,$(MAKECMDGOALS))

.PHONY: deps $(AFTER_DEPS)
deps:
	@PKG_CONFIG='$(PKG_CONFIG)' mk/deps
ifneq ($(AFTER_DEPS),)
# `make deps check`: make is run anew for the others, all at once.
$(firstword $(AFTER_DEPS)): deps
	@$(MAKE) --no-print-directory $(AFTER_DEPS)
$(wordlist 2,$(words $(AFTER_DEPS)),$(AFTER_DEPS)): $(firstword $(AFTER_DEPS))
	@:
endif
else

# ---- compiler: what the user gives is appended to, never replaced -----------------------------

# What it builds for, by its own macros: the triple that it names stays the same under -m32.
MACROS := $(shell $(CC) $(CPPFLAGS) $(CFLAGS) -dM -E -x c /dev/null 2>/dev/null)
ifeq ($(MACROS),)
$(error there is no compiler "$(CC)"; `make deps` installs what is missing, or names it)
endif
ARCH := $(if $(filter __LP64__,$(MACROS)),$(filter-out $(if \
	$(filter __AARCH64EB__,$(MACROS)),aarch64),$(patsubst __%__,%,$(filter \
	__x86_64__ __aarch64__,$(MACROS)))))
ifeq ($(filter x86_64 aarch64,$(ARCH)),)
$(error warder has system call tables for 64-bit x86-64 and little-endian arm64 only, and \
	"$(strip $(CC) $(CFLAGS))" builds for something else; leave out flags such as -m32, -mx32 and \
	-mabi, or give the compiler of one of the two, as in CC=aarch64-linux-gnu-gcc)
endif

# For another machine than this one: its tools, where they are there, and a compiler for what runs
# while building.
ifneq ($(ARCH),$(patsubst arm64,aarch64,$(shell uname -m)))
CROSS := yes
CC_FOR_BUILD ?= cc
PKG_CONFIG_FOR_BUILD ?= pkg-config
TOOLS_PREFIX := $(shell prefix="$$($(CC) -dumpmachine)-"; command -v "$${prefix}objcopy" >/dev/null && \
	printf '%s' "$$prefix")
PREFERRED_PKG_CONFIG := $(shell command -v $(TOOLS_PREFIX)pkg-config >/dev/null && \
	printf '%s' $(TOOLS_PREFIX))pkg-config
ifeq ($(origin AR),default)
AR := $(TOOLS_PREFIX)ar
endif
endif

comma := ,
probe = $(shell printf 'int main(void){return 0;}' | \
	$(CC) -Werror $(1) -x c -o /dev/null - 2>/dev/null && printf '%s' '$(1)')

HARDEN_CFLAGS := $(call probe,-fstack-protector-strong) $(call probe,-fstack-clash-protection) \
	$(call probe,-fcf-protection) $(call probe,-ftrivial-auto-var-init=zero)
HARDEN_LDFLAGS := $(call probe,-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now) \
	$(call probe,-Wl$(comma)-z$(comma)noexecstack) $(call probe,-Wl$(comma)--as-needed)

# gcc 12 of Debian 12 takes what it knows of a value on one branch of `r == A ? 0 : r` for known of it
# everywhere, and drops other comparisons with A: tests/unit/compiler.c.
SOUND_CFLAGS := $(call probe,-fno-ssa-phiopt)

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-unused-parameter \
	-Wno-missing-field-initializers
ifeq ($(CI),true)
WARNINGS += -Werror
endif
ifeq ($(findstring -O,$(CFLAGS)),)
OPT := -O2 -g
# Not beside another level, and in place of one that the compiler would choose itself.
FORTIFY := $(if $(filter _FORTIFY_SOURCE,$(MACROS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif

SAN_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
ifneq ($(SANITIZE),)
# gcc says of instrumented code what is not so: gcc(1), -fsanitize.
WARNINGS += $(call probe,-Wno-stringop-overflow)
FORTIFY :=
endif

PKGS := libseccomp libsodium libcap
PKG_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(PKGS) jansson libcares 2>/dev/null)

W_CPPFLAGS = -I. -D_GNU_SOURCE $(FORTIFY) -DWARDER_VERSION='"$(VERSION)"' \
	-DWARDER_LIBEXECDIR='"$(LIBEXECDIR)"' -DWARDER_SYSCONFDIR='"$(SYSCONFDIR)"' \
	-DWARDER_DATADIR='"$(DATADIR)"' -DWARDER_BINDIR='"$(BINDIR)"' \
	$(if $(SANITIZE),-DWARDER_SANITIZE) $(PKG_CFLAGS) $(CPPFLAGS)
W_CFLAGS = -std=gnu17 -fPIC -fvisibility=hidden -ffile-prefix-map='$(CURDIR)=.' $(WARNINGS) $(OPT) $(SOUND_CFLAGS) \
	$(HARDEN_CFLAGS) $(SAN_FLAGS) $(CFLAGS)
W_LDFLAGS = $(HARDEN_LDFLAGS) $(SAN_FLAGS) $(LDFLAGS)

# ---- what is built from what: the directory is the trust level --------------------------------

# sandbox/lib_*.c is libwarder, sandbox/files_*.c the built-in worker, the rest builds the cell.
COMMON := $(wildcard common/*.c)
POLICY := $(wildcard policy/*.c)
BROKER := $(wildcard broker/*.c)
# A binary of its own: the network's bytes are met there and not in the broker.
DIALER := $(wildcard broker/dialer/*.c) sandbox/dialer_cage.c sandbox/caps.c
LIB := $(wildcard sandbox/lib_*.c)
FILES := $(wildcard sandbox/files_*.c)
CELL := $(filter-out $(LIB) $(FILES),$(wildcard sandbox/*.c))
# cli/json_*.c reads JSON (jansson): its own binary, so that no JSON parser is in the broker's.
JSON := $(wildcard cli/json_*.c)
CLI := $(filter-out $(JSON),$(wildcard cli/*.c))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# The filters' programs are made at build time, by libseccomp, from sandbox/tables/.
FILTERS := $(BUILD)/gen/filters

WARDER_OBJ := $(call obj,$(CLI) $(BROKER) $(POLICY) $(CELL) $(COMMON)) $(BUILD)/obj/gen/filters.o
# libwarder has no global state; the timer of a process has some, and is for warder's own.
LIB_OBJ := $(call obj,$(LIB) $(filter-out common/hurry.c,$(COMMON)))
# What is linked when all is (-flto) has no names yet that could be kept to itself, and only the same
# compiler reads it: for the archive the same sources are compiled to code.
ARCHIVE_OBJ := $(if $(filter -flto%,$(CC) $(CFLAGS)),$(patsubst $(BUILD)/obj/%,$(BUILD)/obj/archive/%,$(LIB_OBJ)),$(LIB_OBJ))
FILES_OBJ := $(call obj,$(FILES) $(COMMON))
DIALER_OBJ := $(call obj,$(DIALER) $(COMMON)) $(BUILD)/obj/gen/filters.o
JSON_OBJ := $(call obj,$(JSON) cli/say.c cli/options.c cli/state.c $(COMMON))
# Everything but the main functions, for the tests.
TEST_OBJ := $(filter-out %/main.o,$(WARDER_OBJ)) $(call obj,$(LIB) broker/dialer/dns.c)

# Of libsodium the broker needs one hash, of libcap four calls: from the archives, where this machine
# has some that fit, a start loads two libraries less.
# $(1) package, $(2) a function of its library lib$(3): the archive, or how it is linked otherwise
archive = $(or $(shell a='$(shell $(PKG_CONFIG) --variable=libdir $(1) 2>/dev/null)/lib$(3).a'; [ -e "$$a" ] && \
	printf 'int $(2)(void); int main(void) { return $(2)(); }' | \
	$(CC) $(CFLAGS) -fPIE -pie -x c -o /dev/null - -x none "$$a" 2>/dev/null && printf '%s' "$$a"),-l$(3))
STATIC ?= yes
SODIUM := $(if $(filter no,$(STATIC)),-lsodium,$(call archive,libsodium,crypto_generichash,sodium))
CAP := $(if $(filter no,$(STATIC)),-lcap,$(call archive,libcap,cap_init,cap))
WARDER_LIBS = $(subst -lcap,$(CAP),$(subst -lsodium,$(SODIUM),$(shell $(PKG_CONFIG) --libs $(PKGS))))
LIB_LIBS = $(shell $(PKG_CONFIG) --libs libseccomp)
FILES_LIBS = $(shell $(PKG_CONFIG) --libs libseccomp jansson libsodium) -lmagic
DIALER_LIBS = $(shell $(PKG_CONFIG) --libs libcares) $(CAP)
JSON_LIBS = $(shell $(PKG_CONFIG) --libs jansson)

PROGRAMS := $(BUILD)/warder $(BUILD)/warder-dialer $(BUILD)/warder-files $(BUILD)/warder-json
LIBRARIES := $(BUILD)/libwarder.so.$(SOVERSION) $(BUILD)/libwarder.a $(BUILD)/warder.pc

.PHONY: all
all: $(PROGRAMS) $(LIBRARIES)

# Before all else, once in a build directory: is everything there for this machine?  What was built
# for another is built again.
MACHINE := $(BUILD)/machine
ifeq ($(CROSS),yes)
REMEDY := install them for that machine (on Debian: dpkg --add-architecture, then libseccomp-dev and \
	its like with the architecture after a colon), or build there
else
REMEDY := `make deps` installs them, or says how
endif
.PHONY: machine-check
$(MACHINE): machine-check
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = "$(ARCH)" ] || { \
		mk/libraries $(ARCH) '$(strip $(CC) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS))' '$(LDFLAGS)' \
			'$(REMEDY)' <mk/libraries.list && echo "$(ARCH)" >$@; }

$(BUILD)/obj/%.o: %.c $(MACHINE)
	@mkdir -p $(@D)
	$(CC) $(W_CPPFLAGS) $(W_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/archive/%.o: %.c $(MACHINE)
	@mkdir -p $(@D)
	$(CC) $(W_CPPFLAGS) $(W_CFLAGS) -fno-lto -MMD -MP -c -o $@ $<

ifeq ($(CROSS),yes)
# The tables are preprocessed for the machine that will run them, so that every number in them is
# that machine's, and compiled for this one, which runs the program that reads them.
FILTERS_MAKER := $(patsubst %,sandbox/tables/%.c,compile make same shrink)
TABLES := $(filter-out $(FILTERS_MAKER),$(wildcard sandbox/tables/*.c))

$(BUILD)/gen/%.i: sandbox/tables/%.c $(MACHINE)
	@mkdir -p $(@D) $(BUILD)/obj/gen
	$(CC) -I. -D_GNU_SOURCE $(if $(SANITIZE),-DWARDER_SANITIZE) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS) \
		-std=gnu17 -MMD -MP -MT $@ -MF $(BUILD)/obj/gen/$*.d -E -o $@ $<

$(FILTERS): $(patsubst sandbox/tables/%.c,$(BUILD)/gen/%.i,$(TABLES)) $(FILTERS_MAKER) common/fd.c
	$(CC_FOR_BUILD) -std=gnu17 -I. -D_GNU_SOURCE -o $@ $^ \
		$(shell $(PKG_CONFIG_FOR_BUILD) --cflags --libs libseccomp)
else
$(FILTERS): $(call obj,$(wildcard sandbox/tables/*.c) common/fd.c)
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(LIB_LIBS)
endif

$(FILTERS).c: $(FILTERS)
	$(FILTERS) >$@.new && mv $@.new $@

$(BUILD)/obj/gen/filters.o: $(FILTERS).c
	@mkdir -p $(@D)
	$(CC) $(W_CPPFLAGS) $(W_CFLAGS) -c -o $@ $<

$(BUILD)/warder: $(WARDER_OBJ)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(WARDER_LIBS)

$(BUILD)/warder-dialer: $(DIALER_OBJ)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(DIALER_LIBS)

$(BUILD)/warder-files: $(FILES_OBJ) $(BUILD)/libwarder.a
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(FILES_LIBS)

$(BUILD)/warder-json: $(JSON_OBJ)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(JSON_LIBS)

# One object whose only global names are warder_*, so that none meets a program's own.
# It is newer than the objects of both kinds: `make install` without the flags makes it from neither.
$(BUILD)/libwarder.a: $(ARCHIVE_OBJ) $(LIB_OBJ)
	@rm -f $@
	$(CC) -r -nostdlib -o $(BUILD)/obj/libwarder.o $(ARCHIVE_OBJ)
	$(OBJCOPY) --wildcard --keep-global-symbol='warder_*' $(BUILD)/obj/libwarder.o
	$(AR) rcsD $@ $(BUILD)/obj/libwarder.o

$(BUILD)/libwarder.so.$(SOVERSION): $(LIB_OBJ) sandbox/libwarder.map
	$(CC) $(W_CFLAGS) -shared -Wl,-soname,libwarder.so.$(SOVERSION) \
		-Wl,--version-script=sandbox/libwarder.map -o $@ $(LIB_OBJ) $(W_LDFLAGS) $(LIB_LIBS)

$(BUILD)/warder.pc: sandbox/warder.pc.in Makefile
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' $< >$@

# ---- tests: tests/KIND/*.c are cmocka programs, tests/KIND/*.sh scripts ------------------------

test_bins = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/$(1)/*.c))
test_scripts = $(filter-out %/lib.sh,$(wildcard tests/$(1)/*.sh))

$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(TEST_OBJ)
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS) $(WARDER_LIBS) $(JSON_LIBS) -lcmocka

.PRECIOUS: $(BUILD)/obj/%.o

# Stands above each test, and needs nothing of ours.
REAP := $(BUILD)/tests/reap

$(REAP): $(BUILD)/obj/tests/reap.o
	@mkdir -p $(@D)
	$(CC) $(W_CFLAGS) -pie -o $@ $^ $(W_LDFLAGS)

RUN_TESTS = BUILD=$(abspath $(BUILD)) tests/run

.PHONY: check check-unit check-e2e check-cell check-hostile check-layers
check: check-layers check-unit check-cell check-e2e check-hostile
check-unit: all $(REAP) $(call test_bins,unit)
	$(RUN_TESTS) unit $(call test_bins,unit) $(call test_scripts,unit)
check-e2e: all $(REAP) $(call test_bins,e2e)
	$(RUN_TESTS) e2e $(call test_bins,e2e) $(call test_scripts,e2e)
check-cell: all $(REAP) $(call test_bins,cell)
	$(RUN_TESTS) cell $(call test_bins,cell) $(call test_scripts,cell)
check-hostile: all $(REAP) $(call test_bins,hostile)
	$(RUN_TESTS) hostile $(call test_bins,hostile) $(call test_scripts,hostile)
check-layers:
	tests/layers

.PHONY: format
format:
	clang-format -i $(wildcard */*.c */*.h broker/dialer/*.[ch] tests/*/*.c tests/*/*.h)

.PHONY: clean
clean:
	rm -rf build build-*

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
include $(wildcard mk/*.mk)

endif
