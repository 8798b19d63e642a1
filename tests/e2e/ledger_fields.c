/* SPDX-License-Identifier: MIT */
/*
 * ledger_fields.c - one of each operation by both doors: every field that docs/protocol.md promises
 * of its record is there, and true.
 *
 * This program is its own worker: called with --work it takes the rows one by one, and prints for
 * each what it got, as it sees it (ledger_rows.h).
 */
#include "tests/e2e/ledger_rows.h"
#include "tests/hostile/inside.h"

#include <netdb.h>

/* ---- the worker's report --------------------------------------------------------------------- */

/* "IP:PORT" of an IPv4 socket, "-" of another. */
static void address_text(int fd, bool own, char *buf, size_t size)
{
	struct sockaddr_in in = {.sin_family = AF_UNSPEC};
	socklen_t n = sizeof(in);
	int r = own ? getsockname(fd, (struct sockaddr *)&in, &n)
		    : getpeername(fd, (struct sockaddr *)&in, &n);

	snprintf(buf, size, "-");
	if (r == 0 && in.sin_family == AF_INET)
		snprintf(buf, size, "127.0.0.1:%u", ntohs(in.sin_port));
}

static void work_row(const struct side *s, size_t i)
{
	char own[64] = "-", other[64] = "-";
	struct stat st = {0};
	int fd;

	if (rows[i].inode)
		lstat(at(s, rows[i].inode), &st);
	errno = 0;
	fd = rows[i].step(s);
	if (fd >= 0 && fd != DONE) {
		if (!rows[i].inode)
			fstat(fd, &st);
		address_text(fd, true, own, sizeof(own));
		address_text(fd, false, other, sizeof(other));
	}
	printf("row %zu %d %s %llu %llu %s %s\n", i, fd, fd < 0 ? strerrorname_np(errno) : "-",
		(unsigned long long)st.st_dev, (unsigned long long)st.st_ino, own, other);
	fflush(stdout);
}

static int work_main(char **argv)
{
	unsigned door = strcmp(argv[0], "ask") == 0 ? ASK : TRAP;
	struct side s = {NULL, argv[1], (unsigned)atoi(argv[2])};

	if (door == ASK && !(s.w = warder_attach()))
		return 1;
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].doors & door)
			work_row(&s, i);
	warder_detach(s.w);
	return 0;
}

/* What the dialer asks the broker for: a first datagram to a peer, and a name. */
static int dial_main(char **argv)
{
	struct sockaddr_in in = port_address((unsigned)atoi(argv[0]));
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addrinfo *found;
	char byte;

	/* The echo comes after the record. */
	if (sendto(fd, "x", 1, 0, (struct sockaddr *)&in, sizeof(in)) != 1 ||
		recv(fd, &byte, 1, 0) != 1)
		return 1;
	return getaddrinfo("no.example", "1", NULL, &found) == 0 ? 2 : 0;
}

/* ---- the tester ------------------------------------------------------------------------------ */

/* What a worker says of a row. */
struct got {
	int result;
	char error[32], local[64], peer[64];
	unsigned long long dev, ino;
};

struct scene {
	char top[PATH_MAX], dir[PATH_MAX + 8];
	struct outcome o;
	int tcp, path; /* servers */
	uint16_t tcp_port;
	size_t next; /* record to be looked at */
};

static const char *text_of(const json_t *record, const char *key)
{
	return json_string_value(json_object_get(record, key));
}

/* The field is this text; NULL: it is missing. */
static void assert_field(const struct scene *s, const struct row *row, const json_t *r,
	const char *key, const char *want)
{
	const char *is = text_of(r, key);
	char wanted[PATH_MAX + 64];

	if (!want && !is)
		return;
	if (want && strcmp(want, "*") == 0 && is)
		return;
	snprintf(wanted, sizeof(wanted), "%s%s",
		!want          ? ""
		: *want == 'D' ? s->dir
		: *want == 'T' ? s->top
			       : want,
		want && strchr("DT", *want) ? want + 1 : "");
	if (!want || !is || strcmp(is, wanted) != 0)
		fail_msg("%s: %s is %s, not %s, in %s", row->name, key, is ? is : "missing",
			want ? wanted : "missing", json_dumps(r, 0));
}

