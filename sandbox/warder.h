/* SPDX-License-Identifier: MIT */
/*
 * warder.h - libwarder: ask the warder from inside the cell, start a cell from outside.
 *
 * Inside, a worker that can open nothing asks for what it needs:
 *
 *     struct warder *w = warder_attach();
 *     int fd = warder_open(w, "/srv/data/a.txt", O_RDONLY, 0);
 *     warder_lockdown();
 *
 * Outside, warder_spawn() starts `warder run` and reports how it went.
 *
 * Functions that return int return 0 or a descriptor, or -1 with errno set, unless told otherwise.
 * The library has no thread, no signal handler and no global state; a struct warder is used by
 * one thread at a time.  Every descriptor it returns is close-on-exec.  libwarder(3) describes
 * each function and its errors.
 */
#ifndef WARDER_H
#define WARDER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WARDER_API __attribute__((visibility("default")))

/* ---- inside the cell: asking --------------------------------------------------------------- */

/*
 * Errors of every function that asks, beside those the broker answers with (EACCES and ENOENT for
 * what the policy does not grant, and what open(2), stat(2)... say):
 *
 *     EINVAL        a relative path while the working directory is unknown (it is taken from
 *                   getcwd(3), which fails after warder_lockdown()), or a flag out of range
 *     ENAMETOOLONG  a path of more than 4095 bytes
 *     EMFILE        the answer's descriptor found no room in this process (RLIMIT_NOFILE)
 *     EPROTO        the answer was no answer to this question; all that came with it was closed
 *     ECONNRESET    the broker is gone
 *     EBUSY         called from the callback of warder_list() with the same handle
 *
 * After EPROTO or ECONNRESET the channel is closed and every later call fails likewise.
 */
struct warder;

/*
 * Attaches to the broker that started this process, by the channel in the environment variable
 * WARDER_FD.  Once a process.  Returns a handle, to be given to warder_detach(); NULL and errno:
 * ENXIO where WARDER_FD is not set (not started by warder), EINVAL where it names no
 * SOCK_SEQPACKET Unix socket, EALREADY where it was attached to, EPROTONOSUPPORT where the broker
 * speaks another version.
 */
WARDER_API struct warder *warder_attach(void);
/* The same on a socket that the caller has.  Takes *fd, which is -1 afterwards, on failure too. */
WARDER_API struct warder *warder_attach_fd(int *fd);
/* Closes the channel and frees the handle.  Descriptors that were opened stay.  NULL is allowed. */
WARDER_API void warder_detach(struct warder *w);

/* open(2).  Returns a descriptor. */
WARDER_API int warder_open(struct warder *w, const char *path, int flags, mode_t mode);

/* One of many: path, flags and mode in; fd out, a descriptor or a negative errno. */
struct warder_open_req {
	const char *path;
	int flags;
	mode_t mode;
	int fd;
};

/*
 * Opens n paths with as few messages as they fit in (64 a message).  Every request's fd is set:
 * the caller closes those that are not negative.  Returns 0 where each was answered, else -1 and
 * errno: those already answered keep their descriptors, the others hold -errno.
 */
WARDER_API int warder_open_many(struct warder *w, struct warder_open_req *reqs, size_t n);

/* stat(2), or lstat(2) with AT_SYMLINK_NOFOLLOW in flags. */
WARDER_API int warder_stat(struct warder *w, const char *path, int flags, struct stat *ret);
/* access(2), judged by the policy and by the user as whom files are opened. */
WARDER_API int warder_access(struct warder *w, const char *path, int mode);
/* readlink(2): at most `size` bytes, no NUL.  Returns how many. */
WARDER_API ssize_t warder_readlink(struct warder *w, const char *path, char *buf, size_t size);

struct warder_entry {
	uint64_t ino;
	unsigned char type; /* DT_REG, DT_DIR... of readdir(3); DT_UNKNOWN where nobody knows */
	const char *name;
};

/*
 * Calls each() for every entry of a directory but "." and "..", until it returns other than 0.
 * The entry is valid until each() returns.  Returns 0, what each() returned, or -1 and errno.
 */
WARDER_API int warder_list(struct warder *w, const char *path,
	int (*each)(void *ctx, const struct warder_entry *entry), void *ctx);

/* As mkdir(2), rmdir(2), unlink(2), renameat2(2), link(2), symlink(2), truncate(2), chmod(2). */
WARDER_API int warder_mkdir(struct warder *w, const char *path, mode_t mode);
WARDER_API int warder_rmdir(struct warder *w, const char *path);
WARDER_API int warder_unlink(struct warder *w, const char *path);
WARDER_API int warder_rename(
	struct warder *w, const char *path, const char *new_path, unsigned flags);
