/* SPDX-License-Identifier: MIT */
/*
 * fd.h - descriptors that are closed on every return.
 *
 *     autofd fd = -1;              closed when it leaves the scope
 *     *ret_fd = fd_take(&fd);      handed out: fd is -1 afterwards
 *
 * Cleanup attributes do not run on _exit, exec or longjmp.
 */
#ifndef WARDER_FD_H
#define WARDER_FD_H

#include <stdbool.h>
#include <stddef.h>

struct stat;

/* Closes a descriptor.  Keeps errno. */
void fd_close_open(int fd);
/* Closes *fd unless it is negative, and sets it to -1.  Keeps errno. */
static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		fd_close_open(*fd);
	*fd = -1;
}
/* Returns *fd and leaves -1: ownership moves to the caller. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
/* Closes n descriptors of an array, each set to -1. */
void fd_close_many(int *fds, size_t n);

#define autofd __attribute__((cleanup(fd_close))) int

/* free() for a pointer variable, whatever its type. */
void ptr_free(void *pointer_to_pointer);
#define autofree __attribute__((cleanup(ptr_free)))

/* fstat(2), as the call of that name: glibc makes it newfstatat(2), which looks for a path as well.
 * 0 or -errno. */
int fd_stat(int fd, struct stat *ret);
/* Writes all of buf, going on after EINTR and short writes.  0 or -errno. */
int fd_write_all(int fd, const void *buf, size_t size);
/* Reads until end-of-file or `size` bytes.  Returns the count or -errno. */
long fd_read_all(int fd, void *buf, size_t size);
/* FD_CLOEXEC on or off.  0 or -errno. */
int fd_cloexec(int fd, bool on);
/* Sets or clears flags of F_SETFL (O_NONBLOCK).  0 or -errno. */
int fd_status_flags(int fd, int set, int clear);
/* Opens /dev/null on each of 0, 1, 2 that is closed, so that no descriptor is born there; on 1 for
 * reading, so that a write there fails as it would have.  0 or -errno. */
int fd_fill_standard(void);

#endif
