/* SPDX-License-Identifier: MIT */
/*
 * identity.c - as whom files are opened: the worker's user, or the broker for `as broker`.
 *
 * Runs in: broker.  Trusts: nothing but the kernel's word on which identity stands.
 *
 * Only the file system uid and gid change.  setfsuid(2): going from 0 to another uid takes
 * CAP_DAC_*, CAP_FOWNER and CAP_CHOWN out of the effective set, and coming back raises them again
 * from the permitted one, so that a broker holds them for one open and not between.  The calls
 * report no error; what stands is asked with an id that does not exist.
 */
#include "broker/identity.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

/* The group goes first on the way up and last on the way down, where the uid still may set it. */
static int take(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	if ((uid_t)setfsuid((uid_t)-1) == uid && (gid_t)setfsgid((gid_t)-1) == gid)
		return 0;
	return -EPERM;
}

/* A change of the fsuid sets "dumpable" to what the host's fs.suid_dumpable says (proc(5)), and who
 * is dumpable can be traced: so it is taken back each time. */
static int take_quietly(uid_t uid, gid_t gid)
{
	int r = take(uid, gid);

	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : r;
}

/* A change of the fsuid takes the signal of a dead parent back: prctl(2). */
static void keep_death(const struct session *s)
{
	if (s->in_child)
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

int identity_init(struct session *s)
{
	return s->privileged ? take(s->uid, s->gid) : 0;
}

int identity_take(struct session *s, unsigned as)
{
	int r;

	if (as == AS_WORKER)
		return 0;
	if (as == AS_CLIENT)
		return -EPERM;
	/* An ordinary user's broker is that user already: there is nothing more to take. */
	if (!s->privileged)
		return 0;
	r = take_quietly(0, 0);
	if (r < 0)
		identity_drop(s, as); /* one half may have changed */
	keep_death(s);
	return r;
}

void identity_drop(struct session *s, unsigned as)
{
	if (as == AS_BROKER && s->privileged && take_quietly(s->uid, s->gid) < 0)
		abort();
	keep_death(s);
}
