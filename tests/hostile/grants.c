/* SPDX-License-Identifier: MIT */
/*
 * grants.c - a worker that tries to make more of a descriptor than it was granted.
 *
 * The same attacks run outside on descriptors of plain open(), where they work, and in a cell on
 * descriptors from the broker.  Afterwards the ledger holds exactly the grants that were made.
 */
#include "tests/hostile/inside.h"
#include "sandbox/warder.h"

#include <dirent.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define TRY(call) ((call) < 0 ? errno : 0)

/* DIR/secret is named by no rule; DIR/data/ may be read, DIR/rw/ written, DIR/log appended to. */
static char secret[PATH_MAX], data[PATH_MAX], program[PATH_MAX], rw[PATH_MAX], log_file[PATH_MAX],
	data_dir[PATH_MAX], rw_dir[PATH_MAX];
static int read_fd, dir_fd, write_fd, append_fd, program_fd;
static struct warder *broker;

static void name_files(const char *dir)
{
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	snprintf(data_dir, sizeof(data_dir), "%s/data", dir);
	snprintf(data, sizeof(data), "%s/data/a", dir);
	snprintf(program, sizeof(program), "%s/data/true", dir);
	snprintf(rw_dir, sizeof(rw_dir), "%s/rw", dir);
	snprintf(rw, sizeof(rw), "%s/rw/b", dir);
	snprintf(log_file, sizeof(log_file), "%s/log", dir);
}

static int get(const char *path, int flags)
{
	return broker ? warder_open(broker, path, flags, 0) : open(path, flags | O_CLOEXEC);
}

/* Everything is granted before the first attack: what comes later is the worker's own doing. */
static int grants_open(const char *dir)
{
	name_files(dir);
	if (getenv("WARDER_FD") && !(broker = warder_attach()))
		return -1;
	read_fd = get(data, O_RDONLY);
	dir_fd = get(data_dir, O_RDONLY | O_DIRECTORY);
	write_fd = get(rw, O_RDWR);
	append_fd = get(log_file, O_WRONLY | O_APPEND);
	program_fd = get(program, O_RDONLY);
	return read_fd < 0 || dir_fd < 0 || write_fd < 0 || append_fd < 0 || program_fd < 0 ? -1
											    : 0;
}

static const char *self_fd(int fd)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

/* ---- more rights on the same file --------------------------------------------------------- */

static int reopen_for_writing(void)
{
	return TRY(open(self_fd(read_fd), O_RDWR));
}

static int reopen_to_truncate(void)
{
	return TRY(open(self_fd(read_fd), O_RDONLY | O_TRUNC));
}

static int reopen_append_for_reading(void)
{
	return TRY(open(self_fd(append_fd), O_RDONLY));
}

static int clear_append(void)
{
	return TRY(fcntl(append_fd, F_SETFL, 0));
}

static int upgrade_from_path(void)
{
	int fd = open(data, O_PATH);

	return fd < 0 ? errno : TRY(open(self_fd(fd), O_RDWR));
}

/* What a rule gives is given to a plain open too, with a record; so each of these asks for more. */
static int open_for_more(void)
{
	return TRY(open(data, O_RDWR));
}

static void *open_now(void *ret)
{
	*(int *)ret = TRY(open(data, O_RDWR));
	return NULL;
}

static int open_in_thread(void)
{
	pthread_t thread;
	int r = EAGAIN;

	if (pthread_create(&thread, NULL, open_now, &r) == 0)
		pthread_join(thread, NULL);
	return r;
}

static int change_mode(void)
{
	return TRY(fchmod(write_fd, 04755));
}

static int change_mode_by_name(void)
{
	return TRY(chmod(self_fd(read_fd), 0777));
}

static int change_owner(void)
{
	return TRY(fchown(read_fd, getuid(), getgid()));
}

static int change_attribute(void)
{
	return TRY(fsetxattr(read_fd, "user.warder", "x", 1, 0));
}

static int change_attribute_by_name(void)
{
	return TRY(setxattr(self_fd(read_fd), "user.warder", "x", 1, 0));
}

