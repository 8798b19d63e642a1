/* SPDX-License-Identifier: MIT */
/*
 * serve_door.c - who comes in to a service, and the book of who came.
 *
 * Runs in: supervisor.  Trusts: of a client, what the kernel said of it when it connected
 * (SO_PEERCRED, SO_PEERGROUPS: unix(7)); nothing that it sends.
 *
 * The modes of directory and socket let in anybody where the policy names clients; the decision is
 * made here.  Who is sent away costs one accept(2) and one close(2), and for sixteen a second a
 * line: a flood of strangers fills neither the ledger nor standard error.
 */
#include "cli/serve_door.h"
#include "cli/ledger_file.h"
#include "cli/say.h"
#include "cli/serve_slot.h"
#include "common/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13 */
#endif

#define TOLD_A_SECOND 16 /* of those who are sent away */

/* ---- the start ------------------------------------------------------------------------------- */

static bool names_group(const struct policy *p, gid_t gid)
{
	for (size_t i = 0; i < policy_client_count(p); i++)
		if (policy_client(p, i)->group && policy_client(p, i)->known &&
			policy_client(p, i)->id == gid)
			return true;
	return false;
}

/* Whether others can come through one directory on the way.  Where neither its group nor others may
 * search it, an ACL lets nobody through either: its mask is the group's part of the mode (acl(5)).
 */
static int check_passage(const struct policy *p, const char *dir, bool quiet, struct failure *f)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return fail(f, -errno, "cannot look at %s: %m", dir);
	if (st.st_mode & S_IXOTH)
		return 0;
	if (!(st.st_mode & S_IXGRP))
		return fail(f, -EACCES,
			"`clients` would let nobody in: %s has mode %04o, so that others cannot "
			"come through it to the socket; set XDG_RUNTIME_DIR to a directory that "
			"they can pass%s, or leave `clients` out",
			dir, st.st_mode & 07777,
			geteuid() == 0 ? ", or unset it for /run/warder" : "");
	if (!quiet && !names_group(p, st.st_gid))
		say("of those whom `clients` names only members of group %u can come through %s to "
		    "the socket",
			(unsigned)st.st_gid, dir);
	return 0;
}

/* The socket's own directory is opened to them when it is there; those above are not ours. */
static int check_way(const struct policy *p, const char *path, bool quiet, struct failure *f)
{
	char dir[PATH_MAX];
	char *slash;
	int r;

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	while ((slash = strrchr(dir, '/'))) {
		*slash = '\0';
		r = check_passage(p, *dir ? dir : "/", quiet, f);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether every id is mapped here.  Otherwise an unmapped one looks like the overflow id
 * (user_namespaces(7)), and so might a stranger look like us, or like one who is named. */
static bool all_mapped(const char *map_path)
{
	unsigned long inside, outside, count;
	FILE *map = fopen(map_path, "re");
	bool all = map && fscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3 &&
		   inside == 0 && count >= 4294967295UL;

	if (map)
		fclose(map);
	return all;
}

static int open_ledger(struct serve_door *d, const char *below, const char *path, struct failure *f)
{
	struct ledger_file file = LEDGER_FILE_INIT;
	char hash[POLICY_HASH_SIZE];
	struct record r = {.event = EVENT_SESSION,
		.policy_hash = hash,
		.generation = LEDGER_FIRST_GENERATION,
		.text = path};
	int e = ledger_file_new(below, "door-", &file, f);

	if (e < 0)
		return e;
	e = ledger_keep_policy(&file, d->policy, hash, f);
	d->ledger = e == 0 ? malloc(sizeof(*d->ledger)) : NULL;
	if (e == 0 && !d->ledger)
		e = fail(f, -ENOMEM, "no memory for the door's ledger");
	if (e < 0) {
		ledger_file_close(&file);
		return e;
	}
	e = ledger_init(d->ledger, &file.fd);
	if (e == 0) {
		d->ledger->sync = policy_settings(d->policy)->ledger_sync;
		d->ledger->tell_unsynced = ledger_say_unsynced;
		e = ledger_write(d->ledger, &r);
	}
	if (e < 0) {
		ledger_deinit(d->ledger);
		free(d->ledger);
		d->ledger = NULL;
	}
	ledger_file_close(&file);
	return e < 0 ? fail(f, e, "cannot write the door's ledger in %s: %m", below) : 0;
}

int door_open(struct serve_door *d, const struct policy *policy, const char *socket_path,
	const char *below, bool quiet, struct failure *f)
{
	int r;

	d->policy = policy;
	d->users_mapped = all_mapped("/proc/self/uid_map");
	d->groups_mapped = all_mapped("/proc/self/gid_map");
	if (!door_has_others(d))
		return 0;
	r = check_way(policy, socket_path, quiet, f);
	return r < 0 ? r : open_ledger(d, below, socket_path, f);
}

bool door_has_others(const struct serve_door *d)
{
	return policy_client_count(d->policy) > 0;
}

/* ---- the decision ---------------------------------------------------------------------------- */

static uint32_t overflow_id(const char *path)
{
	unsigned long id = 65534;
	FILE *file = fopen(path, "re");

	if (file) {
		if (fscanf(file, "%lu", &id) != 1)
			id = 65534;
		fclose(file);
	}
	return (uint32_t)id;
}

static bool is_certain_user(const struct serve_door *d, uid_t uid)
{
	return d->users_mapped || uid != overflow_id("/proc/sys/kernel/overflowuid");
}

static bool is_certain_group(const struct serve_door *d, gid_t gid)
{
	return d->groups_mapped || gid != overflow_id("/proc/sys/kernel/overflowgid");
}

/* Those of the client that `clients` may be asked about: how many.  None where the kernel does not
 * tell them all. */
static size_t find_groups(struct serve_door *d, int fd, gid_t gid)
{
	socklen_t size = NGROUPS_MAX * sizeof(gid_t);
	size_t n, kept = 0;

	d->groups[0] = gid;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, d->groups + 1, &size) < 0)
		return 0;
	n = 1 + size / sizeof(gid_t);
	for (size_t i = 0; i < n; i++) {
		/* Sorted by the kernel, so that equal ones stand together. */
		if (kept > 0 && d->groups[i] == d->groups[kept - 1])
			continue;
		d->groups[kept++] = d->groups[i];
	}
	for (size_t i = 0; i < kept; i++)
		if (names_group(d->policy, d->groups[i]) && !is_certain_group(d, d->groups[i]))
			d->groups[i] = (gid_t)-1;
	return kept;
}

