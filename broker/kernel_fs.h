/* SPDX-License-Identifier: MIT */
/*
 * kernel_fs.h - file systems that the kernel makes up: no rule over "/" reaches into them.
 */
#ifndef WARDER_KERNEL_FS_H
#define WARDER_KERNEL_FS_H

#include "broker/request.h"

/*
 * Whether what t reached may be granted as far as its file system goes: `dev` is its device, `fd`
 * any descriptor on it.  0; -EACCES, refused; or -errno.
 */
int kernel_fs_check(
	struct session *s, struct request *q, const struct target *t, dev_t dev, int fd);

#endif