static int change_times(void)
{
	return TRY(futimens(read_fd, NULL));
}

static int change_times_by_name(void)
{
	return TRY(utimensat(AT_FDCWD, self_fd(read_fd), NULL, 0));
}

static int change_inode_flags(void)
{
	int flags = 0;

	if (ioctl(write_fd, FS_IOC_GETFLAGS, &flags) < 0)
		return errno;
	flags |= FS_NODUMP_FL;
	return TRY(ioctl(write_fd, FS_IOC_SETFLAGS, &flags));
}

static int change_inode_flags_high_bits(void)
{
	int flags = 0;

	if (syscall(SYS_ioctl, write_fd, FS_IOC_GETFLAGS, &flags) < 0)
		return errno;
	return TRY(syscall(SYS_ioctl, write_fd, FS_IOC_SETFLAGS | (1UL << 32), &flags));
}

/* Data that was only to be added to would be gone. */
static int punch_hole_through_append(void)
{
	return TRY(fallocate(append_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
}

static int link_descriptor(void)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/linked", rw_dir);
	return TRY(linkat(AT_FDCWD, self_fd(read_fd), AT_FDCWD, path, AT_SYMLINK_FOLLOW));
}

/* ---- more files from a directory ---------------------------------------------------------- */

static int open_below_directory(void)
{
	return TRY(openat(dir_fd, "a", O_RDWR));
}

static int walk_up_from_directory(void)
{
	return TRY(openat(dir_fd, "../secret", O_RDONLY));
}

static int walk_up_from_cwd(void)
{
	if (fchdir(dir_fd) < 0)
		return errno;
	return TRY(open("../secret", O_RDONLY));
}

static int name_of_secret_by_self_root(void)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "/proc/self/root%s", secret);
	return TRY(open(path, O_RDONLY));
}

static int name_of_data_by_self_root(void)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "/proc/self/root%s", data);
	return TRY(open(path, O_RDWR));
}

/* ---- code from data ----------------------------------------------------------------------- */

static int child_status(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run());
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static int exec_now(void)
{
	char name[] = "true", *argv[] = {name, NULL};

	syscall(SYS_execveat, program_fd, "", argv, environ, AT_EMPTY_PATH);
	return errno;
}

static int execute_granted_file(void)
{
	return child_status(exec_now);
}

static int loader_now(void)
{
	static const char *const loaders[] = {
		"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"};
	char name[] = "ld.so", *argv[] = {name, program, NULL};

	close(1);
	close(2);
	for (size_t i = 0; i < 2; i++)
		execv(loaders[i], argv);
	return errno;
}

static int execute_by_loader(void)
{
	return child_status(loader_now);
}

static int map_as_code(int fd, int prot, int flags)
{
	return mmap(NULL, 1, prot | PROT_EXEC, flags, fd, 0) == MAP_FAILED ? errno : 0;
}

static int map_read_grant_as_code(void)
{
	return map_as_code(read_fd, PROT_READ, MAP_PRIVATE);
}

static int map_write_grant_as_code(void)
{
	return map_as_code(write_fd, PROT_READ | PROT_WRITE, MAP_SHARED);
}

/* ---- the kernel made to act on others ------------------------------------------------------ */

static int signal_owner(void)
{
	return TRY(fcntl(read_fd, F_SETOWN, atoi(getenv("TESTER_PID"))));
}

static int lease(void)
{
	return TRY(fcntl(read_fd, F_SETLEASE, F_RDLCK));
}

static int notify(void)
{
	return TRY(fcntl(dir_fd, F_NOTIFY, DN_MODIFY));
}

