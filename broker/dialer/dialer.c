/* SPDX-License-Identifier: MIT */
/*
 * dialer.c - what the broker has asked for: connections and servers of the outer network.
 *
 * Runs in: dialer.  Trusts: the broker, that the policy admits what it names.
 *
 * Several addresses are tried as RFC 8305 has it: the families in turn, the next one as soon as one
 * has failed or has not answered for 250 ms; who answers first is taken.
 *
 * A Unix socket's connect either is done at once or its peer's queue is full, and nothing tells
 * when it is not any more: it is tried again every 10 ms.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/un.h>

#define STAGGER_MS 250 /* RFC 8305, 5: Connection Attempt Delay */
#define RETRY_MS   10

struct job;
struct attempt {
	struct watch w; /* w.fd is owned; -1: none */
	unsigned which;
};

/* One that waits. */
static struct job {
	uint32_t id; /* 0: free */
	uint64_t deadline_ns, next_ns;
	uint64_t patience_ns; /* the caller's own, SO_SNDTIMEO: then it has what there is */
	int result;           /* of the attempt that failed last */
	int socket_fd, inode; /* path: owned */
	bool borrowed;        /* socket_fd is the worker's own: it does not go back */
	uint8_t order[DIAL_ADDRESSES_MAX];
	unsigned started, running;
	struct attempt attempts[DIAL_ADDRESSES_MAX];
	struct dial_message m;
} jobs[DIAL_WAITING_MAX];

/* ---- jobs ------------------------------------------------------------------------------------ */

static void attempt_end(struct job *job, struct attempt *a)
{
	watch_set(&a->w, 0);
	fd_close_hurried(&a->w.fd);
	job->running--;
}

static void job_free(struct job *job)
{
	for (unsigned i = 0; i < job->started && i < DIAL_ADDRESSES_MAX; i++) {
		if (job->attempts[i].w.fd >= 0)
			attempt_end(job, &job->attempts[i]);
	}
	fd_close_hurried(&job->socket_fd);
	fd_close(&job->inode);
	job->id = 0;
}

/* Answers and frees.  fd is moved. */
static void job_done(struct job *job, int result, unsigned which, int *fd)
{
	uint32_t id = job->id;

	job_free(job);
	channel_done(id, result, which, fd);
}

static void job_failed(struct job *job, int result)
{
	int none = -1;

	job_done(job, result, 0, &none);
}

static struct job *job_new(const struct dial_message *m)
{
	struct job *job = jobs;

	while (job < jobs + DIAL_WAITING_MAX && job->id)
		job++;
	if (job == jobs + DIAL_WAITING_MAX)
		return NULL;
	job->id = m->id;
	job->m = *m;
	job->deadline_ns = m->timeout_ms ? clock_ns() + m->timeout_ms * MS_NS : NEVER;
	job->next_ns = job->patience_ns = NEVER;
	job->result = -ETIMEDOUT;
	job->socket_fd = job->inode = -1;
	job->borrowed = false;
	job->started = job->running = 0;
	return job;
}

/* The worker's patience is an option of its socket.  Of a relay nothing could go on. */
static void take_patience(struct job *job, int fd)
{
	struct timeval t = {0};
	socklen_t size = sizeof(t);

	/* One that was made here has it by the message alone. */
	if (!job->borrowed && job->m.n_options == 0)
		return;
	if (job->m.op == DIAL_RELAY || getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &size) < 0 ||
		(t.tv_sec == 0 && t.tv_usec == 0))
		return;
	job->patience_ns =
		clock_ns() + (uint64_t)t.tv_sec * 1000 * MS_NS + (uint64_t)t.tv_usec * 1000;
}

/* The caller waits no longer: a connection goes on, and is handed back as it is. */
static void job_release(struct job *job, int result)
{
	struct attempt *a = job->attempts;
	autofd fd = -1;
	unsigned which;

	while (job->m.op == DIAL_TCP && a < job->attempts + job->started && a->w.fd < 0)
		a++;
	if (job->m.op != DIAL_TCP || a == job->attempts + job->started) {
		job_failed(job, result);
		return;
	}
	watch_set(&a->w, 0);
	fd = fd_take(&a->w.fd);
	which = a->which;
	job->running--;
	job_done(job, 0, which, &fd);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void job_won(struct job *job, struct attempt *a)
{
	unsigned which = a->which;
	autofd fd = a->w.fd;
	int r;

	watch_set(&a->w, 0);
	a->w.fd = -1;
	job->running--;
	if (job->m.op == DIAL_RELAY) {
		r = relay_begin(job->id, &job->m.addresses[which], &fd);
		if (r < 0)
			job_failed(job, r);
		else
			job_free(job);
		return;
	}
	job_done(job, 0, which, &fd);
}

static void attempts_go_on(struct job *job);

static void on_attempt(struct watch *w, uint32_t events)
{
	struct job *job = w->of;
	struct attempt *a = (struct attempt *)w;
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error == 0) {
		job_won(job, a);
		return;
	}
	job->result = -error;
	attempt_end(job, a);
	attempts_go_on(job);
}

