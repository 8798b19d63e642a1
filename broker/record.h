/* SPDX-License-Identifier: MIT */
/*
 * record.h - from a request to its line in the ledger, the tally and the summary's denials.
 */
#ifndef WARDER_RECORD_H
#define WARDER_RECORD_H

#include "broker/request.h"

/*
 * Adds the record of a finished request to what the next commit writes: a grant, a denial (the
 * warder's no), or a failure (allowed, but the file system said no).  Denials that repeat are
 * counted, and the count is written.  0 or -errno.
 */
int record(struct session *s, struct request *q);

/*
 * Writes the grant of a request that is about to change something: a change is in the book before
 * it is made.  What fails afterwards adds a failure that names this grant.  0; -EIO, refused.
 */
int record_change(struct session *s, struct request *q);

/* A grant that was written and yet not delivered; error > 0. */
int record_undelivered(
	struct session *s, enum door door, uint64_t grant, int error, const char *reason);

/* Adds the count of denials that were not written one by one. */
int record_flush(struct session *s);

#endif