static const struct attack attacks[] = {
	{"reopen_for_writing", reopen_for_writing, WORKS},
	{"reopen_to_truncate", reopen_to_truncate, WORKS},
	{"reopen_append_for_reading", reopen_append_for_reading, WORKS},
	{"clear_append", clear_append, WORKS},
	{"upgrade_from_path", upgrade_from_path, WORKS},
	{"open_for_more", open_for_more, WORKS},
	{"open_in_thread", open_in_thread, WORKS},
	{"change_mode", change_mode, WORKS},
	{"change_mode_by_name", change_mode_by_name, WORKS},
	{"change_owner", change_owner, WORKS},
	{"change_attribute", change_attribute, WORKS},
	{"change_attribute_by_name", change_attribute_by_name, WORKS},
	{"change_times", change_times, WORKS},
	{"change_times_by_name", change_times_by_name, WORKS},
	{"change_inode_flags", change_inode_flags, WORKS},
	{"change_inode_flags_high_bits", change_inode_flags_high_bits, WORKS},
	{"punch_hole_through_append", punch_hole_through_append, WORKS},
	{"link_descriptor", link_descriptor, WORKS},
	{"open_below_directory", open_below_directory, WORKS},
	{"walk_up_from_directory", walk_up_from_directory, WORKS},
	{"walk_up_from_cwd", walk_up_from_cwd, WORKS},
	{"name_of_secret_by_self_root", name_of_secret_by_self_root, WORKS},
	{"name_of_data_by_self_root", name_of_data_by_self_root, WORKS},
	{"execute_granted_file", execute_granted_file, WORKS},
	{"execute_by_loader", execute_by_loader, WORKS},
	{"map_read_grant_as_code", map_read_grant_as_code, WORKS},
	{"map_write_grant_as_code", map_write_grant_as_code, WORKS},
	{"signal_owner", signal_owner, WORKS},
	{"lease", lease, WORKS},
	{"notify", notify, WORKS},
};
#define N_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))
#define N_GRANTS  5

/* ---- what holds of every grant, checked by the worker itself ------------------------------ */

static int say(const char *name, bool good)
{
	printf("%s %d\n", name, good ? 0 : 1);
	return good ? 0 : 1;
}

static int properties(void)
{
	int again = get(data, O_RDONLY), bad = 0;
	char c;

	bad |= say("close_on_exec", fcntl(read_fd, F_GETFD) == FD_CLOEXEC);
	bad |= say("never_a_standard_number", read_fd > 2 && dir_fd > 2 && again > 2);
	bad |= say("no_shared_offset", read(read_fd, &c, 1) == 1 && lseek(again, 0, SEEK_CUR) == 0);
	bad |= say("blocking_flag_is_as_asked", !(fcntl(read_fd, F_GETFL) & O_NONBLOCK));
	return bad;
}

/* Asks for each path, and says what came: what other tests start. */
static int ask_for(char **paths)
{
	broker = warder_attach();
	for (; broker && *paths; paths++) {
		int fd = warder_open(broker, *paths, O_RDONLY, 0);

		if (fd >= 0)
			printf("GIVEN %s\n", *paths);
		else
			printf("REFUSED %s %d\n", *paths, errno);
		fflush(stdout);
	}
	return broker ? 0 : 99;
}

