/* SPDX-License-Identifier: MIT */
/*
 * json_ledger.c - warder ledger show: the book, for people.
 *
 * Runs in: command line.  Trusts: nothing in the file.
 *
 * Also says what is wrong with a book, and where: a line that is no record, one that was torn off
 * or converted, a number that is missing.
 */
#include "broker/ledger.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/say.h"
#include "cli/state.h"
#include "common/fd.h"
#include "common/nearest.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "warder ledger show [OPTION]... [FILE]";
static const char what[] = "Shows what a ledger holds, counts it by rule, and tells where records "
			   "are missing.";
static const char more[] = "Without FILE it is the newest of your own `warder run`; \"-\" is "
			   "standard input.\nThe exit status is 0 for a whole ledger, 1 for a "
			   "damaged one, 2 where it could not be read.";

static const struct option_row rows[] = {
	{"denied", 'd', NULL, "only what was denied or failed"},
	{"event", 'e', "EVENT", "only grant, deny, start, client, ..."},
	{"rule", 'r', "RULE", "only what rests on this rule, as in scan.policy:13"},
	{"summary", 's', NULL, "only the counts"},
	{"json", 0, NULL, "the records as they are, or with -s the counts, as JSON Lines"},
	{"help", 'h', NULL, "this help"},
};
enum { ROW_DENIED, ROW_EVENT, ROW_RULE, ROW_SUMMARY, ROW_JSON, ROW_HELP };

/* The last number of each session that the file holds. */
struct chain {
	json_t *last; /* session: seq */
	unsigned long line;
	unsigned faults;
};

struct show {
	const char *file, *event, *rule;
	bool denied, summary, json, help;
	bool colour;
	struct chain chain;
	struct tally_table tally;
};

/* An event that no ledger holds would show an empty table. */
static int check_event(const struct options *o, const char *event)
{
	static const char *const events[] = {"session", "start", "spawn", "grant", "deny", "fail",
		"client", "exit", "end", NULL};
	const char *near = nearest_word(event, strlen(event), events);
	char shown[128];

	for (size_t i = 0; events[i]; i++)
		if (strcmp(event, events[i]) == 0)
			return 0;
	say_escape(shown, sizeof(shown), event, strlen(event));
	if (near)
		options_wrong(o, "unknown event \"%s\"; did you mean \"%s\"?", shown, near);
	else
		options_wrong(o,
			"unknown event \"%s\"; there are session, start, spawn, grant, deny, fail, "
			"client, exit and end",
			shown);
	return -EINVAL;
}

/* Options may stand after FILE too. */
static int take_options(struct show *s, struct options *o)
{
	const char *value;
	int i;

	while ((i = options_next(o, &value)) >= 0 ||
		(i == OPTIONS_END && (value = options_operand(o)))) {
		if (i == OPTIONS_END && s->file) {
			options_wrong(o, "one FILE at a time");
			return -EINVAL;
		}
		if (i == OPTIONS_END)
			s->file = value;
		else if (i == ROW_DENIED)
			s->denied = true;
		else if (i == ROW_EVENT)
			s->event = value;
		else if (i == ROW_RULE)
			s->rule = value;
		else if (i == ROW_SUMMARY)
			s->summary = true;
		else if (i == ROW_JSON)
			s->json = true;
		else
			s->help = true;
	}
	if (i == OPTIONS_BAD)
		return -EINVAL;
	if (s->help)
		return 0;
	if (s->event && check_event(o, s->event) < 0)
		return -EINVAL;
	return 0;
}

/* ---- one field ------------------------------------------------------------------------------- */

/* Characters up to U+00FF back to the bytes they stand for.  Returns how many. */
static size_t to_bytes(const char *text, size_t size, char *buf, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < size && n < room; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0xc2 && c <= 0xc3 && i + 1 < size)
			buf[n++] = (char)((c & 3) << 6 | (text[++i] & 0x3f));
		else
			buf[n++] = (char)c;
	}
	return n;
}

/* Whether the texts of a field stand for bytes. */
static bool is_bytes(const json_t *record, const char *field)
{
	char flag[64];

	snprintf(flag, sizeof(flag), "%s_bytes", field);
	return json_is_true(json_object_get(record, flag));
}

