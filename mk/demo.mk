# SPDX-License-Identifier: MIT
# The main job, on this machine's own files.

.PHONY: demo
demo: all
	docs/examples/demo.sh $(abspath $(BUILD))/warder
