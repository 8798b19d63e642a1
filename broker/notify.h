/* SPDX-License-Identifier: MIT */
/*
 * notify.h - the kernel's side of the trap door: seccomp_unotify(2), nothing of what is asked.
 *
 * A worker's trapped call waits in the kernel until it is answered: with a value or an errno, with
 * a descriptor, or with "go on", which lets the kernel carry it out and read its arguments again.
 */
#ifndef WARDER_NOTIFY_H
#define WARDER_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct notify;

/* One trapped call.  Arguments are as the kernel has them; what they point to is the worker's. */
struct notice {
	uint64_t id;
	pid_t tid; /* the thread that waits, in this process's pid namespace */
	int nr;    /* of the native table: the filter kills all others */
	uint64_t args[6];
};

/* Asks the kernel for the sizes of its structures and makes room for them; before the cage.
 * 0 or -errno: -ENOSYS where the kernel has no user notification (Linux 5.0). */
int notify_new(struct notify **ret);
/* The same for a kernel that says these sizes.  0 or -ENOMEM. */
int notify_new_sized(size_t request_size, size_t response_size, struct notify **ret);
struct notify *notify_free(struct notify *n);

/* Takes the listener (moved).  0 or -errno. */
int notify_attach(struct notify *n, int *listener_fd);
/* The listener, for poll(2): POLLIN when a call waits, POLLHUP when nobody is left to make one. */
int notify_fd(const struct notify *n);

/* Takes the next call in.  Call it after POLLIN only: it would wait.  0; -ENOENT: the caller died
 * meanwhile, which is normal; or -errno. */
int notify_receive(struct notify *n, struct notice *ret);

/* Whether the call still waits: after anything was read by the thread's number, and before any
 * effect.  Else that number may be another's by now. */
bool notify_valid(const struct notify *n, uint64_t id);

/* The answers.  0; -ENOENT: the caller is gone, nothing was done; else -errno. */
int notify_return(struct notify *n, uint64_t id, int64_t value);
int notify_refuse(struct notify *n, uint64_t id, int error); /* error > 0 */
int notify_continue(struct notify *n, uint64_t id);
/* ERESTARTSYS, an error for notify_refuse() that no program may see: the kernel makes EINTR of it
 * or makes the call again, when the caller has a signal to take.  Only where it surely has:
 * interrupt.h. */
#define NOTIFY_RESTART 512

/*
 * Puts a copy of the borrowed descriptor at the caller's lowest free number and lets its call
 * return that, in one step.  0; -EMFILE: its table is full; -ENOENT: it is gone; or -errno.  After
 * a failure the call still waits: refuse it, never let it go on.
 */
int notify_hand_over(struct notify *n, uint64_t id, int fd, bool cloexec);

/* Puts a copy of the borrowed descriptor into the caller's table under a number of its choice, in
 * the place of what was there.  The call still waits.  0 or as above. */
int notify_place(struct notify *n, uint64_t id, int fd, int number, bool cloexec);

#endif