/* What is on this host has answered before the first call returns, and the second one tells: there
 * is nothing to wait for then.  0; -EINPROGRESS; or -errno. */
static int connect_tcp(int fd, const struct sockaddr_storage *to, socklen_t size)
{
	for (int i = 0; i < 2; i++) {
		if (connect(fd, (const struct sockaddr *)to, size) == 0)
			return 0;
		if (errno != EINPROGRESS)
			break;
	}
	return errno == EALREADY ? -EINPROGRESS : -errno;
}

/* Starts the next one.  1: it is connected already; 0: it goes on; or -errno. */
static int attempt_start(struct job *job)
{
	struct attempt *a = &job->attempts[job->started];
	unsigned which = job->order[job->started++];
	const struct dial_address *to = &job->m.addresses[which];
	int family = sockets_family(&job->m, to);
	struct sockaddr_storage address;
	socklen_t size = address_put(to, family, &address);
	autofd fd = sockets_tcp(&job->m, family);
	int r;

	a->w = (struct watch){.fd = -1, .on = on_attempt, .of = job};
	a->which = which;
	if (fd < 0)
		return fd;
	take_patience(job, fd);
	r = connect_tcp(fd, &address, size);
	if (r < 0 && r != -EINPROGRESS)
		return r;
	a->w.fd = fd_take(&fd);
	job->running++;
	if (r == 0)
		return 1;
	r = watch_set(&a->w, EPOLLOUT);
	if (r < 0)
		attempt_end(job, a);
	return r;
}

/* Starts what is to be started now: one attempt, and as many as fail at once. */
static void attempts_go_on(struct job *job)
{
	job->next_ns = NEVER;
	while (job->started < job->m.n_addresses) {
		int r = attempt_start(job);

		if (r > 0) {
			job_won(job, &job->attempts[job->started - 1]);
			return;
		}
		if (r < 0) {
			job->result = r;
			continue;
		}
		if (job->started < job->m.n_addresses)
			job->next_ns = clock_ns() + STAGGER_MS * MS_NS;
		return;
	}
	if (job->running == 0)
		job_failed(job, job->result);
}

/* One address, handed back while it connects. */
static int tcp_at_once(const struct dial_message *m, int *ret_fd)
{
	int family = sockets_family(m, &m->addresses[0]);
	struct sockaddr_storage address;
	socklen_t size = address_put(&m->addresses[0], family, &address);
	autofd fd = sockets_tcp(m, family);

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

static int tcp_bind(const struct dial_message *m, int *ret_fd)
{
	int family = sockets_family(m, &m->addresses[0]);
	struct sockaddr_storage address;
	socklen_t size = address_put(&m->addresses[0], family, &address);
	autofd fd = sockets_tcp(m, family);

	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&address, size) < 0)
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* ---- Unix ------------------------------------------------------------------------------------ */

static int connect_now(int fd, const struct sockaddr_un *to, socklen_t size)
{
	return connect(fd, (const struct sockaddr *)to, size) < 0 ? -errno : 0;
}

/*
 * The same of a socket of the worker's own, which can take O_NONBLOCK off again at any time; so a
 * timer stands by, which interrupts a connect that lasts.
 */
static int connect_borrowed(int fd, const struct sockaddr_un *to, socklen_t size)
{
	int flags = fcntl(fd, F_GETFL);
	bool blocks = flags >= 0 && !(flags & O_NONBLOCK);
	int r;

	if (flags < 0 || (blocks && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		return -errno;
	hurry_begin();
	r = connect_now(fd, to, size);
	hurry_end();
	if (blocks)
		fcntl(fd, F_SETFL, flags);
	return r == -EINTR ? -EAGAIN : r;
}

static socklen_t abstract_address(const struct dial_message *m, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path + 1, m->name, m->name_size);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + m->name_size);
}

