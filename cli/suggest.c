/* SPDX-License-Identifier: MIT */
/*
 * suggest.c - the line of policy that would lift a denial.
 *
 * Runs in: command line; broker after its end, still in its cage.  Trusts: nothing; a path is the
 * worker's word.
 *
 * A line that the next start refuses helps nobody, so it says of the path what stands there.  A
 * path that a worker named the broker has looked at, and asked no server that may not answer.
 */
#include "cli/suggest.h"
#include "cli/say.h"
#include "policy/policy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What the rule has to say of the path; NULL: nothing. */
static const char *option_of(unsigned rights, const struct suggest_place *place, bool *ret_is_dir)
{
	const int absent = place->absent;

	*ret_is_dir = false;
	if (absent)
		/* What may be created may be missing.  And what is behind a closed directory may be
		 * so for whoever looks: this process is the worker's user to the file system. */
		return (absent == ENOENT || absent == ENOTDIR || absent == EACCES) &&
				       !(rights & RIGHT_CREATE)
			       ? " optional"
			       : NULL;
	switch (place->mode & S_IFMT) {
	case S_IFDIR:
		*ret_is_dir = true;
		return NULL;
	case S_IFCHR:
		return " type char";
	case S_IFBLK:
		return " type block";
	case S_IFIFO:
		return " type fifo";
	}
	return NULL;
}

struct suggest_place suggest_look(const char *path)
{
	struct stat st = {.st_mode = 0}, itself;
	int r = stat(path, &st) < 0 ? errno : 0;

	return (struct suggest_place){
		r, st.st_mode, lstat(path, &itself) == 0 && S_ISLNK(itself.st_mode)};
}

int suggest(unsigned rights, const char *path, size_t fixed, const struct suggest_place *place,
	char *buf, size_t size)
{
	char target[PATH_MAX + 1];
	const unsigned replaces = rights & (RIGHT_CREATE | RIGHT_DELETE);
	const char *option;
	size_t n = strlen(path);
	bool is_dir;
	int r;

	if (size > 0)
		buf[0] = '\0';
	if (n == 0 || n >= PATH_MAX)
		return -ENAMETOOLONG;
	/* A socket is said as it stands: who listens there may come later. */
	if (rights & (RIGHT_CONNECT | RIGHT_BIND))
		return policy_suggest(rights, path, fixed, buf, size);
	option = option_of(rights, place, &is_dir);
	/* Another file would take its place: the policy refuses such a rule. */
	if (!is_dir && (rights & RIGHT_EXEC) && replaces)
		return -EINVAL;
	if (place->link && !is_dir && replaces) {
		size_t parent = (size_t)(strrchr(path, '/') - path);

		option = NULL;
		fixed = parent < fixed ? parent : fixed;
	}
	snprintf(target, sizeof(target), "%s%s", path, is_dir && path[n - 1] != '/' ? "/" : "");
	r = policy_suggest(rights, target, fixed < n ? fixed : strlen(target), buf, size);
	if (r < 0)
		return r;
	n = strlen(buf);
	if (option && n + strlen(option) >= size) {
		buf[0] = '\0';
		return -ENAMETOOLONG;
	}
	strcpy(buf + n, option ? option : "");
	return 0;
}

/* A rule of a preset that came with warder: its file is replaced with the next version. */
static bool is_shipped(const char *rule, const char **ret_file, int *ret_size)
{
	static const char installed[] = WARDER_DATADIR "/warder", source[] = "/policy/presets";
	const char *slash = strrchr(rule, '/'), *colon = strrchr(rule, ':');
	size_t n = slash ? (size_t)(slash - rule) : 0;

	if (!slash || !colon || colon < slash)
		return false;
	*ret_file = slash + 1;
	*ret_size = (int)(colon - slash - 1);
	return (n == strlen(installed) && memcmp(rule, installed, n) == 0) ||
	       (n > strlen(source) && memcmp(slash - strlen(source), source, strlen(source)) == 0);
}

int suggest_except(const char *rule, const char *path, bool makes_dir,
	const struct suggest_place *place, char *buf, size_t size)
{
	char target[PATH_MAX + 1], word[4 * PATH_MAX + 8], shown[2 * PATH_MAX];
	const char *file;
	size_t n = strlen(path);
	bool is_dir;
	int r, size_file;

	buf[0] = '\0';
	if (n == 0 || n >= PATH_MAX)
		return -ENAMETOOLONG;
	option_of(0, place, &is_dir);
	snprintf(target, sizeof(target), "%s%s", path,
		(is_dir || makes_dir) && path[n - 1] != '/' ? "/" : "");
	r = policy_quote(target, word, sizeof(word));
	if (r < 0)
		return r;
	say_escape(shown, sizeof(shown), rule, strlen(rule));
	if (is_shipped(shown, &file, &size_file))
		r = snprintf(buf, size,
			"copy %.*s to ~/.config/warder/ and end its line %s with: except %s",
			(int)(file - shown) + size_file, shown, file + size_file + 1, word);
	else
		r = snprintf(buf, size, "end %s with: except %s", shown, word);
	if (r >= 0 && (size_t)r < size)
		return 0;
	buf[0] = '\0';
	return -ENAMETOOLONG;
}
