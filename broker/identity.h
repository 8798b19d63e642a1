/* SPDX-License-Identifier: MIT */
/*
 * identity.h - as whom files are opened: the worker's user, or the broker for `as broker`.
 */
#ifndef WARDER_IDENTITY_H
#define WARDER_IDENTITY_H

#include "broker/request.h"

/* Takes the worker's user's identity, which is the one that stands between requests.  0 or -EPERM:
 * then nothing may be served. */
int identity_init(struct session *s);

/*
 * Does what follows with the authority that the rule names.  AS_WORKER: nothing changes.
 * -EPERM: it cannot be had (a broker that is no root, `as client` in a session of many clients).
 */
int identity_take(struct session *s, unsigned as);

/* Back to the worker's user.  Aborts where the kernel refuses: to go on with the broker's own
 * authority would be worse than to end. */
void identity_drop(struct session *s, unsigned as);

#endif
