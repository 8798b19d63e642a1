/* SPDX-License-Identifier: MIT */
/*
 * trap_races.c - a second thread changes what a call names, while the broker answers the first.
 *
 * Each race opens the same thing again and again, which is at one moment a file that may be read
 * and at another one that may not.  Outside the cell both are opened; inside, never the second, and
 * both must have been met, or nothing was raced for.
 * RUN_ALONE: the racers need both processors.
 */
#include "tests/hostile/trap_inside.h"

#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define DIR_FD 90

/* What came of a race's opens. */
struct score {
	long granted, stolen, refused, other;
};

static struct score score;
static volatile bool over;

static void count_fd(int fd)
{
	char c = 0;

	if (fd < 0) {
		if (errno == EACCES)
			score.refused++;
		else
			score.other++;
		return;
	}
	if (pread(fd, &c, 1, 0) != 1)
		score.other++;
	else if (c == 's')
		score.stolen++;
	else
		score.granted++;
	close(fd);
}

static bool met_both(void)
{
	return score.granted > 0 && score.stolen + score.refused > 0;
}

/* Runs `flip` until the opens are done. */
static void race(const char *name, void *(*flip)(void *), void (*open_once)(void), long n)
{
	pthread_t thread;

	memset(&score, 0, sizeof(score));
	over = false;
	if (pthread_create(&thread, NULL, flip, NULL) != 0)
		return;
	/* On a busy machine the other thread may not run for long: then it takes more. */
	for (long i = 0; i < n || (i < 50 * n && !met_both()); i++)
		open_once();
	over = true;
	pthread_join(thread, NULL);
	printf("%s granted=%ld stolen=%ld refused=%ld other=%ld\n", name, score.granted,
		score.stolen, score.refused, score.other);
	fflush(stdout);
}

/* ---- the path's text ----------------------------------------------------------------------- */

static char first[PATH_MAX], second[PATH_MAX];
static char *text; /* shared with children that execute it */

static void *flip_text(void *unused)
{
	size_t n = strlen(first) > strlen(second) ? strlen(first) : strlen(second);

	/* Each text is there for a while: who reads it must meet both, and seldom a mixture. */
	for (unsigned i = 0; !over; i++) {
		memcpy(text, i & 1 ? second : first, n + 1);
		for (volatile int j = 0; j < 300; j++)
			;
	}
	return unused;
}

static void *flip_letter(void *unused)
{
	char *at = text + strlen(top) + 1;

	for (unsigned i = 0; !over; i++) {
		*(volatile char *)at = i & 1 ? 'b' : 'a';
		for (volatile int j = 0; j < 300; j++)
			;
	}
	return unused;
}

static void open_text(void)
{
	count_fd(open(text, O_RDONLY));
}

static void open_text_creating(void)
{
	count_fd(open(text, O_RDONLY | O_CREAT, 0600));
}

static void set_texts(const char *one, const char *two)
{
	memset(first, 0, sizeof(first));
	memset(second, 0, sizeof(second));
	snprintf(first, sizeof(first), "%s", one);
	snprintf(second, sizeof(second), "%s", two);
	snprintf(text, PATH_MAX, "%s", one);
}

/* ---- symlinks ------------------------------------------------------------------------------- */

static void *flip_links(void *unused)
{
	while (!over)
		syscall(SYS_renameat2, AT_FDCWD, in_own("x"), AT_FDCWD, in_own("y"),
			RENAME_EXCHANGE);
	return unused;
}

static void open_link(void)
{
	count_fd(open(text, O_RDONLY));
}

static void links_set(const char *to)
{
	unlink(in_own("x"));
	unlink(in_own("y"));
	if (symlink(to, in_own("x")) < 0 || symlink(in_top("b/f"), in_own("y")) < 0)
		perror("symlink");
	set_texts(in_own("x"), "");
}

/* ---- descriptors and the working directory --------------------------------------------------- */

static int dirs[2];

static void *flip_directory(void *unused)
{
	for (unsigned i = 0; !over; i++)
		dup2(dirs[i & 1], DIR_FD);
	return unused;
}

static void open_in_directory(void)
{
	count_fd(openat(DIR_FD, "f", O_RDONLY));
}

static void open_by_self_fd(void)
{
	count_fd(open("/proc/self/fd/90/f", O_RDONLY));
}

static void *flip_cwd(void *unused)
{
	for (unsigned i = 0; !over; i++)
		(void)!fchdir(dirs[i & 1]);
	return unused;
}

static void open_in_cwd(void)
{
	count_fd(open("f", O_RDONLY));
}

/* A descriptor that may be a file of the worker's own at one moment and granted data at another:
 * its mode is changed through whatever the number is. */
static int files[2];

static void *flip_file(void *unused)
{
	for (unsigned i = 0; !over; i++)
		dup2(files[i & 1], DIR_FD);
	return unused;
}

static void chmod_descriptor(void)
{
	if (fchmod(DIR_FD, 0640) < 0)
		score.refused++;
	else
		score.granted++;
}

/* ---- execve --------------------------------------------------------------------------------- */

static void execute_text(void)
{
	char name[] = "x", good[] = "--good", *argv[] = {name, good, NULL};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execv(text, argv);
		_exit(errno == EACCES ? 100 : 101);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		score.other++;
	else if (WEXITSTATUS(status) == 7)
		score.granted++;
	else if (WEXITSTATUS(status) == 0)
		score.stolen++;
	else if (WEXITSTATUS(status) == 100)
		score.refused++;
	else
		score.other++;
}

/* ---- the worker's side ---------------------------------------------------------------------- */

