/* SPDX-License-Identifier: MIT */
/*
 * policy_options.c - the options that make a policy.
 *
 * Runs in: command line.  Trusts: the user who calls.
 */
#include "cli/policy_options.h"
#include "cli/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row setting_rows[] = {SETTING_OPTION_ROWS, SERVE_OPTION_ROWS};

int policy_options_init(struct policy_options *p, int argc)
{
	size_t n = (size_t)argc + 2;

	*p = (struct policy_options){
		.lines = calloc(n, sizeof(*p->lines)),
		.sets = calloc(n, sizeof(*p->sets)),
		.flags = calloc(n, sizeof(*p->flags)),
		.made = calloc(n, sizeof(*p->made)),
	};
	p->args = (struct policy_load_args){.lines = p->lines, .sets = p->sets, .flags = p->flags};
	return p->lines && p->sets && p->flags && p->made ? 0 : -ENOMEM;
}

void policy_options_deinit(struct policy_options *p)
{
	for (size_t i = 0; i < p->n_made; i++)
		free(p->made[i]);
	free(p->made);
	free(p->lines);
	free(p->sets);
	free(p->flags);
	*p = (struct policy_options){0};
}

/* "allow" and "read /etc/" make a line. */
static int take_rule(struct policy_options *p, const char *verdict, const char *rule)
{
	char *line;

	if (asprintf(&line, "%s %s", verdict, rule) < 0)
		return -ENOMEM;
	p->made[p->n_made++] = line;
	p->lines[p->args.n_lines++] = line;
	return 1;
}

void policy_options_flag(struct policy_options *p, const char *name, const char *value)
{
	p->flags[p->args.n_flags++] = (struct policy_flag){name, value};
}

int policy_options_take(struct policy_options *p, const struct options *o,
	const struct option_row *row, const char *value)
{
	if (row->letter == 'e') {
		p->lines[p->args.n_lines++] = value;
		return 1;
	}
	if (row->letter == 'p') {
		if (p->args.file) {
			options_wrong(o, "-p is given twice; one policy can include another");
			return -EINVAL;
		}
		p->args.file = value;
		return 1;
	}
	if (strcmp(row->name, "allow") == 0 || strcmp(row->name, "deny") == 0)
		return take_rule(p, row->name, value);
	if (strcmp(row->name, "set") == 0) {
		p->sets[p->args.n_sets++] = value;
		return 1;
	}
	for (size_t i = 0; i < sizeof(setting_rows) / sizeof(setting_rows[0]); i++) {
		if (strcmp(row->name, setting_rows[i].name) != 0)
			continue;
		policy_options_flag(p, setting_rows[i].name, value);
		return 1;
	}
	return 0;
}

void policy_options_protect(struct policy_options *p)
{
	struct failure ignored = FAILURE_INIT; /* it will be met again where it matters */

	p->protect = (struct policy_protected){p->state, RIGHTS_FILES};
	p->args.protect = &p->protect;
	p->args.n_protect = state_path(p->state, sizeof(p->state), &ignored) == 0;
}
