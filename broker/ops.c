/* SPDX-License-Identifier: MIT */
#include "broker/ops.h"
#include "broker/open_path.h"
#include <errno.h>

int handle_hello(struct session *s, struct request *q, uint8_t *data)
{
	if (q->flags != MSG_VERSION)
		return -EPROTONOSUPPORT;
	s->phase = PHASE_RUNNING;
	return 0;
}

int handle_open(struct session *s, struct request *q, uint8_t *data)
{
	int r = open_path(s, q);

	return r < 0 ? r : ANSWER_FD;
}
#define STUB(n) \
	int handle_##n(struct session *s, struct request *q, uint8_t *data) \
	{ \
		return -ENOSYS; \
	}
STUB(stat)
STUB(access) STUB(readlink) STUB(list) STUB(mkdir) STUB(rmdir) STUB(unlink) STUB(rename) STUB(link)
	STUB(symlink) STUB(truncate) STUB(chmod) STUB(utimes) STUB(watch)
