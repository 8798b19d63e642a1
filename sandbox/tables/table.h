/* SPDX-License-Identifier: MIT */
/*
 * table.h - the form of a filter's table: one row a system call, with its reason.
 *
 * A row that a machine lacks (open on arm64) has a negative number and is passed over.  A call with
 * several rows is allowed where one of them matches; a call without a row gets the table's default.
 * TRAP: the broker is notified and answers (broker/trap.c); without a broker the call is ENOSYS.
 */
#ifndef WARDER_TABLE_H
#define WARDER_TABLE_H

#include "sandbox/filter.h"

#include <seccomp.h>

#define TABLE_TRAP (-1) /* in table_row.error: SECCOMP_RET_USER_NOTIF */

struct table_row {
	const char *name;
	int nr;
	int error;       /* 0: allowed; TABLE_TRAP; else refused with it */
	unsigned need;   /* CELL_...: the row counts only where the cell has all of them */
	unsigned n_args; /* conditions, all of which must hold */
	struct scmp_arg_cmp args[3];
	const char *why;
};

/* set_mempolicy_home_node (Linux 5.17) is the last one in libseccomp 2.5.4, on both machines. */
#define TABLE_LAST_KNOWN 450

/* The machine that a table is for: the one that it is preprocessed for, not the one that reads it.
 */
#ifdef __aarch64__
#define TABLE_ARCH SCMP_ARCH_AARCH64
#else
#define TABLE_ARCH SCMP_ARCH_X86_64
#endif

struct table {
	uint32_t arch; /* TABLE_ARCH */
	const struct table_row *rows;
	size_t n;
	uint32_t otherwise; /* SCMP_ACT_... without a row, or where none matches */
	int newer;          /* errno of calls newer than libseccomp's list; 0: as `otherwise` */
};

/* Arguments are compared in their low 32 bits where the kernel takes an int: the rest is the
 * caller's to fill, and a 64-bit compare would be passed by a number the kernel then cuts. */
#define LOW32 0xffffffffULL
#define IS(arg, v) \
	{ \
		(arg), SCMP_CMP_MASKED_EQ, LOW32, (scmp_datum_t)(uint32_t)(v) \
	}
#define NONE(arg, bits) \
	{ \
		(arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(uint32_t)(bits), 0 \
	}
#define ONLY(arg, bits) \
	{ \
		(arg), SCMP_CMP_MASKED_EQ, LOW32 & ~(scmp_datum_t)(uint32_t)(bits), 0 \
	}
/* All of `bits` are set. */
#define HAS(arg, bits) \
	{ \
		(arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(uint32_t)(bits), \
			(scmp_datum_t)(uint32_t)(bits) \
	}
/* Of `bits`, those of v are set and no other. */
#define OF(arg, bits, v) \
	{ \
		(arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(uint32_t)(bits), \
			(scmp_datum_t)(uint32_t)(v) \
	}
/* All but `bits` is v. */
#define IS_BUT(arg, bits, v) \
	{ \
		(arg), SCMP_CMP_MASKED_EQ, LOW32 & ~(scmp_datum_t)(uint32_t)(bits), \
			(scmp_datum_t)(v) \
	}

#define ALLOW(call, why) \
	{ \
#call, SCMP_SYS(call), 0, 0, 0, {{0 } }, why \
	}
#define ALLOW_IN(cell, call, why) \
	{ \
#call, SCMP_SYS(call), 0, cell, 0, {{0 } }, why \
	}
#define ALLOW_IF(call, a, why) \
	{ \
#call, SCMP_SYS(call), 0, 0, 1, {a }, why \
	}
#define ALLOW_IF_IN(cell, call, a, why) \
	{ \
#call, SCMP_SYS(call), 0, cell, 1, {a }, why \
	}
#define ALLOW_IF2(call, a, b, why) \
	{ \
#call, SCMP_SYS(call), 0, 0, 2, {a, b }, why \
	}
#define ALLOW_IF2_IN(cell, call, a, b, why) \
	{ \
#call, SCMP_SYS(call), 0, cell, 2, {a, b }, why \
	}
#define ALLOW_IF3(call, a, b, c, why) \
	{ \
#call, SCMP_SYS(call), 0, 0, 3, {a, b, c }, why \
	}
#define ALLOW_IF3_IN(cell, call, a, b, c, why) \
	{ \
#call, SCMP_SYS(call), 0, cell, 3, {a, b, c }, why \
	}
#define REFUSE(error, call, why) \
	{ \
#call, SCMP_SYS(call), error, 0, 0, {{0 } }, why \
	}

#define REFUSE_IF(error, call, a, why) \
	{ \
#call, SCMP_SYS(call), error, 0, 1, {a }, why \
	}
#define REFUSE_IF_IN(cell, error, call, a, why) \
	{ \
#call, SCMP_SYS(call), error, cell, 1, {a }, why \
	}
#define REFUSE_IF2(error, call, a, b, why) \
	{ \
#call, SCMP_SYS(call), error, 0, 2, {a, b }, why \
	}
#define REFUSE_IF3(error, call, a, b, c, why) \
	{ \
#call, SCMP_SYS(call), error, 0, 3, {a, b, c }, why \
	}

#define TRAP(call, why) \
	{ \
#call, SCMP_SYS(call), TABLE_TRAP, 0, 0, {{0 } }, why \
	}
#define TRAP_IF(call, a, why) \
	{ \
#call, SCMP_SYS(call), TABLE_TRAP, 0, 1, {a }, why \
	}

#define TRAP_IF2_IN(cell, call, a, b, why) \
	{ \
#call, SCMP_SYS(call), TABLE_TRAP, cell, 2, {a, b }, why \
	}
#define TRAP_IN(cell, call, why) \
	{ \
#call, SCMP_SYS(call), TABLE_TRAP, cell, 0, {{0 } }, why \
	}
#define TRAP_IF_IN(cell, call, a, why) \
	{ \
#call, SCMP_SYS(call), TABLE_TRAP, cell, 1, {a }, why \
	}

extern const struct table table_worker;
extern const struct table table_broker;
extern const struct table table_init;
extern const struct table table_relay;
extern const struct table table_dialer;

/* Makes the program for a cell with these CELL_... bits, as libseccomp writes it.  *ret_code is
 * malloc'd.  0 or -errno. */
int table_compile(
	const struct table *table, unsigned cell, struct sock_filter **ret_code, size_t *ret_n);

/* Makes it shorter, in place, or leaves it as it is.  0; -EINVAL: it has an instruction that
 * table_compile() never writes; or -errno. */
int program_shrink(struct sock_filter *code, size_t *n);

/* 0: they gave the same answers to all that was tried; -EBADMSG: they did not. */
int program_same(const struct filter *a, const struct filter *b, uint32_t arch);

#endif
