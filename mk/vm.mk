# SPDX-License-Identifier: MIT
# A machine of Debian's own, with its kernel and systemd: what a host without either cannot show.

.PHONY: check-vm
check-vm: all tests
	tests/vm/make $(abspath $(BUILD))/vm
	tests/vm/boot $(abspath $(BUILD))/vm $(abspath $(BUILD))