static long races_at_text(long n)
{
	long by_policy = 0;
	int fd = open(in_own("f"), O_WRONLY | O_CREAT, 0600);

	if (fd < 0 || write(fd, "own\n", 4) != 4)
		perror("own file");
	close(fd);
	set_texts(in_top("a/f"), in_top("b/f"));
	race("letter_of_a_path", flip_letter, open_text, n);
	by_policy += score.granted;
	set_texts(in_top("a/f"), in_top("b/f"));
	race("letter_of_a_path_created", flip_letter, open_text_creating, n / 20);
	by_policy += score.granted;
	set_texts(in_own("f"), in_top("b/f"));
	race("own_place_or_data", flip_text, open_text, n / 10);
	set_texts(in_own("f"), in_top("hidden"));
	race("own_place_or_hidden", flip_text, open_text, n / 10);
	return by_policy;
}

static long races_at_links(long n)
{
	long by_policy;

	links_set(in_top("a/f"));
	race("link_to_data", flip_links, open_link, n / 25);
	by_policy = score.granted;
	links_set(in_own("f"));
	race("link_to_own_place", flip_links, open_link, n / 25);
	return by_policy;
}

static long races_at_directories(long n)
{
	long by_policy = 0;

	dirs[0] = open(in_top("a"), O_PATH | O_DIRECTORY);
	dirs[1] = open(in_top("b"), O_PATH | O_DIRECTORY);
	dup2(dirs[0], DIR_FD);
	race("directory_descriptor", flip_directory, open_in_directory, n / 10);
	by_policy += score.granted;
	race("directory_by_self_fd", flip_directory, open_by_self_fd, n / 10);
	by_policy += score.granted;
	race("working_directory", flip_cwd, open_in_cwd, n / 10);
	by_policy += score.granted;
	files[0] = open(in_own("f"), O_RDWR);
	files[1] = open(in_top("a/f"), O_RDONLY);
	dup2(files[0], DIR_FD);
	race("mode_by_descriptor", flip_file, chmod_descriptor, n / 10);
	return by_policy + 1;
}

static int races(void)
{
	long n = amount("RACE_OPENS", 0), by_policy;

	text = mmap(NULL, PATH_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	by_policy = races_at_text(n);
	by_policy += races_at_links(n);
	by_policy += races_at_directories(n);
	printf("all grants=%ld\n", by_policy);
	set_texts("/proc/self/exe", in_top("a/true"));
	snprintf(first, sizeof(first), "%s", own_path());
	race("program", flip_text, execute_text, n / 400);
	return 0;
}

/* ---- the tester ------------------------------------------------------------------------------ */

static const char *const names[] = {"letter_of_a_path", "letter_of_a_path_created",
	"own_place_or_data", "own_place_or_hidden", "link_to_data", "link_to_own_place",
	"directory_descriptor", "directory_by_self_fd", "working_directory", "program"};
#define N_NAMES (sizeof(names) / sizeof(*names))

static int complain(bool good, const char *name, const char *why)
{
	if (!good)
		print_error("%s: %s\n", name, why);
	return !good;
}

static int check_race(const char *name, const struct outcome *outside, const struct outcome *inside)
{
	bool hidden = !strcmp(name, "own_place_or_hidden");
	long lost = number_of(inside, name, "refused");
	int bad = 0;

	/* What has no name in the cell is not refused but missing. */
	if (hidden)
		lost += number_of(inside, name, "other");
	bad += complain(
		number_of(outside, name, "stolen") > 0 && number_of(outside, name, "granted") > 0,
		name, "outside, both are not met");
	bad += complain(number_of(inside, name, "stolen") == 0, name, "the denied file was had");
	bad += complain(number_of(inside, name, "granted") > 0 && lost > 0, name,
		"inside, both were not met");
	return bad;
}

static void what_is_denied_is_never_opened_whatever_changes_meanwhile(void **state)
{
	static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;
	char denied[PATH_MAX + 80];
	struct stat st;
	int bad = 0;

	tree_make();
	copy_true();
	setenv("RACE_OPENS", getenv("RACE_OPENS") ? getenv("RACE_OPENS") : "100000", 1);
	run_outside(&outside, "--races");
	assert_int_equal(chmod(in_top("a/f"), 0666), 0);
	run_cell(&inside, NULL, "env RACE_OPENS", "--races");
	for (size_t i = 0; i < N_NAMES; i++)
		bad += check_race(names[i], &outside, &inside);
	if (bad || inside.status != 0)
		fail_msg("outside:\n%s\ninside (%d):\n%s", outside.out, inside.status, inside.out);
	/* The mode of what may be read alone was changed outside, and not inside. */
	assert_true(number_of(&inside, "mode_by_descriptor", "granted") > 0);
	assert_true(number_of(&inside, "mode_by_descriptor", "refused") > 0);
	assert_int_equal(number_of(&outside, "mode_by_descriptor", "refused"), 0);
	assert_int_equal(stat(in_top("a/f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	/* Every descriptor that came has its record, and none of the denied file's says so. */
	snprintf(denied, sizeof(denied), "\"reached\":\"%s\"", in_top("b/f"));
	assert_int_equal(records_with("\"event\":\"grant\"", denied), 0);
	assert_true(records_with("\"event\":\"deny\"", denied) > 0);
	snprintf(denied, sizeof(denied), "\"reached\":\"%s\"", in_top("a/f"));
	assert_int_equal(
		records_with("\"event\":\"grant\"", denied), number_of(&inside, "all", "grants"));
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_is_denied_is_never_opened_whatever_changes_meanwhile, fds_before,
			fds_after),
	};

	if (argc > 1 && !strcmp(argv[1], "--good"))
		return 7;
	if (argc > 2 && !strcmp(argv[1], "--races")) {
		snprintf(top, sizeof(top), "%s", argv[2]);
		return races();
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
