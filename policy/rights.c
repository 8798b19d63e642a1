/* SPDX-License-Identifier: MIT */
/*
 * rights.c - the rights on files: their names, and what includes what.
 *
 * Runs in: broker, command line.  Trusts: nothing.
 */
#include "policy/internal.h"

#include <string.h>

static const struct right_word {
	const char *word;
	unsigned rights;
} right_words[] = {
	{"read", RIGHT_READ},
	{"list", RIGHT_LIST},
	{"write", RIGHT_WRITE},
	{"append", RIGHT_APPEND},
	{"create", RIGHT_CREATE},
	{"delete", RIGHT_DELETE},
	{"exec", RIGHT_EXEC},
	{"rw", RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE | RIGHT_DELETE},
	{"rwx", RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE | RIGHT_DELETE | RIGHT_EXEC},
	{"any", RIGHTS_ALL},
};

const char *const right_names[] = {"read", "list", "write", "append", "create", "delete", "exec",
	"rw", "rwx", "any", "connect", "bind", NULL};

const char *right_name(unsigned bit)
{
	return 1u << bit == RIGHT_CONNECT ? "connect"
	       : 1u << bit == RIGHT_BIND  ? "bind"
					  : right_names[bit];
}

unsigned right_written(const char *word, size_t n)
{
	for (size_t i = 0; i < sizeof(right_words) / sizeof(*right_words); i++)
		if (strlen(right_words[i].word) == n && memcmp(right_words[i].word, word, n) == 0)
			return right_words[i].rights;
	return 0;
}

/*
 * A grant of a right grants what is less: read lists, write appends, exec reads.  A deny takes away
 * what would be more: without read there is no exec; and write and append go together, since a rule
 * that names the one can only mean that the file's data are to stay.
 */
unsigned right_close(unsigned rights, enum verdict verdict)
{
	if (verdict == VERDICT_DENY) {
		if (rights & RIGHT_READ)
			rights |= RIGHT_LIST | RIGHT_EXEC;
		if (rights & (RIGHT_WRITE | RIGHT_APPEND))
			rights |= RIGHT_WRITE | RIGHT_APPEND;
		return rights;
	}
	if (rights & RIGHT_EXEC)
		rights |= RIGHT_READ;
	if (rights & RIGHT_READ)
		rights |= RIGHT_LIST;
	if (rights & RIGHT_WRITE)
		rights |= RIGHT_APPEND;
	return rights;
}

unsigned policy_right_parse(const char *word, size_t size)
{
	return right_close(right_written(word, size), VERDICT_ALLOW);
}

/* Leaves out what another right of the set includes. */
static unsigned right_open(unsigned rights)
{
	if (rights & RIGHT_EXEC)
		rights &= ~(unsigned)RIGHT_READ;
	if (rights & (RIGHT_READ | RIGHT_EXEC))
		rights &= ~(unsigned)RIGHT_LIST;
	if (rights & RIGHT_WRITE)
		rights &= ~(unsigned)RIGHT_APPEND;
	return rights;
}

char *policy_rights_name(unsigned rights, char *buf, size_t size)
{
	unsigned left = rights & MARKS_ALL;
	size_t n = 0;

	if (size > 0)
		buf[0] = '\0';
	left = left == RIGHTS_ALL ? left : right_open(left);
	for (; left; left &= left - 1) {
		const char *name = right_name((unsigned)__builtin_ctz(left));
		size_t more = strlen(name);

		if (n + more + 2 > size) /* a comma before, a NUL behind */
			break;
		if (n > 0)
			buf[n++] = ',';
		memcpy(buf + n, name, more + 1);
		n += more;
	}
	return buf;
}

const char *policy_verdict_name(enum verdict v)
{
	static const char *const names[] = {
		[VERDICT_DENY] = "deny", [VERDICT_ASK] = "ask", [VERDICT_ALLOW] = "allow"};

	return names[v];
}
