/* SPDX-License-Identifier: MIT */
/*
 * signals.c - what ends a call that waits, other than what it waits for: a signal, SO_SNDTIMEO; in
 * a cell as without one.
 *
 * Each scenario is run twice by this same program, called with --run: by the worker's user as it
 * is, and in a cell.  It says what it sees; both must say the same.  What it waits for is a FIFO's
 * other end, or room in the queue of a listener of the tester's that is full until somebody
 * connects to the gate.
 */
#include "tests/hostile/inside.h"
#include "tests/e2e/differ_tree.h"

#include <arpa/inet.h>
#include <err.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define NOBODY  65534 /* the worker's user, where root starts it */
#define TICK_US 30000
#define WAIT_MS 60000

/* ---- the worker ------------------------------------------------------------------------------ */

static uint16_t hole_port, gate_port;
static char hole_path[PATH_MAX];

/* A result: 0 and above is good, else the name of errno. */
static void say(const char *what, long r)
{
	printf("%s: %s\n", what, r >= 0 ? "good" : strerrorname_np(errno) ?: "no errno at all");
}

static void say_number(const char *what, long n)
{
	printf("%s: %ld\n", what, n);
}

static struct sockaddr_in at_port(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to(int s, uint16_t port)
{
	struct sockaddr_in in = at_port(port);

	return connect(s, (struct sockaddr *)&in, sizeof(in));
}

static int connect_path(int s)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", hole_path);
	return connect(s, (struct sockaddr *)&un, sizeof(un));
}

