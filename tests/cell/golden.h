/* SPDX-License-Identifier: MIT */
/*
 * golden.h - what the worker's filter says to every number, as a file of each machine has it:
 * filter.x86_64, filter.aarch64.  UPDATE_GOLDEN=1 writes what is compared anew.
 */
#ifndef WARDER_TESTS_GOLDEN_H
#define WARDER_TESTS_GOLDEN_H

#include "tests/cell/cell.h"

#include <seccomp.h>

#define NUMBERS 601

enum kind { VIEW, APPEND, HOST, KINDS };
static const char *const kind_names[] = {"view", "append", "host"};

/* Specs that lead to each kind of cell. */
static inline void kind_spec(enum kind kind, struct cell_spec *spec, struct cell_tree *tree)
{
	*tree = (struct cell_tree){.path = "/srv"};
	*spec = (struct cell_spec){.trees = tree, .n_trees = 1, .tty_fd = -1, .uid = worker_uid()};
	tree->access = kind == APPEND ? CELL_APPEND : CELL_WRITE;
	if (kind == HOST)
		spec->root = CELL_HOST;
}

/* uretprobe and uprobe (Linux 6.11, 6.18): no filter sees them, and from anywhere but the kernel's
 * own trampoline they are a SIGILL or SIGSEGV. */
static inline bool golden_is_kernel_only(uint32_t arch, int nr)
{
	return arch == SCMP_ARCH_X86_64 && (nr == 335 || nr == 336);
}

static inline const char *golden_error(int error)
{
	return error == EPERM        ? "EPERM"
	       : error == EACCES     ? "EACCES"
	       : error == ENOSYS     ? "ENOSYS"
	       : error == EOPNOTSUPP ? "EOPNOTSUPP"
				     : "?";
}

static inline void golden_line(
	char *line, size_t size, uint32_t arch, int nr, const char *const verdicts[KINDS])
{
	char *name = seccomp_syscall_resolve_num_arch(arch, nr);

	snprintf(line, size, "%3d %-24s %-16s %-16s %s\n", nr, name ? name : "-", verdicts[0],
		verdicts[1], verdicts[2]);
	free(name);
}

/* Fails at the first number where the file of that machine says something else. */
static inline void golden_compare(uint32_t arch, const char *verdicts[NUMBERS][KINDS])
{
	const char *top = getenv("TOP");
	bool update = getenv("UPDATE_GOLDEN") != NULL;
	char path[512], line[128], want[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/cell/filter.%s", top ? top : ".",
		arch == SCMP_ARCH_AARCH64 ? "aarch64" : "x86_64");
	file = fopen(path, update ? "we" : "re");
	if (!file)
		flunk("%s: %s", path, strerror(errno));
	for (int nr = 0; nr < NUMBERS; nr++) {
		golden_line(line, sizeof(line), arch, nr, verdicts[nr]);
		if (update)
			fputs(line, file);
		else if (!fgets(want, sizeof(want), file) || strcmp(want, line) != 0)
			flunk("the file says\n%sthe filter does\n%s", want, line);
	}
	fclose(file);
}

#endif
