# SPDX-License-Identifier: MIT
# make help

.PHONY: help
help:
	@echo "make [TARGET]... [BUILD=DIR] [CC=...] [PREFIX=/usr/local] [DESTDIR=...]"
	@echo
	@echo "  all            warder, its workers and libwarder, in $(BUILD)/"
	@echo "  deps           install what building and testing need (apt, as root), or say how"
	@echo "  demo           the main job, on this machine's own files"
	@echo "  check          every test, as you and, for root, as uid 65534 too"
	@echo "  check-unit     tests of one module each"
	@echo "  check-cell     tests of the cell's layers"
	@echo "  check-e2e      tests of the whole commands"
	@echo "  check-hostile  attacks, each with its positive control"
	@echo "  check-races    a million tries of each race, and each call of the broker's failing once"
	@echo "  daemons-table  write the README's table of daemons, from a run of their test"
	@echo "  check-vm       the cell under systemd and Debian's own kernel, in a machine made for it"
	@echo "  check-layers   who may include whom, and the chokepoints"
	@echo "  asan           the tests again under AddressSanitizer and UBSan"
	@echo "  fuzz           fuzz the policy, messages and frames, 60 s each"
	@echo "  bench          the figures, each beside its reference"
	@echo "  soak           a million grants"
	@echo "  lint           format, man pages, scripts"
	@echo "  format         clang-format all sources"
	@echo "  install        into PREFIX, BINDIR, LIBDIR, LIBEXECDIR, SYSCONFDIR, DOCDIR; DESTDIR stages"
	@echo "  uninstall      take away what install put there"
	@echo "  clean          remove build/ and build-*"
	@echo
	@echo "STATIC=no: libsodium and libcap are linked as shared libraries, also where their archives are."
	@echo "For another machine: CC=aarch64-linux-gnu-gcc [CC_FOR_BUILD=cc] [PKG_CONFIG=...], with the"
	@echo "libraries for it, and libseccomp for this one too."