static char *show_value(const json_t *value, bool is_bytes, char *buf, size_t size)
{
	const char *text = json_string_value(value);
	char bytes[8192];
	size_t n = json_string_length(value);

	if (json_is_integer(value))
		snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		buf[0] = '\0';
	if (!text)
		return buf;
	if (!is_bytes)
		return say_escape(buf, size, text, n);
	n = to_bytes(text, n, bytes, sizeof(bytes));
	return say_escape(buf, size, bytes, n);
}

char *json_show(const json_t *record, const char *field, char *buf, size_t size)
{
	return show_value(json_object_get(record, field), is_bytes(record, field), buf, size);
}

/* ---- one record ------------------------------------------------------------------------------ */

static void fault(struct chain *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct chain *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* One that is damaged all over does not need a sentence a line. */
	if (c->faults++ < 20)
		say("line %lu: %s", c->line, text);
}

/* A file may hold several sessions; in each the numbers go up by one, from 1. */
static void check_chain(struct chain *c, const json_t *record)
{
	const char *session = json_string_value(json_object_get(record, "session"));
	const json_t *seq = json_object_get(record, "seq");
	json_int_t number = json_integer_value(seq), last;

	if (!session || !json_is_integer(seq)) {
		fault(c, "no record of a ledger: \"seq\" or \"session\" is missing");
		return;
	}
	last = json_integer_value(json_object_get(c->last, session));
	if (number > last && number - last > 1)
		fault(c, "%lld record%s missing before number %lld", (long long)(number - last - 1),
			number - last == 2 ? " is" : "s are", (long long)number);
	else if (number <= last)
		fault(c, "number %lld comes after number %lld", (long long)number, (long long)last);
	if (number > last)
		json_object_set_new(c->last, session, json_integer(number));
}

static bool is_event(const json_t *record, const char *event)
{
	const char *name = json_string_value(json_object_get(record, "event"));

	return name && strcmp(name, event) == 0;
}

/* Clients who were sent away, or whom no worker could take in, too. */
static bool was_denied(const json_t *record)
{
	return is_event(record, "deny") || is_event(record, "fail") ||
	       (is_event(record, "client") && json_object_get(record, "error"));
}

static bool wanted(const struct show *s, const json_t *record)
{
	const char *rule = json_string_value(json_object_get(record, "rule"));

	if (s->denied && !was_denied(record))
		return false;
	if (s->event && !is_event(record, s->event))
		return false;
	return !s->rule || (rule && strcmp(rule, s->rule) == 0);
}

static void print_path(const json_t *record, const char *asked_name, const char *reached_name)
{
	char asked[4 * 4096 + 8], reached[sizeof(asked)];

	json_show(record, asked_name, asked, sizeof(asked));
	json_show(record, reached_name, reached, sizeof(reached));
	fputs(asked, stdout);
	if (*reached && strcmp(asked, reached) != 0)
		printf(" -> %s", reached);
}

/* A socket's other end, or its own address; and by which name it was found.  Of a name that is
 * looked up there is no more. */
static void print_socket(const json_t *record)
{
	char peer[2048], local[2048], name[2048];

	json_show(record, "peer", peer, sizeof(peer));
	json_show(record, "local", local, sizeof(local));
	json_show(record, "name", name, sizeof(name));
	if (*peer)
		fputs(peer, stdout);
	else if (*local)
		printf("at %s", local);
	else
		fputs(name, stdout);
	if (*name && (*peer || *local) && strncmp(peer, name, strlen(name)) != 0)
		printf(" (%s)", name);
	if (*peer && *local)
		printf(" from %s", local);
}

static void print_runtime(const json_t *record)
{
	const json_t *trees = json_object_get(record, "runtime");
	bool bytes = is_bytes(record, "runtime");
	char text[4 * 4096 + 8];

	for (size_t i = 0; i < json_array_size(trees); i++)
		printf("%s%s", i > 0 ? ", " : "",
			show_value(json_array_get(trees, i), bytes, text, sizeof(text)));
}

/* What the worker had from its start: a descriptor's type, name, flags, and what it is for. */
static void print_start(const json_t *record)
{
	char type[64], kind[64], domain[64], flags[512], text[128];

	if (json_object_get(record, "runtime")) {
		print_runtime(record);
		return;
	}
	json_show(record, "type", type, sizeof(type));
	json_show(record, "socket", kind, sizeof(kind));
	json_show(record, "domain", domain, sizeof(domain));
	fputs(strcmp(type, "socket") == 0 && *domain ? domain : type, stdout);
	if (*kind)
		printf(" %s", kind);
	putchar(' ');
	print_socket(record);
	printf("  %s", json_show(record, "flags", flags, sizeof(flags)));
	if (*json_show(record, "text", text, sizeof(text)))
		printf("  %s", text);
}

