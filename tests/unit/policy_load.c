/* SPDX-License-Identifier: MIT */
/*
 * policy_load.c - real files and directories: what is read, what is refused, where paths lead.
 */
#include "broker/policy_find.h"
#include "broker/policy_load.h"
#include "tests/descriptors.h"

#include "tests/unit/policy_lib.h" /* cmocka's fail() comes after ours */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char top[PATH_MAX];
static int at_start;

static const char *in_top(const char *name)
{
	static char paths[8][PATH_MAX + 256];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", top, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(in_top(name), "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(in_top(name), 0644), 0);
}

static void make_link(const char *text, const char *name)
{
	assert_int_equal(symlink(text, in_top(name)), 0);
}

static void make_dir(const char *name)
{
	assert_int_equal(mkdir(in_top(name), 0755), 0);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];

	at_start = count_fds();
	snprintf(path, sizeof(path), "%s/policy.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(path) || !realpath(path, top))
		return -1;
	/* Neither has a say in where presets are. */
	setenv("XDG_CONFIG_HOME", in_top("config"), 1);
	setenv("HOME", in_top("config"), 1);
	make_dir("config");
	make_dir("config/warder");
	make_dir("config/.config");
	make_dir("config/.config/warder");
	make_dir(".config");
	make_dir(".config/warder");
	return 0;
}

static int teardown(void **state)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	if (system(command) != 0)
		return -1;
	return count_fds() == at_start ? 0 : -1;
}

/* Loads a file of the directory, with ./ and ~ there.  Returns the result, and what was printed. */
static int load(const char *file, struct policy **ret, char *said, size_t size)
{
	struct policy_load_args a = {.file = file, .start = top, .home = top, .warnings = true};
	struct failure first = FAILURE_INIT;
	FILE *f = tmpfile();
	size_t n;
	int r;

	assert_non_null(f);
	*ret = NULL;
	r = policy_load(&a, ret, f, &first);
	rewind(f);
	n = fread(said, 1, size - 1, f);
	said[n] = '\0';
	fclose(f);
	/* The first error, for who does not see standard error. */
	assert_int_equal(first.error, r);
	assert_true(r == 0 || (strstr(said, first.text) && strstr(first.text, ": error: ")));
	return r;
}

static struct policy *load_text(const char *text, int want, const char *part)
{
	struct policy *p;
	char said[8192];
	int r;

	write_file("t.policy", text);
	r = load(in_top("t.policy"), &p, said, sizeof(said));
	if (r != want || !strstr(said, part))
		fail_msg("%s\nwanted %s\ngot %d: %s", text, part, r, said);
	return p;
}

static enum verdict check(
	struct policy *p, unsigned rights, const char *name, struct policy_answer *a)
{
	const char *path = name[0] == '/' ? name : in_top(name);