static int tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int stream(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* From now on the full queues are emptied. */
static void open_gate(void)
{
	int s = tcp();

	if (connect_to(s, gate_port) < 0)
		say("gate", -1);
	close(s);
}

/* The other end of the FIFO, which need not wait; kept. */
static void open_end(void)
{
	int fd;

	/* A signal that comes before the broker has taken the call in ends that in a cell too. */
	do
		fd = open("fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		say("end", -1);
}

static volatile sig_atomic_t ticks;
static void (*third_tick)(void);

static void on_tick(int sig)
{
	int saved = errno;

	if (++ticks == 3 && third_tick)
		third_tick();
	errno = saved;
}

/* Calls of the handler from now on, again and again: one comes while a call waits.  SA_RESTART
 * where `third` says what the third one does, which is what the call waits for. */
static void handle(void (*third)(void))
{
	struct sigaction a = {.sa_handler = on_tick, .sa_flags = third ? SA_RESTART : 0};

	ticks = 0;
	third_tick = third;
	sigaction(SIGALRM, &a, NULL);
}

static void tick(bool on)
{
	const struct itimerval t = {{0, on ? TICK_US : 0}, {0, on ? TICK_US : 0}};

	setitimer(ITIMER_REAL, &t, NULL);
}

static void begin_ticks(void (*third)(void))
{
	handle(third);
	tick(true);
}

static void say_ticks(int at_least)
{
	tick(false);
	printf("handled: %s\n", ticks >= at_least ? "yes" : "no");
}

static int socket_error(int s)
{
	socklen_t size = sizeof(int);
	int error = -1;

	getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size);
	return error;
}

/* A descriptor of the FIFO carries what the other end is told. */
static void say_fifo(int fd)
{
	char byte = 0;
	int end = open("fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	say("written", write(end, "x", 1));
	say("read", read(fd, &byte, 1));
	say_number("carried", byte);
}

static void fifo_eintr(void)
{
	begin_ticks(NULL);
	say("open", open("fifo", O_RDONLY));
	say_ticks(1);
	/* It left nobody behind who reads. */
	say("write end", open("fifo", O_WRONLY | O_NONBLOCK));
	begin_ticks(NULL);
	say("open to write", open("fifo", O_WRONLY));
	say_ticks(1);
}

static void fifo_restarted(void)
{
	int fd;

	begin_ticks(open_end);
	fd = open("fifo", O_RDONLY);
	say_ticks(3);
	say("open", fd);
	say_fifo(fd);
}

/* Goes on by itself, as a connection of a socket that does not block. */
static void connect_eintr(void)
{
	int s = tcp(), r;
	struct pollfd p = {s, POLLOUT, 0};
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);

	begin_ticks(NULL);
	say("connect", connect_to(s, hole_port));
	say_ticks(1);
	say_number("error", socket_error(s));
	say_number("not yet", poll(&p, 1, 0));
	fcntl(s, F_SETFL, O_NONBLOCK);
	say("connect while it goes on", connect_to(s, hole_port));
	open_gate();
	say_number("connected", poll(&p, 1, WAIT_MS));
	say_number("error", socket_error(s));
	say("peer", getpeername(s, (struct sockaddr *)&peer, &size));
	say_number("that one", peer.sin_port == htons(hole_port));
	r = connect_to(s, hole_port);
	say_number("it is connected", r == 0 || errno == EISCONN);
	say("written", write(s, "x", 1));
}

static void connect_again_after_eintr(void)
{
	int s = tcp();

	begin_ticks(NULL);
	say("connect", connect_to(s, hole_port));
	say("connect again", connect_to(s, hole_port));
	say_ticks(2);
	open_gate();
	say("and again", connect_to(s, hole_port));
	say("written", write(s, "x", 1));
}

static void connect_restarted(void)
{
	int s = tcp();

	begin_ticks(open_gate);
	say("connect", connect_to(s, hole_port));
	say_ticks(3);
	say("connect when it is", connect_to(s, hole_port));
	say("written", write(s, "x", 1));
}

/* What answered EINTR may yet fail. */
static void connect_inside(void)
{
	struct sockaddr_in in = at_port(0);
	socklen_t size = sizeof(in);
	int l = tcp(), filler = tcp(), s = tcp();
	struct pollfd p = {s, POLLOUT, 0};

	say("bind", bind(l, (struct sockaddr *)&in, sizeof(in)));
	getsockname(l, (struct sockaddr *)&in, &size);
	say("listen", listen(l, 0));
	say("the queue", connect_to(filler, ntohs(in.sin_port)));
	begin_ticks(NULL);
	say("connect", connect_to(s, ntohs(in.sin_port)));
	say("connect again", connect_to(s, ntohs(in.sin_port)));
	say_ticks(2);
	close(accept(l, NULL, NULL));
	say_number("connected", poll(&p, 1, WAIT_MS));
	say_number("error", socket_error(s));
}

static void path_eintr(void)
{
	int s = stream();

	begin_ticks(NULL);
	say("connect", connect_path(s));
	say_ticks(1);
	open_gate();
	say("connect again", connect_path(s));
	say("written", write(s, "x", 1));
}

static void path_restarted(void)
{
	int s = stream();

	begin_ticks(open_gate);
	say("connect", connect_path(s));
	say_ticks(3);
	say("connect when it is", connect_path(s));
}

/* ---- other processes, other signals ---------------------------------------------------------- */

/* Waits until a process sleeps, which it does in the call that it was forked for. */
static void wait_asleep(pid_t pid)
{
	char path[48], text[256], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	while (state != 'S' && state != 'D') {
		FILE *f = fopen(path, "re");
		const char *end;

		if (!f || !fgets(text, sizeof(text), f))
			errx(2, "%s cannot be read", path);
		fclose(f);
		end = strrchr(text, ')');
		state = end ? end[2] : 0;
		usleep(1000);
	}
}

static pid_t in_child(void (*run)(void))
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		run();
		fflush(stdout);
		_exit(0);
	}
	return pid;
}

static void say_end(const char *what, pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void open_fifo(void)
{
	say("open", open("fifo", O_RDONLY));
}

static void connect_hole(void)
{
	say("connect", connect_to(tcp(), hole_port));
}

/* In the queue of a socket that another process holds as well, which is relayed. */
static void connect_shared(void)
{
	int s = tcp();
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == self)
			pause();
		_exit(0);
	}
	say("connect", connect_to(s, hole_port));
}

