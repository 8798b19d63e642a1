/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - what this host can enforce, found out by doing it.
 */
#ifndef WARDER_DOCTOR_H
#define WARDER_DOCTOR_H

#include "sandbox/confine.h"

enum probe_result { PROBE_OK, PROBE_MISSING, PROBE_UNKNOWN };

struct probe {
	const char *layer;  /* "landlock" */
	const char *accept; /* the word of `accept missing` for it; NULL: there is none */
	enum probe_result result;
	bool needs_namespaces; /* `root host` does without */
	char text[200];        /* what was found */
	char remedy[480];      /* what to do where it is missing */
};

#define PROBES_MAX 16

/* Probes every layer, each in a child of its own, and returns how many there are. */
size_t doctor_probe(struct probe ret[PROBES_MAX]);

#endif
