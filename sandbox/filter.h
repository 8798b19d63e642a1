/* SPDX-License-Identifier: MIT */
/*
 * filter.h - the filters' programs, made at build time from sandbox/tables/.
 */
#ifndef WARDER_FILTER_H
#define WARDER_FILTER_H

#include "sandbox/confine.h"

#include <linux/filter.h>

/* What a cell is like, for rows that not every cell has. */
#define CELL_HAS_VIEW     0x01u /* root view or empty: namespaces, a read-only view */
#define CELL_IS_HOST      0x02u /* root host */
#define CELL_SYNC         0x04u /* of the broker's alone: `ledger sync batch` */
#define CELL_APPENDS      0x08u /* a rule gives append without write */
#define CELL_NO_TRUNCATE  0x10u /* and one that gives write reaches the same tree */
#define CELL_NO_APPENDS   0x20u /* neither */
#define CELL_MAY_TRUNCATE 0x40u /* not CELL_NO_TRUNCATE */
#define CELL_DATAGRAMS    0x80u /* a rule names a Unix datagram socket */

/* One program: a table, for cells of one kind. */
struct filter_program {
	enum filter_table table;
	unsigned cell; /* CELL_... */
	const struct sock_filter *code;
	size_t n;
};
extern const struct filter_program filter_programs[];
extern const size_t filter_programs_count;

/* The CELL_... bits of this cell. */
unsigned filter_cell(const struct cell_spec *spec);

#endif
