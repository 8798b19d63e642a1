/* SPDX-License-Identifier: MIT */
/*
 * noise.h - denials that the summary does not list.
 */
#ifndef WARDER_CLI_NOISE_H
#define WARDER_CLI_NOISE_H

#include "broker/broker.h"

#include <stdbool.h>

/*
 * Whether a denial is of no interest to who reads a summary: a name outside of all rules that was
 * looked for, and that the host does not have either, or by which programs only adapt themselves
 * and do without, or a program that was looked for along PATH, `search` (or NULL), and found in a
 * further directory.  It stands in the ledger like any other.
 */
bool denial_is_noise(const struct broker_denial *d, const char *search);

#endif
