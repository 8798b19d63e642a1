/* SPDX-License-Identifier: MIT */
/*
 * json_call.c - warder call: asks a running `warder serve` for one thing, or for one a line.
 *
 * Runs in: command line.  Trusts: the user who calls; not what the worker answers.
 */
#include "cli/json.h"
#include "cli/options.h"
#include "cli/say.h"
#include "common/fd.h"
#include "common/frame.h"
#include "common/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char usage[] = "warder call (-n NAME | -s SOCKET) [OPTION]... METHOD [JSON | /PATH]";
static const char what[] = "Asks a running `warder serve` for one thing and prints the result as "
			   "JSON.";
static const char more[] =
	"METHOD and its parameters are the worker's; the built-in one knows stat, list, read, "
	"hash,\n"
	"identify and open.  /PATH is short for {\"path\":\"/PATH\"}.  With open the descriptor's\n"
	"content goes to standard output, or standard input to it where it can only be written.\n"
	"The exit status is 0 for a result, 1 for an error, 2 where nobody could be asked.";

static const struct option_row rows[] = {
	{"name", 'n', "NAME", "the name that `warder serve -n` was given"},
	{"socket", 's', "SOCKET", "the socket itself"},
	{"raw", 0, NULL, "write what read returned as it is in the file"},
	{"lines", 0, NULL, "take \"METHOD PARAMETERS\" from each line of standard input"},
	{"help", 'h', NULL, "this help"},
};
enum { ROW_NAME, ROW_SOCKET, ROW_RAW, ROW_LINES, ROW_HELP };

struct call {
	const char *name, *socket;
	const char *operands[2]; /* METHOD and its parameters, NULL where they are missing */
	int n_operands;
	bool raw, lines, help;
	bool others; /* the service is another user's, who may send this one away */
	int sock;
	json_int_t id;
};

static int take_operand(struct call *c, const struct options *o, const char *value)
{
	if (c->n_operands == 2) {
		options_wrong(o,
			"\"%s\" is one operand too many: one METHOD and one JSON at a time; quote "
			"the JSON",
			value);
		return -EINVAL;
	}
	c->operands[c->n_operands++] = value;
	return 0;
}

/* Options may stand after operands too: nothing that follows belongs to another program, and no
 * parameters begin with "-". */
static int take_options(struct call *c, struct options *o)
{
	const char *value;
	int i;

	while ((i = options_next(o, &value)) >= 0 ||
		(i == OPTIONS_END && (value = options_operand(o)))) {
		if (i == OPTIONS_END) {
			if (take_operand(c, o, value) < 0)
				return -EINVAL;
		} else if (i == ROW_NAME)
			c->name = value;
		else if (i == ROW_SOCKET)
			c->socket = value;
		else if (i == ROW_RAW)
			c->raw = true;
		else if (i == ROW_LINES)
			c->lines = true;
		else
			c->help = true;
	}
	if (i == OPTIONS_BAD)
		return -EINVAL;
	if (c->help)
		return 0;
	if (!c->name == !c->socket)
		options_wrong(o, "either -n NAME or -s SOCKET is needed");
	else if (c->lines && c->n_operands > 0)
		options_wrong(o, "--lines takes its calls from standard input, not \"%s\"",
			c->operands[0]);
	else if (!c->lines && c->n_operands == 0)
		options_wrong(o, "METHOD is missing");
	else
		return 0;
	return -EINVAL;
}

/* 0, with the connection; or -errno. */
static int dial(const char *path, int *ret_sock)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	autofd sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (sock < 0 || connect(sock, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	*ret_sock = fd_take(&sock);
	return 0;
}

/* Whether the service asks `clients` about the caller: root and its own user come in without. */
static bool is_others(int sock)
{
	struct ucred server;
	socklen_t size = sizeof(server);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &server, &size) == 0 && geteuid() != 0 &&
	       server.uid != geteuid();
}

/* Of a name: the caller's own service; where there is none, root's, which may let him in. */
static int connect_to(struct call *c)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)], system[sizeof(path)] = "";
	int r = 0;

	if (c->name && !place_name_valid(c->name)) {
		say("\"%s\" is no name of a service: letters, digits, \"-\", \"_\" and \".\" make "
		    "one, at most %d of them",
			c->name, PLACE_NAME_MAX);
		return -EINVAL;
	}
	if (c->name)
		r = place_socket(c->name, path, sizeof(path));
	else if (strlen(c->socket) < sizeof(path))
		strcpy(path, c->socket);
	else
		r = -ENAMETOOLONG;
	if (r < 0) {
		errno = -r;
		say("no socket can stand for \"%s\": %m", c->name ? c->name : c->socket);
		return r;
	}
	r = dial(path, &c->sock);
	if (r == -ENOENT && c->name && place_system_socket(c->name, system, sizeof(system)) == 0 &&
		strcmp(path, system) != 0)
		r = dial(system, &c->sock);
	if (r < 0) {
		errno = -r;
		say("cannot reach %s%s%s: %m; is `warder serve` running, as this user or with "
		    "`clients` that name it?",
			path, *system ? ", nor " : "", system);
	} else {
		c->others = is_others(c->sock);
	}
	return r;
}