/* Not the empty one, of which the kernel makes a name of its own choice: unix(7), "Autobind". */
static int named_bind(const struct dial_message *m, int *ret_fd)
{
	struct sockaddr_un at;
	socklen_t size = abstract_address(m, &at);
	autofd fd = m->name_size > 0 ? sockets_unix(m->type) : -EINVAL;

	if (fd < 0)
		return fd;
	sockets_set(fd, m);
	if (bind(fd, (struct sockaddr *)&at, size) < 0)
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

static int unix_try(const struct job *job)
{
	const struct dial_message *m = &job->m;
	struct sockaddr_un to;

	if (m->op == DIAL_ABSTRACT) {
		socklen_t size = abstract_address(m, &to);

		return connect_now(job->socket_fd, &to, size);
	}
	to = sockets_inode(job->inode);
	return (job->borrowed ? connect_borrowed : connect_now)(job->socket_fd, &to, sizeof(to));
}

static void unix_go_on(struct job *job)
{
	autofd fd = -1;
	int r = unix_try(job);

	if (r == -EAGAIN && job->m.wait) {
		job->result = -ETIMEDOUT;
		job->next_ns = clock_ns() + RETRY_MS * MS_NS;
		return;
	}
	if (r == 0 && !job->borrowed)
		fd = fd_take(&job->socket_fd);
	job_done(job, r, 0, &fd);
}

/* path: the worker's socket and the inode, or the inode and a type. */
static void unix_begin(struct job *job, int *fds, size_t n_fds)
{
	const struct dial_message *m = &job->m;

	if (n_fds != (m->op == DIAL_ABSTRACT ? 0 : m->type ? 1 : 2))
		give_up("a Unix socket without what belongs to it", 0);
	if (n_fds > 0)
		job->inode = fd_take(&fds[n_fds - 1]);
	job->borrowed = n_fds == 2;
	job->socket_fd = job->borrowed ? fd_take(&fds[0]) : sockets_unix(m->type);
	if (job->socket_fd < 0) {
		job_failed(job, job->socket_fd);
		return;
	}
	if (!job->borrowed)
		sockets_set(job->socket_fd, m);
	take_patience(job, job->socket_fd);
	unix_go_on(job);
}

/* ---- the messages ---------------------------------------------------------------------------- */

static void answer_at_once(const struct dial_message *m)
{
	autofd fd = -1;
	int r = 0;

	if (m->op == DIAL_BIND) {
		r = tcp_bind(m, &fd);
	} else if (m->op == DIAL_NAMED) {
		r = named_bind(m, &fd);
	} else if (m->op == DIAL_TCP) {
		r = tcp_at_once(m, &fd);
	} else {
		fd = sockets_unix(m->type);
		r = fd < 0 ? fd : 0;
	}
	channel_done(m->id, r, 0, &fd);
}

void dialer_begin(const struct dial_message *m, int *fds, size_t n_fds)
{
	struct job *job;
	int none = -1;

	if (m->op == DIAL_BIND || m->op == DIAL_NAMED || m->op == DIAL_SOCKET ||
		(m->op == DIAL_TCP && !m->wait)) {
		answer_at_once(m);
		return;
	}
	job = job_new(m);
	if (!job) {
		channel_done(m->id, -EAGAIN, 0, &none);
		return;
	}
	if (m->op == DIAL_PATH || m->op == DIAL_ABSTRACT) {
		unix_begin(job, fds, n_fds);
		return;
	}
	address_order(m->addresses, m->n_addresses, job->order);
	attempts_go_on(job);
}

void dialer_cancel(uint32_t id)
{
	for (size_t i = 0; i < DIAL_WAITING_MAX; i++) {
		if (jobs[i].id && jobs[i].id == id)
			job_free(&jobs[i]);
	}
}

void dialer_release(uint32_t id)
{
	for (size_t i = 0; i < DIAL_WAITING_MAX; i++) {
		if (jobs[i].id && jobs[i].id == id)
			job_release(&jobs[i], -EINTR);
	}
}

uint64_t dialer_due(void)
{
	uint64_t due_ns = NEVER;

	for (size_t i = 0; i < DIAL_WAITING_MAX; i++) {
		if (jobs[i].id)
			due_ns = sooner(sooner(due_ns, jobs[i].patience_ns),
				sooner(jobs[i].deadline_ns, jobs[i].next_ns));
	}
	return due_ns;
}

void dialer_tick(uint64_t now_ns)
{
	for (size_t i = 0; i < DIAL_WAITING_MAX; i++) {
		struct job *job = &jobs[i];

		if (!job->id)
			continue;
		if (job->deadline_ns <= now_ns)
			job_failed(job, -ETIMEDOUT);
		else if (job->patience_ns <= now_ns)
			job_release(job, -EAGAIN);
		else if (job->next_ns <= now_ns && job->socket_fd >= 0)
			unix_go_on(job);
		else if (job->next_ns <= now_ns)
			attempts_go_on(job);
	}
}
