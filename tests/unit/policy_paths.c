/* SPDX-License-Identifier: MIT */
/*
 * policy_paths.c - real files and directories: where a policy's paths lead, and its own files.
 */
#include "broker/policy_find.h"
#include "tests/unit/policy_world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	if (!getenv("IN_A_TREE"))
		return run_in_a_tree();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