	return policy_check(p, path, strlen(path), rights, a);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void prints_file_line_column_the_line_and_a_caret(void **state)
{
	struct policy *p;
	char said[4096], want[PATH_MAX * 2];

	write_file("scan.policy", "\n\tallow raed /srv/\n# \xc3\xa4\nexpect dny \xc3\xa4 /\n");
	assert_int_equal(load(in_top("scan.policy"), &p, said, sizeof(said)), -EINVAL);
	snprintf(want, sizeof(want),
		"%s:2:8: error: unknown right \"raed\"; did you mean \"read\"?\n"
		"    \tallow raed /srv/\n"
		"    \t      ^\n"
		"%s:4:8: error: \"expect\" takes allow, deny or ask, not \"dny\"; did you mean "
		"\"deny\"?\n"
		"    expect dny \xc3\xa4 /\n"
		"           ^\n",
		in_top("scan.policy"), in_top("scan.policy"));
	assert_string_equal(said, want);
	assert_null(p);
}

static void refuses_files_that_others_can_write_and_what_is_no_file(void **state)
{
	struct policy *p;
	char said[4096];

	write_file("g.policy", "");
	assert_int_equal(load(in_top("g.policy"), &p, said, sizeof(said)), 0);
	policy_free(p);
	chmod(in_top("g.policy"), 0646);
	assert_int_equal(load(in_top("g.policy"), &p, said, sizeof(said)), -EPERM);
	assert_non_null(
		strstr(said, "can be written by others than its owner (mode 0646); chmod go-w"));
	chmod(in_top("g.policy"), 0666);
	assert_int_equal(load(in_top("g.policy"), &p, said, sizeof(said)), -EPERM);
	/* A symlink is what it leads to. */
	make_link("g.policy", "link.policy");
	assert_int_equal(load(in_top("link.policy"), &p, said, sizeof(said)), -EPERM);
	chmod(in_top("g.policy"), 0644);
	assert_int_equal(load(in_top("link.policy"), &p, said, sizeof(said)), 0);
	policy_free(p);
	assert_int_equal(mkfifo(in_top("fifo.policy"), 0600), 0);
	assert_int_equal(load(in_top("fifo.policy"), &p, said, sizeof(said)), -EPERM);
	assert_non_null(strstr(said, "is not a regular file"));
	assert_int_equal(load("/dev/null", &p, said, sizeof(said)), -EPERM);
	assert_int_equal(load(top, &p, said, sizeof(said)), -EPERM);
	assert_non_null(strstr(said, "but a directory"));
	assert_int_equal(load(in_top("gone.policy"), &p, said, sizeof(said)), -ENOENT);
	assert_non_null(strstr(said, "cannot read"));
}

/* Whether the user's group is his alone, as the account files have it. */
static bool has_private_group(void)
{
	char command[256];

	snprintf(command, sizeof(command),
		"test \"$(id -un %u)\" = \"$(id -gn %u)\" && "
		"getent group \"$(id -gn %u)\" | grep -q ':$' && "
		"test \"$(getent passwd | cut -d: -f4 | grep -cx \"$(id -g %u)\")\" = 1",
		geteuid(), geteuid(), geteuid(), geteuid());
	return system(command) == 0;
}

static void a_group_may_write_if_it_is_the_owners_alone(void **state)
{
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} of[5];
	} acl = {2, {{1, 6, ~0u}, {2, 6, 12345}, {4, 6, ~0u}, {16, 6, ~0u}, {32, 4, ~0u}}};
	int alone = has_private_group() ? 0 : -EPERM;
	struct policy *p;
	char said[4096];

	write_file("g.policy", "");
	chmod(in_top("g.policy"), 0664);
	assert_int_equal(load(in_top("g.policy"), &p, said, sizeof(said)), alone);
	policy_free(p);
	/* Where an access control list lets another user write, the mode looks the same. */
	if (setxattr(in_top("g.policy"), "system.posix_acl_access", &acl, sizeof(acl), 0) == 0)
		assert_int_equal(load(in_top("g.policy"), &p, said, sizeof(said)), -EPERM);
	else
		assert_int_equal(errno, EOPNOTSUPP);
	write_file("h.policy", "");
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(in_top("h.policy"), 0, 65534), 0);
	chmod(in_top("h.policy"), 0664);
	assert_int_equal(load(in_top("h.policy"), &p, said, sizeof(said)), -EPERM);
	assert_non_null(strstr(said, "(mode 0664); chmod go-w"));
}

static void refuses_files_of_another_user(void **state)
{
	struct policy *p;
	char said[4096], *text, *why;
	size_t size;

	/* A file of root is as good as one's own. */
	assert_int_equal(finder_read("/etc/passwd", &text, &size, &why), 0);
	free(text);
	if (geteuid() != 0)
		return; /* nobody else can give a file away */
	write_file("o.policy", "");
	assert_int_equal(chown(in_top("o.policy"), 4711, 4711), 0);
	assert_int_equal(load(in_top("o.policy"), &p, said, sizeof(said)), -EPERM);
	assert_non_null(strstr(said, "belongs to uid 4711"));
}

static void refuses_files_of_more_than_a_mebibyte(void **state)
{
	struct policy *p;
	char said[4096];
	FILE *f;

	f = fopen(in_top("big.policy"), "w");
	for (int i = 0; i < 1024 * 1024 / 16; i++)
		fputs("#23456789012345\n", f);
	fclose(f);
	chmod(in_top("big.policy"), 0644);
	assert_int_equal(load(in_top("big.policy"), &p, said, sizeof(said)), 0);
	policy_free(p);
	f = fopen(in_top("big.policy"), "a");
	fputs("#", f);
	fclose(f);
	assert_int_equal(load(in_top("big.policy"), &p, said, sizeof(said)), -EFBIG);
	assert_non_null(strstr(said, "longer than 1 MiB"));
}

