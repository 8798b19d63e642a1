/* SPDX-License-Identifier: MIT */
/*
 * caps.c - the capability layer: none for the worker and init, next to none for the broker.
 *
 * Runs in: init, worker, broker.  Trusts: nothing.
 */
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

/* securebits(7) are locked so that uid 0 is a name and no more: exec gives it nothing, and changing
 * to or from it neither. */
#define BITS_LOCKED (SECURE_ALL_BITS | SECURE_ALL_LOCKS)

#define BIT(cap) (1ULL << (cap))

/* Permitted `permitted`, the other sets empty.  Emptying the inheritable set empties the ambient
 * one (capabilities(7)). */
static int set_permitted(uint64_t permitted)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{.permitted = (uint32_t)permitted},
		{.permitted = (uint32_t)(permitted >> 32)},
	};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* The bounding set, which needs CAP_SETPCAP: a process that was never privileged lacks it, and
 * no_new_privs stands for it.  EINVAL: the running kernel has no capability of that number. */
static int drop_bounding(void)
{
	for (int c = 0; prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0; c++)
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
	int r = set_permitted(0);

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
	const uint64_t files =
		BIT(CAP_DAC_OVERRIDE) |    /* open what the rule names, whatever its mode */
		BIT(CAP_DAC_READ_SEARCH) | /* the same, to read and list */
		BIT(CAP_CHOWN) |           /* a file made there gets its directory's owner */
		BIT(CAP_FOWNER);           /* chmod, utimes there */
	int r = set_permitted(as_broker && geteuid() == 0 ? files : 0);

	/* The bounding set stays: it limits what execve(2) may give, which the broker's filter
	 * does not have, and each of its 41 capabilities would be a call. */
	return r < 0 ? fail(f, r, "capabilities: cannot drop the broker's: %m") : 0;
}