WARDER_API int warder_link(struct warder *w, const char *path, const char *new_path);
WARDER_API int warder_symlink(struct warder *w, const char *text, const char *new_path);
WARDER_API int warder_truncate(struct warder *w, const char *path, off_t size);
WARDER_API int warder_chmod(struct warder *w, const char *path, mode_t mode);
/* utimensat(2): times[0] access, times[1] modification; NULL: now.  Flags as warder_stat(). */
WARDER_API int warder_utimes(
	struct warder *w, const char *path, const struct timespec times[2], int flags);
/* A new inotify(7) descriptor that watches path alone for the events of mask. */
WARDER_API int warder_watch(struct warder *w, const char *path, uint32_t mask);

/* The other end of a connection or, of a listening socket, its own address; and the rule that
 * allowed it.  Both end in NUL; a path too long for `text` is cut. */
struct warder_peer {
	char text[256]; /* as a policy writes it: "93.184.215.14:443", "/run/x.sock", "@name" */
	char rule[256]; /* "scan.policy:3" */
};

/*
 * A socket, connected: `socket` as a policy writes it, "api.example.com:443", "[2001:db8::1]:80",
 * "/run/x.sock" or "@name".  UDP and other datagrams are EPROTONOSUPPORT.  flags: 0, or of a Unix
 * socket that is no stream SOCK_SEQPACKET.  Waits for timeout_ms at most; 0: as long as the
 * rule's `timeout` says, else the kernel.  `ret` may be NULL.  Returns a descriptor, which blocks;
 * beside the errors above what connect(2) says, ETIMEDOUT, and of a name: ENOENT where nobody has
 * it, EHOSTUNREACH where nobody could be asked.
 */
WARDER_API int warder_connect(struct warder *w, const char *socket, int flags, unsigned timeout_ms,
	struct warder_peer *ret);
/*
 * A listening socket, at an address ("127.0.0.1:8080", "[::]:0"), an abstract name ("@name") or a
 * path, of which `mode` says who may connect; the mode of the others is 0.  Nothing is removed that
 * stands at the path.  Returns a descriptor, to be given to accept4(2); what bind(2) says:
 * EADDRINUSE, EADDRNOTAVAIL; EPROTONOSUPPORT of UDP, which is had by bind(2).
 */
WARDER_API int warder_listen(
	struct warder *w, const char *socket, int backlog, mode_t mode, struct warder_peer *ret);

/* An address of a host's: AF_INET, of which the first 4 bytes count, or AF_INET6. */
struct warder_address {
	int family;
	unsigned char bytes[16]; /* in the order of the network */
};

/*
 * Addresses of a host's name, of one family or (AF_UNSPEC) both, at most `max`.  Returns how many;
 * ENOENT where nobody has the name or it has no such address.  A program that wants a connection
 * gives warder_connect() the name: that tries them all, and only those that a rule admits.
 */
WARDER_API int warder_resolve(
	struct warder *w, const char *name, int family, struct warder_address *ret, size_t max);

/*
 * Gives up, for good and in every thread, all that a loaded worker needs no more: no path, no new
 * socket, no program, no process, no executable memory.  What stays is a table in libwarder(3):
 * reading, writing and waiting on descriptors, memory, clocks.  What is refused fails with EPERM
 * or, where nobody needs to be told, with ENOSYS.  A second call does nothing. 0; -1 and errno: the
 * table could not be loaded, and nothing has changed.
 */
WARDER_API int warder_lockdown(void);

/* ---- inside the cell: serving clients ------------------------------------------------------- */

