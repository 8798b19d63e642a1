/* SPDX-License-Identifier: MIT */
/*
 * trap.h - the trap door: an unmodified program's own system calls, answered like messages.
 *
 * Each call that opens, runs or changes something by name is a row of TRAP_CALLS, as it is in the
 * worker's filter (sandbox/tables/worker.c); take_<call>() copies its arguments into a request.
 * From there on nothing differs from the ask door but the answer.
 */
#ifndef WARDER_TRAP_H
#define WARDER_TRAP_H

#include "broker/notify.h"
#include "broker/request.h"
#include "broker/sock.h"

/*
 * X(call, why it may be let go on, or NULL: never)
 *
 * "Go on" lets the kernel read the arguments again, which the worker may have changed since: so it
 * is the answer only where the worker's own Landlock domain and mounts allow no more than what was
 * decided, whatever the arguments have become.
 */
#define OWN_PLACES "what is reached lies in the cell's own places, where Landlock says the same"
#define PLACES     "nothing of it is decided: it is heard of, so that its caller is held to no CPU"
#define TRAP_CALLS(X) \
	X(openat, OWN_PLACES) \
	X(openat2, OWN_PLACES) \
	X(execve, "Landlock has EXECUTE on the runtime, exec trees and its own places alone") \
	X(execveat, "the same") \
	X(faccessat, NULL) \
	X(faccessat2, NULL) \
	X(mkdirat, NULL) \
	X(mknodat, NULL) \
	X(symlinkat, NULL) \
	X(linkat, NULL) \
	X(unlinkat, NULL) \
	X(renameat, NULL) \
	X(renameat2, NULL) \
	X(truncate, NULL) \
	X(fchmod, NULL) \
	X(fchmodat, NULL) \
	X(fchown, NULL) \
	X(fchownat, NULL) \
	X(utimensat, NULL) \
	X(setxattr, NULL) \
	X(lsetxattr, NULL) \
	X(fsetxattr, NULL) \
	X(removexattr, NULL) \
	X(lremovexattr, NULL) \
	X(fremovexattr, NULL) \
	X(inotify_add_watch, NULL) \
	X(socket, NULL) \
	X(connect, NULL) \
	X(bind, NULL) \
	X(listen, NULL) \
	X(umask, "has one argument, which lies in no memory, and changes its caller alone") \
	X(clone, PLACES) \
	X(sched_getaffinity, PLACES) \
	X(sched_setaffinity, PLACES)
/* What arm64 never had. */
#define TRAP_CALLS_OLD(X) \
	X(open, OWN_PLACES) \
	X(creat, OWN_PLACES) \
	X(access, NULL) \
	X(mkdir, NULL) \
	X(mknod, NULL) \
	X(symlink, NULL) \
	X(link, NULL) \
	X(rmdir, NULL) \
	X(unlink, NULL) \
	X(rename, NULL) \
	X(chmod, NULL) \
	X(chown, NULL) \
	X(lchown, NULL) \
	X(utime, NULL) \
	X(utimes, NULL) \
	X(futimesat, NULL)

/* What comes of a call, beside ANSWER_FD and -errno. */
#define GO_ON        2 /* the kernel carries it out */
#define BEGIN_SLOWLY 3 /* a child serves it from the beginning; slow.h */

/* A path that getsockname(2) tells of a socket, where that is not the path it was bound to, which
 * stands beside it: whoever connects to the one means the other. */
#define TOLD_MAX  16 /* the last so many */
#define TOLD_SIZE 108
struct told {
	char path[TOLD_SIZE];
	char meant[PATH_MAX];
	size_t size; /* of `meant`; 0: none */
};

/* One trapped call on its way; `q` and the buffers are the session's. */
struct trap {
	struct notice notice;
	struct request q;
	bool may_go_on; /* the row says so */
	bool cloexec;   /* of the descriptor to hand over */
	int watch_fd;   /* inotify_add_watch: the worker's inotify descriptor, its number there */
	int held_fd;    /* the path is /proc/self/fd/N or leads there: the N; -1 */
	int value;      /* what the call returns where that is no descriptor */
	/* connect, bind, listen: our copy of the socket, its number there, and the rest. */
	struct sock sock;
	int number;
	struct sockaddr_storage address;
	socklen_t address_size;
	int backlog;
	char path[PATH_MAX];
	char text[2 * PATH_MAX];
	uint8_t value_buffer[XATTR_VALUE_SIZE];
	struct told told[TOLD_MAX];
	size_t next_told;
	/* The umask last read: whose, and when.  Dropped when anyone changes his. */
	pid_t umask_tid;
	mode_t umask;
	uint64_t umask_ns;
};

/* How a call is copied: trap_take_*.c.  0; -errno for the worker, with q->reason if refused. */
typedef int trap_taker(const struct session *s, struct trap *t);
#define X(call, why) trap_taker take_##call;
TRAP_CALLS(X)
#ifdef __x86_64__
TRAP_CALLS_OLD(X)
#endif
#undef X

/* Makes the buffers.  0 or -ENOMEM. */
int trap_init(struct session *s);
void trap_deinit(struct session *s);

/* Serves the call that waits; the listener must be readable.  0: go on; negative: the session ends,
 * *ret_why says why. */
int trap_serve(struct session *s, const char **ret_why);

/* Records and answers a call that was taken over by another file: ANSWER_FD with q->fd, or -errno
 * (interrupt_end()'s too).  0; -ENOENT: the caller is gone; or negative as trap_serve(). */
int trap_answer(struct session *s, const struct notice *notice, struct request *q, bool cloexec,
	int result);

/* The record of what came of a request, written: 0, or -EIO where it cannot be, and then a grant is
 * none. */
int trap_record(struct session *s, struct request *q, int result);
/* A grant whose descriptor could not be put into the caller's table, for the error r: the record
 * says so and the call is refused.  As trap_answer(). */
int trap_undelivered(struct session *s, const struct notice *notice, struct request *q, int r);

/* The name of a trapped call; NULL: it has no row.  *ret_may_go_on says whether its row lets it. */
const char *trap_name(int nr, bool *ret_may_go_on);

#endif
