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

static int set_to(const cap_value_t *values, int n, bool effective)
{
	cap_t caps = cap_init();
	int r = 0;

	if (!caps)
		return -errno;
	if (n > 0 && cap_set_flag(caps, CAP_PERMITTED, n, values, CAP_SET) < 0)
		r = -errno;
	if (r == 0 && n > 0 && effective &&
		cap_set_flag(caps, CAP_EFFECTIVE, n, values, CAP_SET) < 0)
		r = -errno;
	if (r == 0 && cap_set_proc(caps) < 0)
		r = -errno;
	cap_free(caps);
	return r;
}

static bool keeps(const cap_value_t *values, int n, cap_value_t value)
{
	for (int i = 0; i < n; i++) {
		if (values[i] == value)
			return true;
	}
	return false;
}

/* The bounding set, which needs CAP_SETPCAP: a process that was never privileged lacks it, and
 * no_new_privs stands for it. */
static int drop_bounding(const cap_value_t *keep, int n)
{
	if (prctl(PR_CAPBSET_DROP, CAP_SETPCAP, 0, 0, 0) < 0)
		return errno == EPERM ? 0 : -errno;
	for (cap_value_t c = 0; c < cap_max_bits(); c++) {
		if (!keeps(keep, n, c) && cap_drop_bound(c) < 0)
			return -errno;
	}
	return 0;
}

/* One call; cap_reset_ambient(3) asks for each capability first. */
static int drop_ambient(void)
{
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ? -errno : 0;
}

int caps_lock(struct failure *f)
{
	int r = drop_bounding(NULL, 0);

	if (r == 0)
		r = drop_ambient();
	if (r == 0 && cap_set_secbits(BITS_LOCKED & ~(unsigned)SECBIT_KEEP_CAPS) < 0 &&
		errno != EPERM)
		r = -errno;
	return r < 0 ? fail(f, r, "capabilities: cannot lock them away: %m") : 0;
}

int caps_none(struct failure *f)
{
	int r = caps_lock(f);

	if (r < 0)
		return r;
	r = set_to(NULL, 0, false);
	return r < 0 ? fail(f, r, "capabilities: cannot drop them: %m") : 0;
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
	int n = as_broker && geteuid() == 0 ? (int)(sizeof(files) / sizeof(*files)) : 0;
	int r = drop_bounding(files, n);

	if (r == 0)
		r = drop_ambient();
	if (r == 0)
		r = set_to(files, n, false);
	return r < 0 ? fail(f, r, "capabilities: cannot drop the broker's: %m") : 0;
}