/* Whether it comes in; *ret_by, where it is by the policy, the entry that says so. */
static bool decide(struct serve_door *d, int fd, const struct msg_client *who,
	const struct policy_client **ret_by, const char **ret_why)
{
	*ret_by = NULL;
	*ret_why = NULL;
	if (!is_certain_user(d, who->uid)) {
		*ret_why = "its user has no number here, and could be anybody";
		return false;
	}
	if (who->uid == 0 || who->uid == geteuid())
		return true;
	*ret_by = policy_admits(d->policy, who->uid, NULL, 0);
	if (!*ret_by && door_has_others(d))
		*ret_by =
			policy_admits(d->policy, who->uid, d->groups, find_groups(d, fd, who->gid));
	if (!*ret_by)
		*ret_why = "neither its user nor a group of its is named by `clients`";
	return *ret_by != NULL;
}

/* ---- the book -------------------------------------------------------------------------------- */

/* 0, also where the door has no ledger.  -errno: said, once. */
static int write_down(struct serve_door *d, const struct record *r)
{
	int e = d->ledger ? ledger_write(d->ledger, r) : 0;

	if (e < 0 && !d->lost && !d->ledger->unsynced) {
		errno = -e;
		say("cannot write the door's ledger: %m; until it can be written nobody is let "
		    "in");
	}
	d->lost = e < 0;
	return e;
}

/* Those who were sent away and counted. */
static void tell_untold(struct serve_door *d)
{
	const struct record r = {
		.event = EVENT_CLIENT,
		.error = EACCES,
		.reason = "as before, so many times more",
		.count = d->untold,
	};

	if (d->untold == 0)
		return;
	say("%llu clients more were sent away", (unsigned long long)d->untold);
	if (write_down(d, &r) == 0)
		d->untold = 0;
}

/* Whether one more is told of in this second. */
static bool may_tell(struct serve_door *d)
{
	long now = slot_clock_ms();

	if (now - d->second >= 1000) {
		d->second = now;
		d->told = 0;
		tell_untold(d);
	}
	return d->told++ < TOLD_A_SECOND;
}

bool door_lets_in(struct serve_door *d, int fd, const struct msg_client *who)
{
	const struct policy_client *by;
	struct record r = {
		.event = EVENT_CLIENT,
		.has_client = true,
		.client_uid = who->uid,
		.client_gid = who->gid,
		.client_pid = (pid_t)who->pid,
	};
	bool in = decide(d, fd, who, &by, &r.reason);

	r.has_fd = in;
	r.error = in ? 0 : EACCES;
	r.rule = by ? by->rule : NULL;
	if (in)
		return write_down(d, &r) == 0;
	if (!may_tell(d)) {
		d->untold++;
		return false;
	}
	say("a client of uid %u (process %u) was sent away", (unsigned)who->uid,
		(unsigned)who->pid);
	write_down(d, &r);
	return false;
}

void door_close(struct serve_door *d)
{
	const struct record r = {.event = EVENT_END, .text = "the service ended"};

	if (!d->ledger)
		return;
	tell_untold(d);
	write_down(d, &r);
	ledger_deinit(d->ledger);
	free(d->ledger);
	d->ledger = NULL;
}