static void open_with_ticks(void)
{
	begin_ticks(open_fifo); /* not the third tick's: it is overwritten */
	third_tick = NULL;
	open_fifo();
}

static void signals_that_end_it(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
		int sig;
	} rows[] = {
		{"open, SIGTERM", open_fifo, SIGTERM},
		{"open, SIGINT", open_fifo, SIGINT},
		{"open, SIGQUIT", open_fifo, SIGQUIT},
		{"open with ticks, SIGTERM", open_with_ticks, SIGTERM},
		{"open with ticks, SIGQUIT", open_with_ticks, SIGQUIT},
		{"connect, SIGTERM", connect_hole, SIGTERM},
		{"connect, SIGQUIT", connect_hole, SIGQUIT},
		{"connect, SIGUSR2", connect_hole, SIGUSR2},
	};
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		pid_t pid = in_child(rows[i].run);

		wait_asleep(pid);
		kill(pid, rows[i].sig);
		say_end(rows[i].name, pid);
	}
}

static void a_shared_socket_ends_with_its_process(void)
{
	const struct rlimit none = {0, 0};
	pid_t pid;

	setrlimit(RLIMIT_CORE, &none);
	pid = in_child(connect_shared);
	wait_asleep(pid);
	kill(pid, SIGQUIT);
	say_end("connect, SIGQUIT", pid);
}

static void stopped_and_continued(void)
{
	pid_t pid = in_child(open_fifo);
	int status = 0;

	wait_asleep(pid);
	kill(pid, SIGSTOP);
	say("stopped", waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) ? 0 : -1);
	kill(pid, SIGCONT);
	open_end();
	say_end("continued", pid);
}

/* One that waits as well, and is interrupted: whoever waited before has been looked at. */
static void let_be_interrupted(void)
{
	begin_ticks(NULL);
	if (open("fifo2", O_RDONLY) >= 0 || errno != EINTR)
		say("fifo2", -1);
	tick(false);
}

static pid_t waits;
static void look_then_open(void)
{
	wait_asleep(waits);
	kill(waits, SIGALRM);
	kill(waits, SIGUSR1);
	kill(waits, SIGWINCH);
	kill(waits, SIGCHLD);
	let_be_interrupted();
	let_be_interrupted();
	open_end();
	while (true)
		pause();
}