static void included_files_are_held_to_the_same(void **state)
{
	write_file("inc.policy", "allow read ./\n");
	policy_free(load_text("include inc.policy", 0, ""));
	chmod(in_top("inc.policy"), 0666);
	assert_null(load_text("include inc.policy", -EINVAL, ":1:9: error: "));
	assert_null(load_text("include inc.policy", -EINVAL, "chmod go-w"));
	assert_null(load_text("include t.policy", -EINVAL, "includes itself"));
	assert_null(load_text("include gone", -EINVAL, "cannot read"));
}

static void standard_input_is_a_policy_too(void **state)
{
	struct policy *p;
	struct policy_answer a;
	char said[4096];
	int fds[2], saved = dup(0);

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "deny read /x\n", 13), 13);
	close(fds[1]);
	dup2(fds[0], 0);
	close(fds[0]);
	assert_int_equal(load("-", &p, said, sizeof(said)), 0);
	dup2(saved, 0);
	close(saved);
	check(p, RIGHT_READ, "/x", &a);
	assert_string_equal(a.rule, "stdin:1");
	policy_free(p);
}

/* ---- presets --------------------------------------------------------------------------------- */

static void the_users_preset_comes_before_the_shipped_one(void **state)
{
	struct policy_answer a;
	struct policy *p = load_text("use convert", 0, "");

	check(p, RIGHT_READ, "/x", &a);
	assert_non_null(strstr(a.rule, "/presets/convert.policy:"));
	policy_free(p);
	write_file(".config/warder/convert.policy", "deny read /x\n");
	p = load_text("use convert", 0, "");
	check(p, RIGHT_READ, "/x", &a);
	assert_string_equal(a.rule, in_top(".config/warder/convert.policy:1"));
	policy_free(p);
	chmod(in_top(".config/warder/convert.policy"), 0666);
	assert_null(load_text("use convert", -EINVAL, "chmod go-w"));
	assert_null(load_text(
		"use conver", -EINVAL, "no preset \"conver\"; did you mean \"convert\"?"));
}

static void no_variable_of_the_environment_leads_to_a_preset(void **state)
{
	write_file("config/warder/only.policy", "allow read ./\n");
	write_file("config/.config/warder/only.policy", "allow read ./\n");
	assert_null(load_text("use only", -EINVAL, "no preset \"only\""));
	write_file(".config/warder/only.policy", "allow read ./\n");
	policy_free(load_text("use only", 0, ""));
}

static void a_presets_name_is_a_policy(void **state)
{
	struct policy *p;
	char said[4096];

	assert_int_equal(load("convert", &p, said, sizeof(said)), 0);
	policy_free(p);
	assert_int_equal(load("convrt", &p, said, sizeof(said)), -ENOENT);
	assert_non_null(strstr(said, "neither a preset nor a file; did you mean \"convert\"?"));
}

static void the_shipped_presets_are_right(void **state)
{
	static const struct {
		const char *preset;
		unsigned rights;
		const char *path;
		enum verdict verdict;
	} want[] = {
		{"agent", RIGHT_WRITE, "src/main.c", VERDICT_ALLOW},
		{"agent", RIGHT_EXEC, "src/run", VERDICT_ALLOW},
		{"agent", RIGHT_WRITE, "src/.git/index", VERDICT_ALLOW},
		{"agent", RIGHT_WRITE, "src/.git/config", VERDICT_DENY},
		{"agent", RIGHT_READ, "src/.git/config", VERDICT_ALLOW},
		{"agent", RIGHT_CREATE, "src/.git/hooks/pre-commit", VERDICT_DENY},
		{"agent", RIGHT_DELETE, "src/.git/hooks", VERDICT_DENY},
		{"agent", RIGHT_WRITE, "src/sub/.git/modules/x/config", VERDICT_DENY},
		{"agent", RIGHT_READ, ".ssh/id_ed25519", VERDICT_DENY},
		{"agent", RIGHT_READ, ".netrc", VERDICT_DENY},
		{"agent", RIGHT_WRITE, ".bashrc", VERDICT_DENY},
		{"build", RIGHT_WRITE, "src/main.c", VERDICT_ALLOW},
		{"build", RIGHT_READ, ".npm/x", VERDICT_ALLOW},
		{"build", RIGHT_WRITE, ".npm/x", VERDICT_DENY},
		{"build", RIGHT_READ, ".cargo/registry/x", VERDICT_DENY}, /* missing, optional */
		{"convert", RIGHT_READ, "/etc/passwd", VERDICT_DENY},
	};
	char text[128];

	make_dir("src");
	make_dir(".npm");
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct policy_answer a;
		struct policy *p;

		snprintf(text, sizeof(text), "use %s\n%s", want[i].preset,
			want[i].preset[0] == 'c' ? "" : "allow rwx ./src/\n");
		p = load_text(text, 0, "");
		if (check(p, want[i].rights, want[i].path, &a) != want[i].verdict)
			fail_msg("%s %s", want[i].preset, want[i].path);
		assert_int_equal(policy_settings(p)->given & ~(1ull << SET_ENV), 0);
		policy_free(p);
	}
}

