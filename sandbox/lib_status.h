/* SPDX-License-Identifier: MIT */
/*
 * lib_status.h - the lines of `warder run --status-fd`.
 */
#ifndef WARDER_LIB_STATUS_H
#define WARDER_LIB_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One line is one flat JSON object.  False: no such key, or another type of value. */
bool status_string(const char *line, const char *key, char *buf, size_t size);
bool status_number(const char *line, const char *key, uint64_t *ret);
bool status_true(const char *line, const char *key);

#endif