static void blocked_and_ignored(void)
{
	sigset_t set;
	pid_t pid;
	int fd;

	handle(NULL);
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	waits = getpid();
	pid = fork();
	if (pid == 0) {
		look_then_open();
		_exit(0);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = open("fifo", O_RDONLY);
	say_number("handled", ticks);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	say_number("handled then", ticks);
	say("open", fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static volatile bool over;

static void *signal_process(void *tid)
{
	while (!over) {
		if (tid)
			syscall(SYS_tgkill, getpid(), *(pid_t *)tid, SIGALRM);
		else
			kill(getpid(), SIGALRM);
		usleep(TICK_US);
	}
	return NULL;
}

static void of_several_threads(void)
{
	pthread_t t;
	int r;

	handle(NULL);
	pthread_create(&t, NULL, signal_process, NULL);
	r = open("fifo", O_RDONLY);
	say("the first thread's open", r);
	r = connect_to(tcp(), hole_port);
	say("its connect", r);
	over = true;
	pthread_join(t, NULL);
	say_ticks(2);
}

static pid_t thread_id;
static void *open_in_thread(void *_)
{
	int r;

	thread_id = gettid();
	r = open("fifo", O_RDONLY);
	say("the thread's open", r);
	over = true;
	return NULL;
}

/* The process's first thread takes no such signal. */
static void of_another_thread(void)
{
	pthread_t t;
	sigset_t set;

	begin_ticks(NULL);
	pthread_create(&t, NULL, open_in_thread, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_join(t, NULL);
	say_ticks(1);
}

static void of_one_thread_alone(void)
{
	pthread_t t, sends;

	handle(open_end);
	pthread_create(&t, NULL, open_in_thread, NULL);
	while (!thread_id)
		usleep(1000);
	pthread_create(&sends, NULL, signal_process, &thread_id);
	pthread_join(t, NULL);
	pthread_join(sends, NULL);
	say_ticks(3);
}

/* ---- many at once ---------------------------------------------------------------------------- */

static void *open_in_storm(void *strange)
{
	while (!over) {
		int fd = open("fifo", O_RDONLY);

		if (fd < 0 && errno != EINTR)
			*(int *)strange = errno;
		close(fd);
	}
	return NULL;
}

/* Signals of the process and of each thread, handled with SA_RESTART and without. */
static void storm_in_child(void)
{
	pthread_t t[3], sends;
	int strange[3] = {0};

	handle(open_fifo);
	third_tick = NULL;
	pthread_create(&sends, NULL, signal_process, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, open_in_storm, &strange[i]);
	for (int i = 0; i < 60; i++) {
		if (i % 15 == 0)
			handle(i % 2 ? NULL : open_fifo);
		third_tick = NULL;
		pthread_kill(t[i % 3], SIGALRM);
		usleep(TICK_US);
	}
	over = true;
	open_end();
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		say_number("strange", strange[i]);
	}
	pthread_join(sends, NULL);
}

static void a_storm(void)
{
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = in_child(storm_in_child);
	for (int i = 0; i < 4; i++)
		say_end("a process", pids[i]);
}

/* ---- SO_SNDTIMEO ----------------------------------------------------------------------------- */

static void set_patience(int s, long us)
{
	const struct timeval t = {0, us};

	say("patience", setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)));
}

static void patience(void)
{
	int s = tcp(), u = stream();

	set_patience(s, 50000);
	say("connect", connect_to(s, hole_port));
	say_number("error", socket_error(s));
	say("connect again", connect_to(s, hole_port));
	set_patience(u, 50000);
	say("connect to a path", connect_path(u));
	open_gate();
	set_patience(s, 0);
	say("connect without", connect_to(s, hole_port));
	say("written", write(s, "x", 1));
	say("connect to the path", connect_path(u));
}

static void patience_within(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0patience"};
	int l = stream(), filler = stream(), u = stream();

	say("bind", bind(l, (struct sockaddr *)&un, sizeof(un)));
	say("listen", listen(l, 0));
	say("the queue", connect(filler, (struct sockaddr *)&un, sizeof(un)));
	set_patience(u, 50000);
	say("connect", connect(u, (struct sockaddr *)&un, sizeof(un)));
}

/* No call is made again of who has set a time: connect(2), signal(7). */
static void patience_and_signals(void)
{
	const struct timeval t = {60, 0};
	int s = tcp();

	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	begin_ticks(open_gate);
	say("connect", connect_to(s, hole_port));
	tick(false);
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* A socket stays of its family. */
static void mapped(void)
{
	struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(gate_port)}, is;
	int s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), domain = 0, on = 1;
	socklen_t size = sizeof(is), int_size = sizeof(domain);

	inet_pton(AF_INET6, "::ffff:127.0.0.1", &in.sin6_addr);
	say("connect", connect(s, (struct sockaddr *)&in, sizeof(in)));
	getsockopt(s, SOL_SOCKET, SO_DOMAIN, &domain, &int_size);
	say_number("domain", domain);
	say("name", getsockname(s, (struct sockaddr *)&is, &size));
	say_number("family", is.sin6_family);
	say_number("address", memcmp(&is.sin6_addr, &in.sin6_addr, sizeof(in.sin6_addr)));
	say("peer", getpeername(s, (struct sockaddr *)&is, &size));
	say_number("as asked", memcmp(&is, &in, sizeof(in)));
	s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	say("IPv6 alone", connect(s, (struct sockaddr *)&in, sizeof(in)));
}