/* A daemon may come later: what is connected to may be missing, with the directories above it. */
static void a_socket_to_connect_may_be_missing_and_one_to_bind_needs_its_directory(void **state)
{
	static const struct {
		const char *text, *error; /* NULL: right */
	} want[] = {
		{"allow connect ./later/x.sock\n", NULL},
		{"allow connect ./later/deep/**\n", NULL},
		{"allow connect ./socks\n", ":1:15: error: "},
		{"allow bind ./socks/x.sock\n", NULL},
		{"allow bind ./later/x.sock\n", ":1:12: error: "},
		{"allow bind ./later/x.sock optional\n", NULL},
		{"deny connect ./later/x.sock\n", NULL},
	};

	make_dir("socks");
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		policy_free(load_text(want[i].text, want[i].error ? -EINVAL : 0,
			want[i].error ? want[i].error : ""));
}

/* The table of examples. */
static void the_examples_are_right(void **state)
{
	static const struct {
		const char *text;
		const char *error; /* NULL: right */
	} want[] = {
		{"use agent\nallow rwx ./src/\n", NULL},
		{"use agent\nallow rwx ./src/\nallow connect api.example.com:443 github.com:443\n",
			NULL},
		{"user clamav\nallow read ./lib/\nallow read ./spool/ as broker\n", NULL},
		{"use build\nallow rwx ./src/\ntime 20m\n", NULL},
		{"use convert\nmemory 1G\ntime 10s\n", NULL},
		{"allow connect /run/postgresql/.s.PGSQL.5432\nallow read ~/.pgpass optional\n",
			NULL},
		{"allow read ~/.pgpass optional\n", NULL},
		{"allow read ./www/\nallow append ./site.log\nallow bind 127.0.0.1:8080\n", NULL},
		{"allow read ./www/\nallow append ./site.log\n", NULL},
		{"allow connect *.debian.org:443\nallow rw ./mirror/\n", NULL},
		{"allow rw ./mirror/\n", NULL},
		{"use build\nallow rw ./src/\nallow connect github.com:22 $SSH_AUTH_SOCK\n",
			":3:29: error: SSH_AUTH_SOCK is not set"},
		{"set SSH_AUTH_SOCK = /tmp/s\nuse build\nallow rw ./src/\n"
		 "allow connect github.com:22 $SSH_AUTH_SOCK\n",
			NULL},
		{"use build\nallow rw ./src/\ndeny any ~/.ssh/ except ~/.ssh/known_hosts "
		 "~/.ssh/config\n"
		 "allow read ~/.ssh/known_hosts ~/.ssh/config\nexpect deny read ~/.ssh/id_rsa\n"
		 "expect allow read ~/.ssh/config\n",
			NULL},
		{"allow connect internet:443\nallow rw ./out/\ndeny any **/.env **/*.pem\n", NULL},
		{"allow rw ./out/\ndeny any **/.env **/*.pem\nexpect deny read ./out/.env\n", NULL},
		{"root empty\nallow read ./data/\nexpect deny read ./data/../x\n", NULL},
	};
	static const char *const dirs[] = {
		"src", "lib", "spool", "www", "mirror", "out", "data", ".ssh"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		make_dir(dirs[i]);
	write_file("site.log", "");
	write_file(".ssh/known_hosts", "");
	write_file(".ssh/config", "");
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct policy *p = load_text(want[i].text, want[i].error ? -EINVAL : 0,
			want[i].error ? want[i].error : "");

		if (p)
			assert_int_equal(policy_expect(p), 0);
		policy_free(p);
	}
}

/* ---- where paths lead ------------------------------------------------------------------------ */