/* What a record that is not about a path says. */
static void print_other(const json_t *record)
{
	const json_t *client = json_object_get(record, "client");
	char text[2048];

	/* A service's door gives no numbers: each worker counts its own. */
	if (json_object_get(client, "number"))
		printf("client %lld, ",
			(long long)json_integer_value(json_object_get(client, "number")));
	if (client)
		printf("uid %lld, pid %lld ",
			(long long)json_integer_value(json_object_get(client, "uid")),
			(long long)json_integer_value(json_object_get(client, "pid")));
	fputs(json_show(record, "text", text, sizeof(text)), stdout);
	if (json_object_get(record, "status"))
		printf("status %s", json_show(record, "status", text, sizeof(text)));
}

/* What an event is about stands where a request has its operation. */
static char *subject(const json_t *record, char *buf, size_t size)
{
	if (!is_event(record, "start"))
		return json_show(record, "op", buf, size);
	if (json_object_get(record, "number"))
		snprintf(buf, size, "fd %lld",
			(long long)json_integer_value(json_object_get(record, "number")));
	else
		json_show(record, "class", buf, size);
	return buf;
}

/* Between the operation and the rule. */
static void print_body(const json_t *record)
{
	if (is_event(record, "start")) {
		print_start(record);
		return;
	}
	if (!json_object_get(record, "asked"))
		print_other(record);
	print_socket(record);
	print_path(record, "asked", "reached");
	if (json_object_get(record, "asked2")) {
		fputs(" , ", stdout);
		print_path(record, "asked2", "reached2");
	}
}