static void assert_has(const struct row *row, const json_t *r, const char *key, bool has)
{
	if ((json_object_get(r, key) != NULL) != has)
		fail_msg("%s: %s is %s in %s", row->name, key, has ? "missing" : "there",
			json_dumps(r, 0));
}

static long long number_of(const json_t *record, const char *key)
{
	const json_t *v = json_object_get(record, key);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* What every record of a request has. */
static void assert_common(struct scene *s, const struct row *row, const json_t *r, bool ask)
{
	const json_t *first = json_array_get(s->o.ledger, 0);
	const char *time = text_of(r, "time");
	static const char form[] = "0000-00-00T00:00:00.000000000Z";

	assert_int_equal(number_of(r, "seq"), (long long)s->next + 1);
	assert_string_equal(text_of(r, "session"), text_of(first, "session"));
	assert_int_equal(strlen(time), sizeof(form) - 1);
	for (size_t i = 0; form[i]; i++)
		assert_true(form[i] == '0' ? time[i] >= '0' && time[i] <= '9' : time[i] == form[i]);
	assert_field(s, row, r, "door", ask ? "ask" : "trap");
	assert_field(s, row, r, "op", row->op);
	/* Of a test that hangs nothing would come at all. */
	assert_in_range(number_of(r, "us"), 0, 600000000);
	assert_has(row, r, "generation", false);
	assert_has(row, r, "class", false);
}

/* As fstat(2) has it in the worker; what stands beside the directory is in no view. */
static void assert_inode(
	const struct scene *s, const struct row *row, const struct got *got, const json_t *r)
{
	unsigned long long dev = got->dev, ino = got->ino;
	char path[PATH_MAX + 64];
	struct stat st;

	if (row->inode && strncmp(row->inode, "../", 3) == 0) {
		snprintf(path, sizeof(path), "%s%s", s->top, row->inode + 2);
		assert_int_equal(lstat(path, &st), 0);
		dev = st.st_dev;
		ino = st.st_ino;
	}
	assert_true(ino != 0);
	assert_int_equal(number_of(r, "dev"), dev);
	assert_int_equal(number_of(r, "ino"), ino);
}

static void assert_record(struct scene *s, const struct row *row, const struct got *got,
	const json_t *r, pid_t worker, bool ask)
{
	const struct {
		const char *key, *want;
	} texts[] = {
		{"event", row->event},
		{"asked", row->asked},
		{"reached", row->reached},
		{"asked2", row->asked2},
		{"reached2", row->reached2},
		{"type", row->type},
		{"socket", row->socket},
		{"flags", row->flags},
		{"rights", row->rights},
		{"error", row->error ? row->error : NULL},
		{"rule", row->has & RULE ? "*" : NULL},
		{"reason", row->has & REASON ? "*" : NULL},
	};

	assert_common(s, row, r, ask);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_field(s, row, r, texts[i].key, texts[i].want);
	if (row->error)
		assert_string_equal(text_of(r, "error"), got->error);
	/* exec(2) is a child's. */
	if (strcmp(row->name, "exec") != 0)
		assert_int_equal(number_of(r, "pid"), worker);
	assert_has(row, r, "pid", true);
	assert_has(row, r, "fd", row->has & FD);
	assert_has(row, r, "dev", row->has & INODE);
	if (row->has & INODE)
		assert_inode(s, row, got, r);
	if (row->has & LOCAL)
		assert_field(s, row, r, "local", got->local);
	if (row->has & PEER)
		assert_field(s, row, r, "peer", got->peer);
}

/* The next record of a request; NULL: there is none. */
static const json_t *next_record(struct scene *s)
{
	for (; s->next < json_array_size(s->o.ledger); s->next++) {
		const json_t *r = json_array_get(s->o.ledger, s->next);

		if (json_object_get(r, "door"))
			return r;
	}
	return NULL;
}

/* A file is announced before it is made, when it has no inode yet. */
static void pass_announcement(struct scene *s, const struct row *row)
{
	const json_t *r = next_record(s);

	assert_non_null(r);
	assert_field(s, row, r, "op", row->op);
	assert_field(s, row, r, "asked", row->asked);
	assert_field(s, row, r, "flags", row->flags);
	assert_has(row, r, "fd", false);
	assert_has(row, r, "ino", false);
	s->next++;
}

static pid_t worker_of(const struct scene *s)
{
	json_t *r;
	size_t i;

	json_array_foreach(s->o.ledger, i,
		r) if (strcmp(text_of(r, "event"), "spawn") == 0) return (pid_t)number_of(r, "pid");
	return -1;
}

static void assert_rows(struct scene *s, bool ask)
{
	const char *line = s->o.out;
	pid_t worker = worker_of(s);
	const json_t *r;

	for (size_t i = 0; i < ROWS; i++) {
		struct got got;
		size_t number = ROWS;

		if (!(rows[i].doors & (ask ? ASK : TRAP)))
			continue;
		if (!line ||
			sscanf(line, "row %zu %d %31s %llu %llu %63s %63s", &number, &got.result,
				got.error, &got.dev, &got.ino, got.local, got.peer) != 7)
			fail_msg("%s: the worker said: %s", rows[i].name, line ? line : "nothing");
		assert_int_equal(number, i);
		/* A tmpfs has attributes of users from Linux 6.6 on. */
		if (strcmp(got.error, "EOPNOTSUPP") == 0 && strstr(rows[i].name, "xattr")) {
			r = next_record(s);
			assert_string_equal(r ? text_of(r, "error") : "", "EOPNOTSUPP");
			s->next++;
			line = strchr(line, '\n') + 1;
			continue;
		}
		if ((got.result < 0) != (rows[i].error != NULL))
			fail_msg("%s: %s", rows[i].name, got.error);
		if (rows[i].has & ANNOUNCED)
			pass_announcement(s, &rows[i]);
		r = next_record(s);
		if (!r)
			fail_msg("%s: no record is left", rows[i].name);
		assert_record(s, &rows[i], &got, r, worker, ask);
		s->next++;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	/* And nothing else was written. */
	r = next_record(s);
	if (r)
		fail_msg("more than the rows: %s", json_dumps(r, 0));
}

/* ---- the scene ------------------------------------------------------------------------------- */

static void give(const char *path)
{
	if (geteuid() == 0)
		assert_int_equal(lchown(path, 65534, 65534), 0);
}

static void make_scene(struct scene *s)
{
	char path[PATH_MAX + 32];

	*s = (struct scene){.o = OUTCOME_INIT};
	make_directory(s->top, sizeof(s->top));
	snprintf(s->dir, sizeof(s->dir), "%s/data", s->top);
	assert_int_equal(mkdir(s->dir, 0755), 0);
	give(s->dir);
	snprintf(path, sizeof(path), "%s/a", s->dir);
	make_file(path, "text", 0644);
	give(path);
	snprintf(path, sizeof(path), "%s/run", s->top);
	make_file(path, "#!/bin/true\n", 0755);
	give(path);
	snprintf(path, sizeof(path), "%s/link", s->dir);
	assert_int_equal(symlink("a", path), 0);
	snprintf(path, sizeof(path), "%s/sock", s->top);
	s->path = listen_name(path, SOCK_SEQPACKET, 4);
	s->tcp = listen_port(4, &s->tcp_port);
}

static void end_scene(struct scene *s)
{
	char command[PATH_MAX + 16];

	close(s->path);
	close(s->tcp);
	outcome_free(&s->o);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->top);
	assert_int_equal(system(command), 0);
}

static void run_rows(const char *door)
{
	char files[PATH_MAX + 64], exec[PATH_MAX + 64], path[PATH_MAX + 64], tcp[64], port[16];
	struct scene s;

	make_scene(&s);
	snprintf(files, sizeof(files), "allow read,write,create,delete %s/", s.dir);
	snprintf(exec, sizeof(exec), "allow exec %s/run", s.top);
	snprintf(path, sizeof(path), "allow connect %s/sock", s.top);
	snprintf(tcp, sizeof(tcp), "allow connect 127.0.0.1:%u", (unsigned)s.tcp_port);
	snprintf(port, sizeof(port), "%u", (unsigned)s.tcp_port);
	{
		const char *options[] = {"-q", "-e", files, "-e", exec, "-e", path, "-e", tcp, "-e",
			"allow connect localhost:1", "-e", "allow bind 127.0.0.1:*", NULL};
		const char *command[] = {own_path(), "--work", door, s.dir, port, NULL};

		run_inside(&s.o, s.top, options, command);
	}
	if (s.o.status != 0)
		fail_msg("%s", s.o.out);
	assert_rows(&s, strcmp(door, "ask") == 0);
	end_scene(&s);
}

static void what_the_ask_door_records_is_whole_and_true(void **state)
{
	run_rows("ask");
}

static void what_the_trap_door_records_is_whole_and_true(void **state)
{
	run_rows("trap");
}

/* ---- the dialer's ---------------------------------------------------------------------------- */

/* Sends back the one datagram that comes. */
static pid_t echo(int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		char byte;

		alarm(120);
		if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &size) == 1)
			sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, size);
		_exit(0);
	}
	return pid;
}