#define WHY_SIZE 256

/* Parameters as they were written: JSON, or a path.  NULL where they are neither: why[WHY_SIZE]. */
static json_t *parse_params(const char *text, char *why)
{
	json_error_t where;
	json_t *params;

	if (text[0] == '/') {
		params = json_pack("{s:s}", "path", text);
		if (!params)
			snprintf(why, WHY_SIZE, "the path is not UTF-8, which JSON cannot hold");
		return params;
	}
	params = json_loads(text, JSON_REJECT_DUPLICATES, &where);
	if (!params)
		snprintf(why, WHY_SIZE, "the parameters are no JSON: column %d: %s", where.column,
			where.text);
	return params;
}

/* Sends one request and receives its answer.  0, or -errno (said). */
static int exchange(struct call *c, const char *method, json_t *params, json_t **ret, int *ret_fd)
{
	json_t *request =
		json_pack("{s:s, s:I, s:s}", "jsonrpc", "2.0", "id", ++c->id, "method", method);
	autofree char *text = NULL, *data = NULL;
	json_error_t where;
	size_t size;
	int r;

	if (request && params)
		json_object_set(request, "params", params);
	text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (!text) {
		say("the method is not UTF-8, which JSON cannot hold");
		return -EINVAL;
	}
	r = frame_send(c->sock, text, strlen(text));
	if (r == 0)
		r = frame_recv(c->sock, FRAME_SIZE_MAX, &data, &size, ret_fd);
	if (r < 0) {
		errno = -r;
		say("%s", c->others && (r == -EPIPE || r == -ECONNRESET)
				  ? "the service closed the connection without an answer; do its "
				    "`clients` name this user?"
			  : r == -EPIPE || r == -ECONNRESET
				  ? "the worker closed the connection without an answer"
			  : r == -EBADMSG ? "the worker's answer is no frame"
					  : strerror(-r));
		return r;
	}
	*ret = json_loadb(data, size, JSON_ALLOW_NUL, &where);
	if (!*ret)
		say("the worker's answer is no JSON: %s", where.text);
	return *ret ? 0 : -EBADMSG;
}

/* ---- what becomes of an answer --------------------------------------------------------------- */

static int copy(int from, int to)
{
	static char buf[65536];

	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = fd_write_all(to, buf, (size_t)n);
		if (r < 0)
			return r;
	}
}

/* Through the descriptor that was passed: its content out, or what comes in into it. */
static int use_fd(int fd)
{
	int flags = fcntl(fd, F_GETFL), r;

	if (flags >= 0 && (flags & O_ACCMODE) == O_WRONLY)
		r = copy(STDIN_FILENO, fd);
	else
		r = copy(fd, STDOUT_FILENO);
	if (r < 0) {
		errno = -r;
		say("cannot copy by the descriptor that was passed: %m");
	}
	return r < 0 ? EXIT_CANNOT_TELL : EXIT_YES;
}

static int decode_base64(const char *text, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, n = 0;

	for (size_t i = 0; i < size && text[i] != '='; i++) {
		const char *at = memchr(digits, text[i], 64);

		if (!at)
			return -EBADMSG;
		bits = bits << 6 | (unsigned)(at - digits);
		n += 6;
		if (n >= 8) {
			n -= 8;
			putchar((int)(bits >> n & 0xff));
		}
	}
	return 0;
}

static int print_raw(const json_t *result)
{
	const json_t *data = json_object_get(result, "data");
	const char *encoding = json_string_value(json_object_get(result, "encoding"));
	const char *text = json_string_value(data);
	int r = 0;

	if (!text) {
		say("--raw: the result has no \"data\"; it is for the method read");
		return EXIT_NO;
	}
	if (encoding && strcmp(encoding, "base64") == 0)
		r = decode_base64(text, json_string_length(data));
	else
		fwrite(text, 1, json_string_length(data), stdout);
	if (r < 0)
		say("the worker's answer is no base64");
	return r < 0 ? EXIT_NO : EXIT_YES;
}

