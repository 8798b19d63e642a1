/* SPDX-License-Identifier: MIT */
/*
 * fd.c - descriptors that are closed on every return.
 *
 * Runs in: everywhere.  Trusts: its caller.
 */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RUN_MIN 3 /* descriptors that are worth a close_range(2) */

void fd_close_open(int fd)
{
	int saved = errno;

	/* close(2): on Linux the descriptor is gone even after EINTR. */
	close(fd);
	errno = saved;
}

/* How many descriptors from fds[0] on follow one another without a gap: whatever lies in such a
 * range is in the array. */
static size_t run_of(const int *fds, size_t n)
{
	size_t run = 1;

	while (fds[0] >= 0 && run < n && fds[run] == fds[0] + (int)run)
		run++;
	return run;
}

void fd_close_many(int *fds, size_t n)
{
	int saved = errno;

	for (size_t i = 0; i < n;) {
		size_t run = run_of(fds + i, n - i);

		/* close_range(2) is of Linux 5.9, and a container's filter may not know it. */
		if (run >= RUN_MIN && close_range((unsigned)fds[i],
					      (unsigned)fds[i] + (unsigned)run - 1, 0) == 0) {
			while (run-- > 0)
				fds[i++] = -1;
		} else {
			fd_close(&fds[i++]);
		}
	}
	errno = saved;
}

void ptr_free(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

int fd_stat(int fd, struct stat *ret)
{
	return syscall(SYS_fstat, fd, ret) < 0 ? -errno : 0;
}

int fd_write_all(int fd, const void *buf, size_t size)
{
	const char *at = buf;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

long fd_read_all(int fd, void *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)buf + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (long)done;
}

int fd_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int fd_status_flags(int fd, int set, int clear)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return fcntl(fd, F_SETFL, (flags | set) & ~clear) < 0 ? -errno : 0;
}

int fd_fill_standard(void)
{
	/* Who writes to a standard output that is closed is to be told so. */
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 1 ? O_RDONLY : O_RDWR) != fd)
			return errno ? -errno : -EBADF;
	return 0;
}