#define SCENARIOS \
	X(fifo_eintr, 0) \
	X(fifo_restarted, 0) \
	X(connect_eintr, 2) \
	X(connect_again_after_eintr, 2) \
	X(connect_restarted, 2) \
	X(connect_inside, 0) \
	X(path_eintr, 3) \
	X(path_restarted, -1) \
	X(signals_that_end_it, -1) \
	X(a_shared_socket_ends_with_its_process, 0) \
	X(stopped_and_continued, 0) \
	X(blocked_and_ignored, 0) \
	X(of_several_threads, 1) \
	X(of_another_thread, 0) \
	X(of_one_thread_alone, 0) \
	X(a_storm, 0) \
	X(patience, 4) \
	X(patience_within, 0) \
	X(patience_and_signals, 1) \
	X(mapped, 1)

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
#define X(name, connects) {#name, name},
	SCENARIOS
#undef X
};

static int worker_main(char **argv)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				      setresuid(NOBODY, NOBODY, NOBODY) < 0))
		err(2, "uid %d", NOBODY);
	if (chdir(argv[3]) < 0)
		err(2, "%s", argv[3]);
	hole_port = (uint16_t)atoi(argv[4]);
	gate_port = (uint16_t)atoi(argv[5]);
	snprintf(hole_path, sizeof(hole_path), "%s", argv[6]);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		if (strcmp(scenarios[i].name, argv[2]) == 0) {
			scenarios[i].run();
			return 0;
		}
	}
	errx(2, "no scenario %s", argv[2]);
}

/* ---- the tester ------------------------------------------------------------------------------ */

static char top[PATH_MAX - 64], tree[PATH_MAX], sockets[PATH_MAX];

