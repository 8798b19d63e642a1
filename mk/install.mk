# SPDX-License-Identifier: MIT
# install and uninstall.  DESTDIR stages; nothing is ever downloaded or installed besides.

INSTALL_PROGRAM = $(INSTALL) -m 755
INSTALL_DATA = $(INSTALL) -m 644

D = $(DESTDIR)
DOCDIR ?= $(DATADIR)/doc/warder

MAN_PAGES := $(wildcard docs/man/*.[1-9])
PRESETS := $(wildcard policy/presets/*.policy)
DOCS := $(wildcard docs/*.md)
EXAMPLES := $(wildcard docs/examples/*)
TOOLS := warder-dialer warder-files warder-json

# The paths are compiled in: what was built for others is built again.
PATHS = $(BUILD)/paths
PATHS_NOW = $(BINDIR) $(LIBDIR) $(LIBEXECDIR) $(INCLUDEDIR) $(DATADIR) $(SYSCONFDIR) $(DOCDIR)
.PHONY: paths-check
$(PATHS): paths-check
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = "$(PATHS_NOW)" ] || echo "$(PATHS_NOW)" >$@
$(WARDER_OBJ) $(LIB_OBJ) $(ARCHIVE_OBJ) $(FILES_OBJ) $(DIALER_OBJ) $(JSON_OBJ) $(BUILD)/warder.pc: $(PATHS)

# The pages name the paths that warder has by default; these are the ones it was built for.
BUILT_PAGES := $(patsubst docs/%,$(BUILD)/%,$(MAN_PAGES))
$(BUILD)/man/%: docs/man/% $(PATHS)
	@mkdir -p $(@D)
	sed -e 's|/usr/local/share/doc/warder|$(DOCDIR)|g' -e 's|/usr/local/share/warder|$(DATADIR)/warder|g' \
		-e 's|/usr/local/libexec/warder|$(LIBEXECDIR)/warder|g' \
		-e 's|/etc/warder|$(SYSCONFDIR)/warder|g' $< >$@.new && mv $@.new $@

# Every file that install puts somewhere, for uninstall.
INSTALLED = $(BINDIR)/warder $(addprefix $(LIBEXECDIR)/warder/,$(TOOLS)) \
	$(LIBDIR)/libwarder.so.$(SOVERSION) $(LIBDIR)/libwarder.so $(LIBDIR)/libwarder.a \
	$(LIBDIR)/pkgconfig/warder.pc $(INCLUDEDIR)/warder.h \
	$(foreach page,$(MAN_PAGES),$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
	$(addprefix $(DATADIR)/warder/,$(notdir $(PRESETS))) $(addprefix $(DOCDIR)/,$(notdir $(DOCS))) \
	$(addprefix $(DOCDIR)/examples/,$(notdir $(EXAMPLES)))

.PHONY: install uninstall
install: all $(BUILT_PAGES)
	$(INSTALL) -d $(D)$(BINDIR) $(D)$(LIBEXECDIR)/warder $(D)$(LIBDIR)/pkgconfig $(D)$(INCLUDEDIR)
	$(INSTALL_PROGRAM) $(BUILD)/warder $(D)$(BINDIR)/warder
	for tool in $(TOOLS); do \
		$(INSTALL_PROGRAM) $(BUILD)/$$tool $(D)$(LIBEXECDIR)/warder/$$tool || exit 1; \
	done
	$(INSTALL_DATA) $(BUILD)/libwarder.so.$(SOVERSION) $(D)$(LIBDIR)/libwarder.so.$(SOVERSION)
	ln -sf libwarder.so.$(SOVERSION) $(D)$(LIBDIR)/libwarder.so
	$(INSTALL_DATA) $(BUILD)/libwarder.a $(D)$(LIBDIR)/libwarder.a
	$(INSTALL_DATA) $(BUILD)/warder.pc $(D)$(LIBDIR)/pkgconfig/warder.pc
	$(INSTALL_DATA) sandbox/warder.h $(D)$(INCLUDEDIR)/warder.h
	for page in $(BUILT_PAGES); do \
		dir=$(D)$(MANDIR)/man$${page##*.}; \
		$(INSTALL) -d $$dir && $(INSTALL_DATA) $$page $$dir || exit 1; \
	done
	$(if $(PRESETS),$(INSTALL) -d $(D)$(DATADIR)/warder && \
		$(INSTALL_DATA) $(PRESETS) $(D)$(DATADIR)/warder)
	$(INSTALL) -d $(D)$(DOCDIR) && $(INSTALL_DATA) $(DOCS) $(D)$(DOCDIR)
	$(if $(EXAMPLES),$(INSTALL) -d $(D)$(DOCDIR)/examples && \
		$(INSTALL_DATA) $(EXAMPLES) $(D)$(DOCDIR)/examples)

uninstall:
	rm -f $(addprefix $(D),$(INSTALLED))
	for dir in $(LIBEXECDIR)/warder $(DATADIR)/warder $(DOCDIR)/examples $(DOCDIR); do \
		[ ! -d $(D)$$dir ] || rmdir --ignore-fail-on-non-empty $(D)$$dir; \
	done