/* The first record of an op, without a door. */
static const json_t *of_dialer(const struct scene *s, const char *event, const char *op)
{
	const json_t *found = NULL;
	json_t *r;
	size_t i;

	json_array_foreach(s->o.ledger, i, r)
	{
		const char *is = text_of(r, "op");

		if (!found && is && strcmp(is, op) == 0 && strcmp(text_of(r, "event"), event) == 0)
			found = r;
	}
	if (!found)
		fail_msg("no %s of %s", event, op);
	assert_null(json_object_get(found, "door"));
	assert_null(json_object_get(found, "fd"));
	assert_in_range(number_of(found, "us"), 0, 600000000);
	return found;
}

static void what_the_dialer_asks_for_is_recorded_without_a_door(void **state)
{
	char rule[80], peer[64], number[16];
	struct sockaddr_in in = port_address(0);
	socklen_t size = sizeof(in);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), status;
	const json_t *r;
	struct scene s;
	pid_t pid;

	make_scene(&s);
	assert_int_equal(bind(udp, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(udp, (struct sockaddr *)&in, &size), 0);
	pid = echo(udp);
	snprintf(number, sizeof(number), "%u", (unsigned)ntohs(in.sin_port));
	snprintf(peer, sizeof(peer), "udp 127.0.0.1:%s", number);
	snprintf(rule, sizeof(rule), "allow connect %s", peer);
	{
		const char *options[] = {"-q", "-e", rule, "-e", "allow connect h.example:1", NULL};
		const char *command[] = {own_path(), "--dial", number, NULL};

		run_inside(&s.o, s.top, options, command);
	}
	assert_int_equal(s.o.status, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(udp);
	r = of_dialer(&s, "grant", "send");
	assert_string_equal(text_of(r, "type"), "udp");
	assert_string_equal(text_of(r, "peer"), peer);
	assert_string_equal(text_of(r, "rule"), "-e 1");
	r = of_dialer(&s, "deny", "resolve");
	assert_string_equal(text_of(r, "name"), "no.example");
	assert_non_null(text_of(r, "error"));
	assert_non_null(text_of(r, "reason"));
	end_scene(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fds_before, fds_after)
		T(what_the_ask_door_records_is_whole_and_true),
		T(what_the_trap_door_records_is_whole_and_true),
		T(what_the_dialer_asks_for_is_recorded_without_a_door),
	};

	if (argc > 1 && strcmp(argv[1], "--work") == 0)
		return work_main(argv + 2);
	if (argc > 2 && strcmp(argv[1], "--dial") == 0)
		return dial_main(argv + 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