static void print_record(const struct show *s, const json_t *record)
{
	bool denied = was_denied(record);
	char time[64], event[32], op[32], text[1024];

	json_show(record, "time", time, sizeof(time));
	/* "2026-11-23T08:38:30.123456789Z": to the millisecond, since its day is in the head. */
	if (strlen(time) > 23) {
		time[10] = ' ';
		time[23] = '\0';
	}
	printf("%s  %s%-7s%s %-9s ", time, denied && s->colour ? "\033[31m" : "",
		json_show(record, "event", event, sizeof(event)),
		denied && s->colour ? "\033[m" : "", subject(record, op, sizeof(op)));
	print_body(record);
	if (*json_show(record, "rule", text, sizeof(text)))
		printf("  [%s]", text);
	if (*json_show(record, "error", text, sizeof(text)))
		printf("  %s", text);
	if (*json_show(record, "reason", text, sizeof(text)))
		printf(": %s", text);
	putchar('\n');
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Why a line is no record.  The parser's words may hold some of the line. */
static void fault_line(struct chain *c, const char *line, size_t size, const json_error_t *where)
{
	char shown[4 * JSON_ERROR_TEXT_LENGTH];

	if (size == 0)
		fault(c, "no record: the line is empty");
	else if (json_error_code(where) == json_error_premature_end_of_input)
		fault(c, "no record: cut off after byte %zu", size);
	else if (where->position <= 0)
		fault(c, "no record: not a JSON object");
	else
		fault(c, "no record: byte %d: %s", where->position,
			say_escape(shown, sizeof(shown), where->text, strlen(where->text)));
}

static int show_record(struct show *s, const json_t *record, const char *line, size_t size)
{
	int r;

	check_chain(&s->chain, record);
	if (!wanted(s, record))
		return 0;
	r = tally_add(&s->tally, record);
	if (s->json && !s->summary)
		fwrite(line, 1, size, stdout);
	else if (!s->summary)
		print_record(s, record);
	return r;
}

/* Where another record begins in the midst of a line, which was cut off there and added to: no
 * string of a record holds a quote as it is.  NULL: nowhere. */
static const char *second_record(const char *line, size_t size)
{
	static const char begin[] = "{\"seq\":";

	return size > 1 ? memmem(line + 1, size - 1, begin, sizeof(begin) - 1) : NULL;
}

static int show_line(struct show *s, const char *line, size_t size)
{
	const char *second;
	size_t text = size - 1; /* without its end */
	json_error_t where;
	json_t *record;
	int r = 0;

	while ((second = second_record(line, size))) {
		fault(&s->chain, "no record: cut off after byte %zu, where another begins",
			(size_t)(second - line));
		size -= (size_t)(second - line);
		text = size - 1;
		line = second;
	}
	if (line[text] != '\n') {
		fault(&s->chain, "the last record is torn off: it has no end after byte %zu", size);
		return 0;
	}
	if (text > 0 && line[text - 1] == '\r') {
		fault(&s->chain, "byte %zu: it ends in CR LF: the file was converted", text);
		text--;
	}
	record = json_loadb(line, text, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &where);
	if (json_is_object(record)) {
		r = show_record(s, record, line, size);
	} else {
		if (record) /* of another kind: nothing was wrong with it as JSON */
			where.position = 0;
		fault_line(&s->chain, line, text, &where);
	}
	json_decref(record);
	return r;
}

/* One line with its end, of which the first `room` bytes are kept; its size, 0 at the end. */
static size_t read_line(FILE *file, char *line, size_t room)
{
	size_t n = 0;
	int c;

	while ((c = getc_unlocked(file)) != EOF) {
		if (n < room)
			line[n] = (char)c;
		n++;
		if (c == '\n')
			break;
	}
	return n;
}

static int show_file(struct show *s, FILE *file)
{
	autofree char *line = malloc(LEDGER_BUFFER);
	size_t n;
	int r = line ? 0 : -ENOMEM;

	while (r == 0 && (n = read_line(file, line, LEDGER_BUFFER)) > 0) {
		s->chain.line++;
		if (n > LEDGER_BUFFER)
			fault(&s->chain, "no record: it has %zu bytes, and none has more than %d",
				n, LEDGER_BUFFER);
		else
			r = show_line(s, line, n);
	}
	return r < 0 ? r : !ferror(file) ? 0 : errno ? -errno : -EIO;
}

static int show(struct show *s, const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char shown[1024];
	int r;

	say_escape(shown, sizeof(shown), path, strlen(path));
	if (!file) {
		say("cannot read %s: %m", shown);
		return EXIT_CANNOT_TELL;
	}
	s->colour = say_colour(STDOUT_FILENO);
	s->chain.last = json_object();
	r = show_file(s, file);
	if (r == 0 && s->json && s->summary)
		tally_print_json(&s->tally, stdout);
	if (r == 0 && !s->json && !s->summary)
		putchar('\n');
	if (r == 0 && !s->json)
		tally_print(&s->tally, stdout);
	if (file != stdin)
		fclose(file);
	json_decref(s->chain.last);
	tally_deinit(&s->tally);
	errno = -r;
	if (r < 0) {
		say("cannot read %s: %m", strcmp(path, "-") == 0 ? "standard input" : shown);
		return EXIT_CANNOT_TELL;
	}
	if (s->chain.faults > 20)
		say("%u faults in all", s->chain.faults);
	return s->chain.faults ? EXIT_NO : EXIT_YES;
}

static int show_newest(struct show *s)
{
	struct failure f = FAILURE_INIT;
	char path[PATH_MAX], shown[2 * PATH_MAX];

	if (state_newest("run", path, sizeof(path), &f) < 0) {
		say("%s", say_escape(shown, sizeof(shown), f.text, strlen(f.text)));
		return EXIT_CANNOT_TELL;
	}
	if (!s->json)
		printf("%s\n\n", say_escape(shown, sizeof(shown), path, strlen(path)));
	return show(s, path);
}

/* One verb so far. */
static int unknown_verb(const char *word)
{
	static const char *const verbs[] = {"show", NULL};
	char shown[128];

	say_escape(shown, sizeof(shown), word, strlen(word));
	if (nearest_word(word, strlen(word), verbs))
		say("unknown word \"%s\" after \"ledger\"; did you mean \"show\"?", shown);
	else
		say("unknown word \"%s\" after \"ledger\"; there is show alone", shown);
	say("usage: %s", usage);
	return EXIT_CANNOT_TELL;
}

int json_ledger(int argc, char **argv)
{
	struct show s = {.event = NULL};
	struct options o;

	if (argc < 2) {
		say("a word is missing after \"ledger\": show");
		say("usage: %s", usage);
		return EXIT_CANNOT_TELL;
	}
	if (strcmp(argv[1], "show") == 0) {
		argc--;
		argv++;
	} else if (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0) {
		return unknown_verb(argv[1]);
	}
	options_init(&o, usage, rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
	if (take_options(&s, &o) < 0)
		return EXIT_CANNOT_TELL;
	if (s.help) {
		options_help(&o, what, more);
		return EXIT_YES;
	}
	return s.file ? show(&s, s.file) : show_newest(&s);
}