/* The name of the policy's text beside the ledger: 64 digits and ".policy". */
static bool find_text(const char *dir, char name[NAME_MAX + 1])
{
	int fd = warder_open(broker, dir, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	bool found = false;

	for (struct dirent *e; d && !found && (e = readdir(d));) {
		found = strlen(e->d_name) == 64 + strlen(".policy");
		if (found)
			strcpy(name, e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

/* Asks to change what answers for itself: the ledger, the policy and its text, which a rule
 * names. */
static int tamper(const char *dir)
{
	char text[NAME_MAX + 1] = "", path[PATH_MAX + NAME_MAX + 2], new_text[sizeof(path)];
	const char *names[] = {"ledger.jsonl", "own.policy", text};

	broker = warder_attach();
	if (!broker || !find_text(dir, text))
		return 99;
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		say("write", warder_open(broker, path, O_WRONLY, 0) < 0);
		say("append", warder_open(broker, path, O_WRONLY | O_APPEND, 0) < 0);
		say("truncate", warder_truncate(broker, path, 0) < 0);
		say("remove", warder_unlink(broker, path) < 0);
		say("rename", warder_rename(broker, path, secret, 0) < 0);
		say("replace", warder_rename(broker, secret, path, 0) < 0);
	}
	/* One that a later session would take for its own, whole or not. */
	text[0] = text[0] == 'a' ? 'b' : 'a';
	snprintf(new_text, sizeof(new_text), "%s/%s", dir, text);
	say("forge", warder_open(broker, new_text, O_WRONLY | O_CREAT, 0600) < 0);
	snprintf(new_text, sizeof(new_text), "%s/7.%s", dir, text + 32);
	say("forge_unfinished", warder_open(broker, new_text, O_WRONLY | O_CREAT, 0600) < 0);
	snprintf(path, sizeof(path), "%s/a0.policy", dir);
	say("control_new_policy", warder_open(broker, path, O_WRONLY | O_CREAT, 0600) >= 0);
	snprintf(path, sizeof(path), "%s/ledger.jsonl", dir);
	say("read_ledger", warder_open(broker, path, O_RDONLY, 0) < 0);
	snprintf(path, sizeof(path), "%s/secret", dir);
	say("control_another_file", warder_open(broker, path, O_RDWR, 0) >= 0);
	return 0;
}

/* ---- the tester --------------------------------------------------------------------------- */

static char top[PATH_MAX];

static void copy_true(void)
{
	const char *argv[] = {"cp", "/bin/true", program, NULL};
	static struct outcome o = OUTCOME_INIT;

	run_program(&o, argv);
	assert_int_equal(o.status, 0);
	assert_int_equal(chmod(program, 0755), 0);
}

static void files_make(void)
{
	make_directory(top, sizeof(top));
	name_files(top);
	make_file(secret, "secret\n", 0666);
	assert_int_equal(mkdir(data_dir, 0755), 0);
	assert_int_equal(mkdir(rw_dir, 0755), 0);
	/* The worker owns what it may write, or the file system would refuse it, not the cell. */
	make_file(data, "data\n", 0666);
	make_file(rw, "write\n", 0666);
	make_file(log_file, "log\n", 0666);
	copy_true();
	if (geteuid() == 0) {
		const char *const paths[] = {secret, data_dir, data, rw_dir, rw, log_file, program};

		for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
			assert_int_equal(chown(paths[i], 65534, 65534), 0);
	}
}

static void inside(struct outcome *ret, const char *what)
{
	char read_rule[PATH_MAX + 32], write_rule[PATH_MAX + 32], append_rule[PATH_MAX + 32];
	const char *options[] = {"-q", "-e", read_rule, "-e", write_rule, "-e", append_rule, "-e",
		"env TESTER_PID", NULL};
	const char *command[] = {own_path(), what, top, NULL};

	snprintf(read_rule, sizeof(read_rule), "allow read %s/data/", top);
	snprintf(write_rule, sizeof(write_rule), "allow rw %s/rw/", top);
	snprintf(append_rule, sizeof(append_rule), "allow append %s/log", top);
	run_inside(ret, top, options, command);
}

static void no_grant_can_be_made_more_of(void **state)
{
	static struct outcome outside = OUTCOME_INIT, within = OUTCOME_INIT;
	const char *self[] = {own_path(), "--attack", top, NULL};
	char pid[16], linked[PATH_MAX + 8];

	files_make();
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("TESTER_PID", pid, 1);
	run_program(&outside, self);
	/* What the control changed is made good. */
	assert_int_equal(chmod(rw, 0666), 0);
	snprintf(linked, sizeof(linked), "%s/linked", rw_dir);
	assert_int_equal(unlink(linked), 0);
	inside(&within, "--attack");
	compare(attacks, N_ATTACKS, &outside, &within);
	assert_int_equal(within.status, 0);
	assert_int_equal(ledger_count(within.ledger, "grant", "door", "ask"), N_GRANTS);
	/* The loader may read the program; to map it as code is what it may not. */
	assert_int_equal(ledger_count(within.ledger, "grant", "door", "trap"), 1);
	assert_int_equal(ledger_count(within.ledger, "grant", "asked", program), 2);
	assert_int_equal(ledger_count(within.ledger, "grant", "asked", data), 1);
	outcome_free(&within);
}

static void every_grant_is_closed_on_exec_and_of_its_own(void **state)
{
	static struct outcome within = OUTCOME_INIT;

	files_make();
	inside(&within, "--properties");
	if (within.status != 0)
		fail_msg("%s", within.out);
	assert_int_equal(result_of(&within, "no_shared_offset"), 0);
	assert_int_equal(ledger_count(within.ledger, "grant", NULL, NULL), N_GRANTS + 1);
	outcome_free(&within);
}

/* A FIFO without a writer would block an open, a device is not data, a socket can carry more
 * descriptors: each is refused at once, and the file beside them is still given. */
static void files_of_other_types_are_refused_at_once(void **state)
{
	static struct outcome within = OUTCOME_INIT;
	char fifo[PATH_MAX + 8], sock[PATH_MAX + 8], device[PATH_MAX + 8], rule[PATH_MAX + 32];
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const char *options[] = {"-q", "-e", rule, NULL};
	const char *command[] = {own_path(), "--ask", fifo, sock, device, data, NULL};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	files_make();
	snprintf(rule, sizeof(rule), "allow read %s/", data_dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo", data_dir);
	snprintf(sock, sizeof(sock), "%s/sock", data_dir);
	snprintf(device, sizeof(device), "%s/null", data_dir);
	assert_int_equal(mkfifo(fifo, 0666), 0);
	if (mknod(device, S_IFCHR | 0666, makedev(1, 3)) < 0)
		assert_int_equal(symlink("/dev/null", device), 0);
	assert_true(strlen(sock) < sizeof(a.sun_path));
	memcpy(a.sun_path, sock, strlen(sock));
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	run_inside(&within, top, options, command);
	close(s);
	if (within.status != 0 || ledger_count(within.ledger, "grant", NULL, NULL) != 1 ||
		ledger_count(within.ledger, "deny", NULL, NULL) != 3)
		fail_msg("exit %d: %s", within.status, within.out);
	assert_int_equal(ledger_count(within.ledger, "grant", "asked", data), 1);
	outcome_free(&within);
}

static void policy_and_ledger_are_out_of_reach_of_every_rule(void **state)
{
	static struct outcome within = OUTCOME_INIT;
	char text[PATH_MAX + 32], policy[PATH_MAX + 16];
	const char *options[] = {"-q", "-p", policy, NULL};
	const char *command[] = {own_path(), "--tamper", top, NULL};

	files_make();
	snprintf(text, sizeof(text), "allow rw %s/\n", top);
	snprintf(policy, sizeof(policy), "%s/own.policy", top);
	make_file(policy, text, 0644);
	/* Whoever the worker is, the file system lets it. */
	assert_int_equal(chmod(top, 0777), 0);
	run_inside(&within, top, options, command);
	assert_int_equal(within.status, 0);
	if (strstr(within.out, " 1\n"))
		fail_msg("%s", within.out);
	assert_int_equal(result_of(&within, "control_another_file"), 0);
	assert_int_equal(result_of(&within, "control_new_policy"), 0);
	/* Those two, the one of them made and opened, and the list of the directory. */
	assert_int_equal(ledger_count(within.ledger, "grant", NULL, NULL), 4);
	outcome_free(&within);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_grant_can_be_made_more_of, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			every_grant_is_closed_on_exec_and_of_its_own, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			files_of_other_types_are_refused_at_once, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			policy_and_ledger_are_out_of_reach_of_every_rule, fds_before, fds_after),
	};

	if (argc > 2 && !strcmp(argv[1], "--ask"))
		return ask_for(argv + 2);
	if (argc > 2 && !strcmp(argv[1], "--tamper")) {
		name_files(argv[2]);
		return tamper(argv[2]);
	}
	if (argc > 2 && argv[1][0] == '-') {
		if (grants_open(argv[2]) < 0) {
			perror("grants");
			return 99;
		}
		return !strcmp(argv[1], "--attack") ? attack_main(attacks, N_ATTACKS)
						    : properties();
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
