# SPDX-License-Identifier: MIT
# What building and testing need.  This target alone installs anything.

.PHONY: deps
deps:
	@PKG_CONFIG='$(PKG_CONFIG)' mk/deps
