/* SPDX-License-Identifier: MIT */
/*
 * caps.c - the capability layer: none for the worker and init, next to none for the broker.
 *
 * Runs in: init, worker, broker.  Trusts: nothing.
 */
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <linux/securebits.h>
#include <sys/capability.h>
#include <sys/prctl.h>

/* securebits(7) are locked so that uid 0 is a name and no more: exec gives it nothing, and changing
 * to or from it neither. */
#define BITS_LOCKED (SECURE_ALL_BITS | SECURE_ALL_LOCKS)

/* These permitted, the other sets empty.  Emptying the inheritable set empties the ambient one
 * (capabilities(7)). */
static int set_permitted(const cap_value_t *caps, int n)
{
	cap_t set = cap_init();
	int r = set ? 0 : -errno;

	if (r == 0 && n > 0 && cap_set_flag(set, CAP_PERMITTED, n, caps, CAP_SET) < 0)
		r = -errno;
	if (r == 0 && cap_set_proc(set) < 0)
		r = -errno;
	cap_free(set);
	return r;
}

/* The bounding set, which needs CAP_SETPCAP: a process that was never privileged lacks it, and
 * no_new_privs stands for it.  EINVAL: the running kernel has no capability of that number. */
static int drop_bounding(void)
{
	for (cap_value_t c = 0; cap_drop_bound(c) == 0; c++)
		;
	return errno == EINVAL || errno == EPERM ? 0 : -errno;
}

/* One call; cap_reset_ambient(3) asks for each capability first. */
static int drop_ambient(void)
{
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ? -errno : 0;
}

int caps_lock(struct failure *f)
{
	int r = drop_bounding();

	if (r == 0)
		r = drop_ambient();
	if (r == 0 &&
		prctl(PR_SET_SECUREBITS, BITS_LOCKED & ~(unsigned)SECBIT_KEEP_CAPS, 0, 0, 0) < 0 &&
		errno != EPERM)
		r = -errno;
	return r < 0 ? fail(f, r, "capabilities: cannot lock them away: %m") : 0;
}

int caps_empty(struct failure *f)
{
	int r = set_permitted(NULL, 0);

	return r < 0 ? fail(f, r, "capabilities: cannot drop them: %m") : 0;
}

int caps_none(struct failure *f)
{
	int r = caps_lock(f);

	return r < 0 ? r : caps_empty(f);
}

int caps_broker(bool as_broker, struct failure *f)
{
	/* `as broker`: setfsuid(0) raises these from permitted to effective and setfsuid(worker)
	 * lowers them (capabilities(7)), so they hold only while such a rule is carried out. */
	static const cap_value_t files[] = {
		CAP_DAC_OVERRIDE,    /* open what the rule names, whatever its mode */
		CAP_DAC_READ_SEARCH, /* the same, to read and list */
		CAP_CHOWN,           /* a file made there gets its directory's owner */
		CAP_FOWNER,          /* chmod, utimes there */
	};
	int n = as_broker && geteuid() == 0 ? sizeof(files) / sizeof(files[0]) : 0;
	int r = set_permitted(files, n);

	/* The bounding set stays: it limits what execve(2) may give, which the broker's filter
	 * does not have, and each of its 41 capabilities would be a call. */
	return r < 0 ? fail(f, r, "capabilities: cannot drop the broker's: %m") : 0;
}
