/* SPDX-License-Identifier: MIT */
/*
 * policy_load.c - real files: what is read, what is refused, what presets and the command line add.
 */
#include "broker/policy_find.h"
#include "tests/unit/policy_world.h"

#include <sys/xattr.h>

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

/* Of a long line it is what stands around the column, and the caret is under that. */
static void of_a_long_line_it_prints_a_part(void **state)
{
	struct policy *p;
	char text[16384] = "allow read", said[4096];
	const char *shown, *caret, *wrong;

	for (int i = 0; i < 500; i++)
		strcat(text, " /srv/\xc3\xa4/");
	strcat(text, " raed");
	for (int i = 0; i < 500; i++)
		strcat(text, " /srv/");
	strcat(text, "\n");
	write_file("scan.policy", text);
	assert_int_equal(load(in_top("scan.policy"), &p, said, sizeof(said)), -EINVAL);
	shown = strstr(said, "\n    ...");
	assert_non_null(shown);
	wrong = strstr(shown, "raed");
	caret = strchr(shown, '^');
	assert_non_null(wrong);
	assert_non_null(caret);
	assert_true(strchr(shown + 1, '\n') < caret);
	assert_memory_equal(strchr(shown + 1, '\n') - 3, "...", 3);
	assert_true(caret - shown < 400);
	/* In columns: each of the two-byte characters before it takes one. */
	size_t column = 0;
	for (const char *s = shown + 1; s < wrong; s++)
		column += ((unsigned char)*s & 0xc0) != 0x80;
	assert_int_equal(caret - (strchr(shown + 1, '\n') + 1), column);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(prints_file_line_column_the_line_and_a_caret),
		T(of_a_long_line_it_prints_a_part),
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
		T(sets_lines_and_flags_of_the_command_line_count),
	};

	if (!getenv("IN_A_TREE"))
		return run_in_a_tree();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