/* Who is at the other end of a connection, as the warder read it (SO_PEERCRED). */
struct warder_client {
	uint64_t number; /* grows with each connection */
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

struct warder_reply;

/* Adds bytes to the reply.  0, or -1 and errno: EMSGSIZE over frame_max, ENOMEM. */
WARDER_API int warder_reply(struct warder_reply *reply, const void *data, size_t size);
/* Takes back all that was added. */
WARDER_API void warder_reply_clear(struct warder_reply *reply);
/* Attaches one descriptor to the reply, on its first byte.  Takes *fd, which is -1 afterwards.
 * 0, or -1 and errno: EBUSY where the reply has one already. */
WARDER_API int warder_reply_fd(struct warder_reply *reply, int *fd);

struct warder_serve {
	/*
	 * Called for each frame, one at a time, in the order of arrival.  What it added with
	 * warder_reply() is sent as one frame, and nothing where it added nothing.  Returns 0;
	 * other values close this connection after what was said so far.
	 */
	int (*handle)(void *ctx, const struct warder_client *client, const void *frame, size_t size,
		struct warder_reply *reply);
	/* Called when a connection has ended, with the reason in a few words.  May be NULL. */
	void (*closed)(void *ctx, const struct warder_client *client, const char *why);
	void *ctx;
	size_t frame_max;     /* bytes of a frame, either way; 0: 1 MiB */
	size_t pending_max;   /* unsent bytes after which a client is not read; 0: 1 MiB */
	unsigned clients_max; /* connections at once; 0: 1024, at most what RLIMIT_NOFILE allows */
	unsigned idle_ms;     /* a connection without a frame for so long is closed; 0: 5 min */
	unsigned frame_ms;    /* time for a frame once begun, and for a client to read; 0: 10 s */
};

/*
 * Serves the connections that `warder serve` hands over on the channel in WARDER_CLIENTS_FD, until
 * that channel ends; then finishes what is in flight and returns 0.  -1 and errno: ENXIO where
 * WARDER_CLIENTS_FD is not set, EINVAL where it names no such socket, EPROTO where the channel
 * carries something else, ENOMEM.
 *
 * A frame is a u32 size, big-endian, and so many bytes.  A size of 0 or over frame_max closes that
 * connection alone.  Descriptors that clients attach are refused or dropped by the kernel.
 */
WARDER_API int warder_serve(const struct warder_serve *s);
/* The same on a channel that the caller has.  Takes *clients_fd. */
WARDER_API int warder_serve_fd(const struct warder_serve *s, int *clients_fd);

/* ---- outside: starting a cell --------------------------------------------------------------- */

struct warder_fd {
	int from; /* here */
	int to;   /* in the cell, 0 to 255 */
};

/* What became of a cell.  Zeroed before its first use. */
struct warder_result {
	pid_t pid;     /* of `warder run`, the parent of all of the cell */
	int status_fd; /* where it reports; closed by warder_wait() */
	int status;    /* COMMAND's own, 128 + signal, or 125 to 127, see warder-run(1) */
	uint64_t granted, denied, limited;
	int timed_out;
	uint64_t oom_killed; /* processes that the kernel ended for the cell's limit of memory */
	char error[512];     /* why the start failed, see warder_strerror() */
	char buffer[1600];   /* what was read of a report and is not whole yet */
	size_t used;
};

/* A cell to start.  Zeroed is the default of each field; strings are borrowed. */
struct warder_spawn {
	const char *policy_file;     /* a path, or the name of a policy; or */
	const char *policy_text;     /* the text itself; neither: nothing is granted */
	char *const *argv;           /* COMMAND and its arguments */
	char *const *envp;           /* NULL: the caller's; what passes is the policy's to say */
	const char *cwd;             /* NULL: the caller's */
	const struct warder_fd *fds; /* for COMMAND; where 0, 1 or 2 is not named: the caller's */
	size_t n_fds;
	unsigned time_ms;             /* of the whole cell; 0: as the policy says */
	const char *const *options;   /* more options of `warder run`, NULL-terminated, or NULL */
	const char *program;          /* NULL: the installed warder, else the one along PATH */
	unsigned start_ms;            /* for the start; 0: 30 s */
	struct warder_result *result; /* out; may be NULL */
};

/*
 * Starts a cell: runs `warder run` with nothing open but what is named here, and returns when
 * COMMAND has been started.  *ret_pidfd refers to `warder run`, a child of the caller: it becomes
 * readable at the cell's end, and killing it ends the whole cell.  End it with warder_wait().
 *
 * 0; -1 and errno, with the sentence in result: ENOENT and EACCES where COMMAND (or warder itself)
 * could not be found or executed, ECANCELED where warder refused to start it, ETIMEDOUT, EINVAL
 * (both policies, no argv, a descriptor out of range), or what failed here.  Nothing is left then.
 */
WARDER_API int warder_spawn(const struct warder_spawn *s, int *ret_pidfd);

/* Why the last warder_spawn(s) failed: what was attempted, on what, why, what to do.  Belongs to
 * s->result; "" where nothing failed or result is NULL. */
WARDER_API const char *warder_strerror(const struct warder_spawn *s);

/*
 * Waits for the end of a cell, reads its last report into `result` (NULL: nobody wants it) and
 * closes *pidfd, which is -1 afterwards.  Without a report (warder was killed) the status is that
 * of `warder run`.  0, or -1 and errno: ECHILD where somebody else has waited for it.
 */
WARDER_API int warder_wait(struct warder_result *result, int *pidfd);

#ifdef __cplusplus
}
#endif

#endif