static void a_path_is_found_through_every_kind_of_link(void **state)
{
	static const struct {
		const char *path, *leads;
		int r;
		size_t n_links, n_missing;
		bool last_is_link;
	} want[] = {
		{"real/sub", "real/sub", 0, 0, 0, false},
		{"rel", "real", 0, 1, 0, true},
		{"rel/sub", "real/sub", 0, 1, 0, false},
		{"abs/sub", "real/sub", 0, 1, 0, false},
		/* "..", which turns in "real", is a place to be led astray at, too. */
		{"real/up/sub", "real/sub", 0, 2, 0, false},
		{"twice/sub", "real/sub", 0, 2, 0, false},
		{"real/gone/x", "real/gone/x", -ENOENT, 0, 2, false},
		{"rel/gone", "real/gone", -ENOENT, 1, 1, false},
		{"dangling", "nowhere/x", -ENOENT, 1, 2, true},
		{"real/file/x", "real/file/x", -ENOTDIR, 0, 1, false},
	};

	make_dir("real");
	make_dir("real/sub");
	write_file("real/file", "");
	make_link("real", "rel");
	make_link(in_top("real"), "abs");
	make_link("../real", "real/up");
	make_link("./rel", "twice");
	make_link("nowhere/x", "dangling");
	make_link("loop", "loop");
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct found f;
		int r = find_path(in_top(want[i].path), &f);

		if (r != want[i].r || strcmp(f.path, in_top(want[i].leads)) != 0 ||
			f.n_links != want[i].n_links || f.n_missing != want[i].n_missing ||
			f.last_is_link != want[i].last_is_link)
			fail_msg("%s: %d %s, %zu links, %zu missing, %d", want[i].path, r, f.path,
				f.n_links, f.n_missing, f.last_is_link);
		found_deinit(&f);
	}
	{
		struct found f;

		assert_int_equal(find_path(in_top("loop"), &f), -ELOOP);
		found_deinit(&f);
		assert_int_equal(find_path("/", &f), 0);
		assert_string_equal(f.path, "/");
		assert_true(f.is_directory);
		found_deinit(&f);
	}
}

static void a_rule_through_a_symlink_holds_for_both_spellings(void **state)
{
	struct policy_answer a;
	struct policy *p;

	make_dir("real");
	write_file("real/x", "");
	make_link("real", "link");
	p = load_text("allow read ./link/ ./link/x\ndeny any ./link/no/\n", 0, "");
	assert_int_equal(check(p, RIGHT_READ, "link/x", &a), VERDICT_ALLOW);
	assert_int_equal(check(p, RIGHT_READ, "real/x", &a), VERDICT_ALLOW);
	/* A deny of what does not exist holds where its directory leads, too. */
	assert_int_equal(check(p, RIGHT_READ, "link/no/x", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_READ, "real/no/x", &a), VERDICT_DENY);
	assert_string_equal(policy_tree(p, 0)->resolved, in_top("real"));
	policy_free(p);
}

static void missing_trees_fail_the_start_unless_optional(void **state)
{
	struct policy_answer a;
	struct policy *p;

	assert_null(load_text("allow read ./gone/\n", -EINVAL, ":1:12: error: "));
	assert_null(
		load_text("allow read ./gone/*.txt\n", -EINVAL, "does not exist; make it, or add"));
	assert_null(load_text("allow append ./gone.log\n", -EINVAL, "does not exist"));
	p = load_text("allow read ./gone/ optional\ndeny any ./gone2/\n", 0, "");
	assert_int_equal(check(p, RIGHT_READ, "gone/x", &a), VERDICT_DENY);
	policy_free(p);
	/* A file to be made, in a directory that is there. */
	p = load_text("allow create,write ./new.txt\n", 0, "");
	assert_int_equal(check(p, RIGHT_CREATE, "new.txt", &a), VERDICT_ALLOW);
	policy_free(p);
	assert_null(load_text("allow create ./gone/new.txt\n", -EINVAL, "does not exist"));
	write_file("file", "");
	make_link("loop", "loop");
	assert_null(load_text("allow read ./file/x\n", -EINVAL, "does not exist"));
	assert_null(load_text("allow read ./loop\n", -EINVAL, "cannot look up"));
	policy_free(load_text(
		"allow read ./file/x ./loop optional\ndeny any ./loop ./file/x\n", 0, ""));
	assert_null(load_text("allow create ./new/\n", -EINVAL, "does not exist"));
	make_link("nowhere", "dangling");
	assert_null(load_text("allow create ./dangling\n", -EINVAL, "does not exist"));
}

static void a_directory_without_its_slash_is_an_error(void **state)
{
	make_dir("dir");
	write_file("file", "");
	assert_null(load_text("allow read ./dir\n", -EINVAL, "/dir/\" or \""));
	assert_null(load_text("deny any ./dir\n", -EINVAL, "is a directory; write"));
	assert_null(load_text("allow read ./file/\n", -EINVAL, "is not a directory; write"));
	assert_null(load_text("allow read ./file/*\n", -EINVAL, "is not a directory"));
	policy_free(load_text("allow read ./dir/ ./file\ndeny any ./file/\n", 0, ""));
}

