/* SPDX-License-Identifier: MIT */
/*
 * spawn_failure.c - why a worker could not start its program, in words that say what to do.
 *
 * Runs in: broker, caged but for what is still to come.  Trusts: the worker's last steps, which are
 * warder's own.
 */
#include "broker/spawn_failure.h"
#include "policy/policy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The PATH that the worker has looked along: this process has no environment any more. */
static const char *path_of(const struct cell_spec *spec)
{
	for (char *const *e = spec->envp; e && *e; e++)
		if (strncmp(*e, "PATH=", 5) == 0)
			return *e + 5;
	return "";
}

/* Whether the program stands on the host, along the cell's PATH, where the cell has nothing. */
static bool host_has(const struct cell_spec *spec, char *path, size_t size)
{
	const char *name = spec->program;
	int n;

	if (strchr(name, '/')) {
		bool relative = name[0] != '/';

		while (relative && name[0] == '.' && name[1] == '/')
			name += 1 + strspn(name + 1, "/");
		n = snprintf(path, size, "%s%s%s", relative && spec->cwd ? spec->cwd : "",
			relative ? "/" : "", name);
		return n > 0 && (size_t)n < size && access(path, X_OK) == 0;
	}
	for (const char *at = path_of(spec); at; at = *at ? at + 1 : NULL) {
		const char *end = strchrnul(at, ':');

		n = snprintf(path, size, "%.*s/%s", (int)(end - at), at, name);
		if (*at == '/' && n > 0 && (size_t)n < size && access(path, X_OK) == 0)
			return true;
		at = end;
	}
	return false;
}

/* What was named by its path is wanted alone; what PATH led to may need what lies beside it. */
static int not_found(const struct cell_spec *spec, struct failure *f)
{
	char path[PATH_MAX], dir[PATH_MAX], word[PATH_MAX];
	char *slash;

	if (!host_has(spec, path, sizeof(path)))
		return fail(f, -ENOENT,
			"%s: command not found%s, neither in the cell nor on this host",
			spec->program, strchr(spec->program, '/') ? "" : " along PATH");
	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!strchr(spec->program, '/') && slash > dir)
		*slash = '\0';
	if (policy_quote(dir, word, sizeof(word)) < 0)
		return fail(f, -ENOENT, "%s is on this host but not in the cell", spec->program);
	return fail(f, -ENOENT,
		"%s is on this host (%s) but not in the cell; add the line `runtime %s` to the "
		"policy",
		spec->program, path, word);
}

int spawn_failure(const struct cell_spec *spec, struct worker_report *report, int *ret_exec,
	struct failure *f)
{
	report->failure.text[sizeof(report->failure.text) - 1] = '\0';
	if (report->exec == 0)
		return fail(f, report->failure.error, "%s", report->failure.text);
	*ret_exec = report->exec;
	if (report->exec == 127)
		return not_found(spec, f);
	return fail(f, report->failure.error == -ENOENT ? -EACCES : report->failure.error, "%s",
		report->failure.text);
}
