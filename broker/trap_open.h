/* SPDX-License-Identifier: MIT */
/*
 * trap_open.h - opens by the trap door that no rule grants and that are granted nevertheless.
 *
 * It takes what came of the call so far, and returns that or something better.
 */
#ifndef WARDER_TRAP_OPEN_H
#define WARDER_TRAP_OPEN_H

#include "broker/trap.h"

int open_held(struct session *s, struct trap *t, int result);

#endif