static int print_error(const json_t *error)
{
	const char *words = json_string_value(json_object_get(error, "message"));
	json_int_t code = json_integer_value(json_object_get(error, "code"));
	char shown[1024];

	if (!words)
		words = "the worker's answer is neither a result nor an error";
	say("%s (%lld)", say_escape(shown, sizeof(shown), words, strlen(words)), (long long)code);
	return EXIT_NO;
}

static int print_answer(const struct call *c, const json_t *answer, int fd)
{
	const json_t *result = json_object_get(answer, "result");
	size_t flags = JSON_ENCODE_ANY | (isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT);

	if (!result || json_integer_value(json_object_get(answer, "id")) != c->id)
		return print_error(json_object_get(answer, "error"));
	if (fd >= 0)
		return use_fd(fd);
	if (c->raw)
		return print_raw(result);
	/* ASCII alone: a name cannot steer the terminal. */
	json_dumpf(result, stdout, flags | JSON_ENSURE_ASCII);
	putchar('\n');
	return EXIT_YES;
}

static int call_once(struct call *c, const char *method, const char *text)
{
	char why[WHY_SIZE];
	json_t *params = text ? parse_params(text, why) : NULL, *answer = NULL;
	autofd fd = -1;
	int status = EXIT_CANNOT_TELL;

	if (text && !params) {
		say("%s", why);
		return EXIT_CANNOT_TELL;
	}
	if (exchange(c, method, params, &answer, &fd) == 0)
		status = print_answer(c, answer, fd);
	json_decref(answer);
	json_decref(params);
	return status;
}

/* ---- --lines --------------------------------------------------------------------------------- */

/* One line of what came of one line.  Whoever reads it may wait for it before the next call. */
static void print_line(json_t *answer, const char *method, json_t *params)
{
	json_object_set_new(answer, "method", json_string(method));
	json_object_set(answer, "params", params);
	json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	fflush(stdout);
}

/* The answer to a line that nobody could be asked. */
static void refuse_line(const char *method, const char *text, const char *why)
{
	json_t *answer = json_pack("{s:{s:i, s:s}}", "error", "code", -32602, "message", why);
	json_t *params = json_string(text);

	if (answer)
		print_line(answer, method, params);
	json_decref(params);
	json_decref(answer);
}

/* One line of the input: its answer as one line, a descriptor that came is closed.  *ret_lost: the
 * connection is, and what is left cannot be asked. */
static int call_line(struct call *c, char *line, bool *ret_lost)
{
	char *text = line + strcspn(line, " \t"), why[WHY_SIZE];
	json_t *params, *method, *answer = NULL;
	autofd fd = -1;
	int status = EXIT_CANNOT_TELL;

	if (*text)
		*text++ = '\0';
	text += strspn(text, " \t");
	params = *text ? parse_params(text, why) : json_object();
	method = json_string(line);
	if (params && !method)
		snprintf(why, sizeof(why), "the method is not UTF-8, which JSON cannot hold");
	if (!params || !method) {
		refuse_line(line, text, why);
		json_decref(method);
		json_decref(params);
		return status;
	}
	json_decref(method);
	*ret_lost = exchange(c, line, params, &answer, &fd) < 0;
	if (!*ret_lost) {
		status = json_object_get(answer, "result") ? EXIT_YES : EXIT_NO;
		json_object_del(answer, "jsonrpc");
		print_line(answer, line, params);
	}
	json_decref(answer);
	json_decref(params);
	return status;
}

static int call_lines(struct call *c)
{
	autofree char *line = NULL;
	size_t capacity = 0;
	int worst = EXIT_YES;
	bool lost = false;
	ssize_t n;

	while (!lost && (n = getline(&line, &capacity, stdin)) >= 0) {
		int status;

		if (n > 0 && line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (!*line)
			continue;
		status = call_line(c, line, &lost);
		if (status > worst)
			worst = status;
	}
	return worst;
}

int json_call(int argc, char **argv)
{
	struct call c = {.sock = -1};
	struct options o;
	int status;

	options_init(&o, usage, rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
	if (take_options(&c, &o) < 0)
		return EXIT_CANNOT_TELL;
	if (c.help) {
		options_help(&o, what, more);
		return EXIT_YES;
	}
	if (connect_to(&c) < 0)
		return EXIT_CANNOT_TELL;
	status = c.lines ? call_lines(&c) : call_once(&c, c.operands[0], c.operands[1]);
	fd_close(&c.sock);
	return status;
}
