/* SPDX-License-Identifier: MIT */
/*
 * summary.h - what `warder run` tells a person at the end.
 */
#ifndef WARDER_SUMMARY_H
#define WARDER_SUMMARY_H

#include "broker/broker.h"

#include <stdbool.h>

/* Prints counts and, for each denial that the broker noted, the path, the reason and the line that
 * would lift it.  `search` is the PATH that warder was started with; may be NULL. */
void summary_print(
	const struct broker_result *result, const char *ledger, const char *search, bool colour);

#endif