static uint16_t listen_tcp(int *ret, int backlog)
{
	struct sockaddr_in in = at_port(0);
	socklen_t size = sizeof(in);

	*ret = tcp();
	assert_int_equal(bind(*ret, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(*ret, backlog), 0);
	assert_int_equal(getsockname(*ret, (struct sockaddr *)&in, &size), 0);
	return ntohs(in.sin_port);
}

static void listen_path(int *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(hole_path, sizeof(hole_path), "%.100s/hole", sockets);
	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", hole_path);
	unlink(un.sun_path);
	*ret = stream();
	assert_int_equal(bind(*ret, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(chmod(un.sun_path, 0777), 0);
	assert_int_equal(listen(*ret, 0), 0);
}

/* The process behind the hole: accepts at the gate, and then everywhere.  Ends with the pipe. */
static void keep_gate(int hole, int gate, int path, int life)
{
	struct pollfd p[] = {
		{gate, POLLIN, 0}, {life, POLLIN, 0}, {hole, POLLIN, 0}, {path, POLLIN, 0}};
	nfds_t n = 2;

	for (;;) {
		poll(p, n, -1);
		if (p[1].revents)
			_exit(0);
		for (nfds_t i = 0; i < n; i++) {
			if (i != 1 && p[i].revents)
				accept(p[i].fd, NULL, NULL);
		}
		if (p[0].revents)
			n = 4;
	}
}

struct hole {
	int fds[5]; /* listeners, and what fills their queues */
	int life[2];
	pid_t pid;
};

static void hole_open(struct hole *h)
{
	hole_port = listen_tcp(&h->fds[0], 0);
	gate_port = listen_tcp(&h->fds[1], 8);
	listen_path(&h->fds[2]);
	h->fds[3] = tcp();
	h->fds[4] = stream();
	assert_int_equal(connect_to(h->fds[3], hole_port), 0);
	assert_int_equal(connect_path(h->fds[4]), 0);
	assert_int_equal(pipe2(h->life, O_CLOEXEC), 0);
	h->pid = fork();
	if (h->pid == 0) {
		close(h->life[1]);
		keep_gate(h->fds[0], h->fds[1], h->fds[2], h->life[0]);
	}
	assert_true(h->pid > 0);
}

static void hole_close(struct hole *h)
{
	for (size_t i = 0; i < 5; i++)
		close(h->fds[i]);
	close(h->life[0]);
	close(h->life[1]);
	assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
}

static void fifos_make(void)
{
	uid_t uid = geteuid() == 0 ? NOBODY : geteuid();
	char path[PATH_MAX + 16];

	tree_remove(AT_FDCWD, tree);
	assert_int_equal(mkdir(tree, 0755), 0);
	assert_int_equal(lchown(tree, uid, uid), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", tree, i ? "fifo2" : "fifo");
		assert_int_equal(mkfifo(path, 0600), 0);
		assert_int_equal(lchown(path, uid, uid), 0);
	}
}

static void run_scenario(struct outcome *ret, const char *name, bool within)
{
	char hole[8], gate[8], connects[PATH_MAX + 64], files[PATH_MAX + 32];
	const char *command[] = {own_path(), "--run", name, tree, hole, gate, hole_path, NULL};
	const char *options[] = {"-q", "-e", files, "-e", connects, NULL};
	struct hole h;

	fifos_make();
	hole_open(&h);
	snprintf(hole, sizeof(hole), "%u", hole_port);
	snprintf(gate, sizeof(gate), "%u", gate_port);
	snprintf(files, sizeof(files), "allow rw %s/ type fifo", tree);
	snprintf(connects, sizeof(connects), "allow connect 127.0.0.1:%s 127.0.0.1:%s %s", hole,
		gate, hole_path);
	if (within)
		run_inside(ret, top, options, command);
	else
		run_program(ret, command);
	hole_close(&h);
}

/* How often a connect stands in the book: granted, and not followed by "nothing came of it". */
static int connects(json_t *ledger)
{
	size_t i;
	json_t *r;
	int n = 0;

	json_array_foreach(ledger, i, r)
	{
		const char *event = json_string_value(json_object_get(r, "event"));
		const char *op = json_string_value(json_object_get(r, "op"));

		n += op && strcmp(op, "connect") == 0 && strcmp(event, "grant") == 0;
	}
	return n;
}

/* `granted`: connects that the ledger grants; -1: as often as it takes. */
static void compare_scenario(const char *name, int granted)
{
	static struct outcome native, within;

	run_scenario(&native, name, false);
	run_scenario(&within, name, true);
	assert_int_equal(native.status, 0);
	if (within.status != 0 || strcmp(native.out, within.out) != 0)
		fail_msg("exit %d, natively:\n%s\nin the cell:\n%s", within.status, native.out,
			within.out);
	if (granted >= 0)
		assert_int_equal(connects(within.ledger), granted);
	outcome_free(&within);
}

#define X(name, connects) \
	static void test_##name(void **state) \
	{ \
		compare_scenario(#name, connects); \
	}
SCENARIOS
#undef X

/* An open that a signal ends has its record, which says so, and names no rule that is missing. */
static void what_was_interrupted_is_recorded(void **state)
{
	static struct outcome o;

	run_scenario(&o, "fifo_eintr", true);
	assert_int_equal(ledger_count(o.ledger, "fail", "reason", "interrupted by a signal"), 2);
	assert_int_equal(ledger_count(o.ledger, "fail", "error", "EINTR"), 2);
	assert_int_equal(ledger_count(o.ledger, "deny", NULL, NULL), 0);
	outcome_free(&o);
}

static int make_top(void **state)
{
	make_directory(top, sizeof(top));
	snprintf(tree, sizeof(tree), "%s/t", top);
	snprintf(sockets, sizeof(sockets), "%s/s", top);
	return mkdir(sockets, 0755);
}

static int remove_top(void **state)
{
	tree_remove(AT_FDCWD, top);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define X(name, connects) cmocka_unit_test_setup_teardown(test_##name, fds_before, fds_after),
		SCENARIOS
#undef X
			cmocka_unit_test_setup_teardown(
				what_was_interrupted_is_recorded, fds_before, fds_after),
	};

	if (argc > 2)
		return worker_main(argv);
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