static void a_link_the_worker_could_replace_is_an_error(void **state)
{
	make_dir("w");
	make_dir("out");
	write_file("out/x", "");
	make_link("../out", "w/link");
	make_link("w/link", "via");
	make_link("out/x", "file");
	policy_free(load_text("allow read ./w/ ./via/\n", 0, ""));
	assert_null(
		load_text("allow rw ./w/\nallow read ./via/\n", -EINVAL, "crosses a directory"));
	assert_null(load_text(
		"allow rw ./w/\nallow read ./w/link/x\n", -EINVAL, "crosses a directory"));
	/* A tree may itself be a link: where it leads is what is mounted. */
	make_link("out", "tree");
	policy_free(load_text("allow rw ./tree/\n", 0, ""));
	policy_free(load_text("allow rw ./tree/*\ndeny any ./tree/no/\n", 0, ""));
	assert_null(load_text(
		"allow rw ./tree/\nallow read ./out/x\n", -EINVAL, "crosses a directory"));
	policy_free(load_text("allow read,write ./file\n", 0, ""));
	assert_null(load_text(
		"allow rw ./file\n", -EINVAL, "is a symlink that the worker may replace"));
}

static void a_home_that_the_cell_does_not_have_is_an_error(void **state)
{
	make_dir("h");
	write_file("f", "");
	policy_free(load_text("allow rw ./h/\nhome ./h\n", 0, ""));
	policy_free(load_text("home /tmp\n", 0, ""));
	policy_free(load_text("home /usr/share\n", 0, ""));
	policy_free(load_text("root host\nhome ./h\n", 0, ""));
	assert_null(load_text("home ./h\n", -EINVAL, "t.policy:1:6: error: home "));
	assert_null(
		load_text("home ./h\n", -EINVAL, "the cell has no such place; let a rule name it"));
	assert_null(load_text("allow rw ./h/\nhome ./h/none\n", -EINVAL, "it is missing"));
	assert_null(load_text("allow read ./f\nhome ./f\n", -EINVAL, "it is no directory"));
}

static void the_policys_own_files_are_protected(void **state)
{
	struct policy_protected own = {in_top("ledger"), RIGHT_READ | RIGHT_WRITE};
	const char *lines[] = {"allow rw ./"};
	struct policy_load_args args = {.file = in_top("t.policy"),
		.start = top,
		.home = top,
		.lines = lines,
		.n_lines = 1,
		.protect = &own,
		.n_protect = 1};
	struct policy_answer a;
	struct policy *p;

	make_dir("sub");
	write_file("sub/real.policy", "");
	make_link("sub/real.policy", "inc.policy");
	write_file("t.policy", "include inc.policy\n");
	assert_int_equal(policy_load(&args, &p, stderr, &(struct failure)FAILURE_INIT), 0);
	assert_int_equal(check(p, RIGHT_WRITE, "x", &a), VERDICT_ALLOW);
	assert_string_equal(a.rule, "-e 1");
	assert_int_equal(check(p, RIGHT_WRITE, "t.policy", &a), VERDICT_DENY);
	assert_string_equal(a.rule, POLICY_SELF);
	assert_int_equal(check(p, RIGHT_READ, "t.policy", &a), VERDICT_ALLOW);
	assert_int_equal(check(p, RIGHT_DELETE, "inc.policy", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_WRITE, "sub/real.policy", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_DELETE, "sub", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_CREATE, ".config/warder/new.policy", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_READ, "ledger", &a), VERDICT_DENY);
	policy_free(p);
}

/* us/a.policy -> us/d/m.policy -> us/d/turn/../../real/p.policy */
static void every_link_to_a_policy_stays_what_it_is(void **state)
{
	const char *lines[] = {"allow rw ./us/"};
	struct policy_load_args args = {.start = top, .home = top, .lines = lines, .n_lines = 1};
	struct policy_answer a;
	struct policy *p;

	make_dir("us");
	make_dir("us/d");
	make_dir("us/d/turn");
	make_dir("us/books");
	make_dir("real");
	write_file("real/p.policy", "");
	make_link("d/m.policy", "us/a.policy");
	make_link("turn/../../../real/p.policy", "us/d/m.policy");
	make_link("d/led", "us/led");
	make_link("../books", "us/d/led");
	args.file = in_top("us/a.policy");
	args.ledger = in_top("us/led/l.jsonl");
	assert_int_equal(policy_load(&args, &p, stderr, &(struct failure)FAILURE_INIT), 0);
	assert_int_equal(check(p, RIGHT_DELETE, "us/a.policy", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_DELETE, "us/d/m.policy", &a), VERDICT_DENY);
	assert_string_equal(a.rule, POLICY_SELF);
	assert_int_equal(check(p, RIGHT_CREATE, "us/d/m.policy", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_DELETE, "us/d/turn", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_DELETE, "us/d", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_DELETE, "us/d/led", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_DELETE, "us/books", &a), VERDICT_DENY);
	assert_int_equal(check(p, RIGHT_CREATE, "us/d/other", &a), VERDICT_ALLOW);
	assert_int_equal(check(p, RIGHT_CREATE, "us/d/turn/x", &a), VERDICT_ALLOW);
	policy_free(p);
}

static void a_policy_that_could_be_written_by_another_name_is_refused(void **state)
{
	const char *write_line[] = {"allow rw ./w/"}, *read_line[] = {"allow read ./w/"};
	const char *root[] = {"allow rw ./w/", "user root"};
	struct policy_load_args args = {.file = in_top("t.policy"),
		.start = top,
		.home = top,
		.lines = write_line,
		.n_lines = 1};
	bool own = geteuid() != 0;
	struct policy *p;

	make_dir("w");
	write_file("t.policy", "");
	assert_int_equal(link(in_top("t.policy"), in_top("w/other")), 0);
	assert_int_equal(policy_load_quiet(&args, &p), own ? -EINVAL : 0);
	assert_true(!own || strstr(policy_diag(p, 0)->text, "the file has 2 names"));
	policy_free(p);
	args.lines = root;
	args.n_lines = 2;
	assert_int_equal(policy_load_quiet(&args, &p), -EINVAL);
	policy_free(p);
	args.lines = read_line;
	args.n_lines = 1;
	assert_int_equal(policy_load_quiet(&args, &p), 0);
	policy_free(p);
	assert_int_equal(unlink(in_top("w/other")), 0);
	args.lines = write_line;
	assert_int_equal(policy_load_quiet(&args, &p), 0);
	policy_free(p);
}

static void a_runtime_through_the_workers_links_is_an_error(void **state)
{
	make_dir("d");
	make_dir("d/venv");
	make_dir("far");
	make_link("d/venv", "to_venv");
	make_link("d/far", "to_far");
	make_link("../far", "d/far");
	assert_null(
		load_text("allow rw ./d/\nruntime ./to_venv\n", -EINVAL, "crosses a directory"));
	assert_null(load_text("allow rw ./d/\nruntime ./to_far\n", -EINVAL, "crosses a directory"));
	assert_null(load_text("allow rw ./d/\nruntime ./d/venv\n", -EINVAL, "crosses a directory"));
	policy_free(load_text("allow read ./d/\nruntime ./to_venv ./to_far\n", 0, ""));
	policy_free(load_text("allow rw ./d/\nruntime ./far\n", 0, ""));
	assert_null(
		load_text("deny read ./far/x\nruntime ./to_far\n", -EINVAL, "a deny cannot hold"));
}

/* By either way to their directory; another file there may be called as one likes. */
static void the_texts_of_policies_beside_a_ledger_are_protected(void **state)
{
	static const char *const texts[] = {
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.policy",
		"12.0123456789abcdef0123456789abcdef.policy"};
	const char *lines[] = {"allow rw ./"};
	struct policy_load_args args = {.start = top, .lines = lines, .n_lines = 1};
	struct policy_answer a;
	struct policy *p;

	make_dir("ledgers");
	make_link("ledgers", "to_ledgers");
	args.ledger = in_top("to_ledgers/l.jsonl");
	assert_int_equal(policy_load(&args, &p, stderr, &(struct failure)FAILURE_INIT), 0);
	assert_int_equal(check(p, RIGHT_READ, "ledgers/l.jsonl", &a), VERDICT_DENY);
	for (size_t i = 0; i < 4; i++) {
		char name[128];

		snprintf(name, sizeof(name), "%s/%s", i % 2 ? "to_ledgers" : "ledgers",
			texts[i / 2]);
		assert_int_equal(check(p, RIGHT_DELETE, name, &a), VERDICT_DENY);
		assert_string_equal(a.rule, POLICY_SELF);
		assert_int_equal(check(p, RIGHT_CREATE, name, &a), VERDICT_DENY);
		assert_int_equal(check(p, RIGHT_WRITE, name, &a), VERDICT_DENY);
		assert_int_equal(check(p, RIGHT_READ, name, &a), VERDICT_ALLOW);
	}
	assert_int_equal(
		check(p, RIGHT_WRITE, "ledgers/0123456789abcdef.policy", &a), VERDICT_ALLOW);
	policy_free(p);
}

static void sets_lines_and_flags_of_the_command_line_count(void **state)
{
	const char *lines[] = {"allow read $D/", "memory 1G"};
	const char *sets[] = {"D=/usr"};
	const char *bad[] = {"D"};
	struct policy_flag flags[] = {{"tasks", "5"}};
	struct policy_load_args args = {.lines = lines,
		.n_lines = 2,
		.sets = sets,
		.n_sets = 1,
		.flags = flags,
		.n_flags = 1};
	struct policy_answer a;
	struct policy *p;

	assert_int_equal(policy_load(&args, &p, stderr, &(struct failure)FAILURE_INIT), 0);
	assert_int_equal(check(p, RIGHT_READ, "/usr/x", &a), VERDICT_ALLOW);
	assert_int_equal(policy_settings(p)->tasks, 5);
	policy_free(p);
	args.sets = bad;
	assert_int_equal(policy_load_quiet(&args, &p), -EINVAL);
	assert_string_equal(policy_diag(p, 0)->file, "--set");
	policy_free(p);
	assert_int_equal(policy_load(&(struct policy_load_args){.file = NULL}, &p, stderr,
				 &(struct failure)FAILURE_INIT),
		0);
	assert_int_equal(check(p, RIGHT_READ, "/usr/x", &a), VERDICT_DENY);
	policy_free(p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/*
 * A copy of this program in a tree of its own, whose presets have known modes: those of a clone are
 * as the umask of who made it.  Runs it there, as build/tests/unit/policy_load.
 */
static int run_in_a_tree(void)
{
	const char *tmp = getenv("TMPDIR");
	char tree[PATH_MAX], command[8 * PATH_MAX];
	int status;

	snprintf(tree, sizeof(tree), "%s/policy.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(tree))
		return 1;
	snprintf(command, sizeof(command),
		"umask 022; self=$(readlink /proc/%d/exe) && d='%s' && "
		"mkdir -p $d/build/tests/unit $d/policy/presets && "
		"cp \"${self%%/*/*/*/*}\"/policy/presets/*.policy $d/policy/presets && "
		"chmod 644 $d/policy/presets/* && cp \"$self\" $d/build/tests/unit/ && "
		"IN_A_TREE=1 \"$d/build/tests/unit/${self##*/}\"",
		getpid(), tree);
	status = system(command);
	snprintf(command, sizeof(command), "rm -rf '%s'", tree);
	if (system(command) != 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(prints_file_line_column_the_line_and_a_caret),
		T(refuses_files_that_others_can_write_and_what_is_no_file),
		T(a_group_may_write_if_it_is_the_owners_alone),
		T(refuses_files_of_another_user),
		T(refuses_files_of_more_than_a_mebibyte),
		T(included_files_are_held_to_the_same),
		T(standard_input_is_a_policy_too),
		T(the_users_preset_comes_before_the_shipped_one),
		T(no_variable_of_the_environment_leads_to_a_preset),
		T(a_presets_name_is_a_policy),
		T(the_shipped_presets_are_right),
		T(a_socket_to_connect_may_be_missing_and_one_to_bind_needs_its_directory),
		T(the_examples_are_right),
		T(a_path_is_found_through_every_kind_of_link),
		T(a_rule_through_a_symlink_holds_for_both_spellings),
		T(missing_trees_fail_the_start_unless_optional),
		T(a_directory_without_its_slash_is_an_error),
		T(a_link_the_worker_could_replace_is_an_error),
		T(a_home_that_the_cell_does_not_have_is_an_error),
		T(the_policys_own_files_are_protected),
		T(every_link_to_a_policy_stays_what_it_is),
		T(a_policy_that_could_be_written_by_another_name_is_refused),
		T(a_runtime_through_the_workers_links_is_an_error),
		T(the_texts_of_policies_beside_a_ledger_are_protected),
		T(sets_lines_and_flags_of_the_command_line_count),
	};

	if (!getenv("IN_A_TREE"))
		return run_in_a_tree();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
