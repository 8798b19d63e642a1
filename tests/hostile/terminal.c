/* SPDX-License-Identifier: MIT */
/*
 * terminal.c - a worker that holds a terminal tries to type into it.
 *
 * The worker gets the terminal as descriptor 9.  Outside it becomes the terminal's session leader
 * and pushes a character into its input (TIOCSTI), which the shell would read next.
 */
#include "tests/hostile/inside.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>

#define TERMINAL 9

#ifndef TIOCL_SETSEL
#define TIOCL_SETSEL 2
#endif

#define TRY(call) ((call) < 0 ? errno : 0)

/* The terminal becomes this session's, so that only the push itself can be refused. */
static void take_terminal(void)
{
	setsid();
	ioctl(TERMINAL, TIOCSCTTY, 0);
}

static int push(void)
{
	take_terminal();
	return TRY(syscall(SYS_ioctl, TERMINAL, TIOCSTI, "x"));
}

static int push_with_high_bits(void)
{
	take_terminal();
	return TRY(syscall(SYS_ioctl, TERMINAL, TIOCSTI | (1UL << 32), "x"));
}

/* Of a virtual console alone, so this machine may answer ENOTTY to everybody. */
static int paste(void)
{
	char c = TIOCL_SETSEL;

	take_terminal();
	return TRY(ioctl(TERMINAL, TIOCLINUX, &c));
}

static const struct attack attacks[] = {
	{"push", push, WORKS},
	{"push_with_high_bits", push_with_high_bits, WORKS},
	{"paste", paste, WORKS_NOWHERE},
};
#define N_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

/* How many bytes wait in the terminal's input. */
static int pushed(int slave)
{
	int n = -1;

	assert_int_equal(ioctl(slave, FIONREAD, &n), 0);
	tcflush(slave, TCIFLUSH);
	return n;
}

static void input_cannot_be_pushed_into_the_terminal(void **state)
{
	static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;
	const char *self[] = {own_path(), "--attack", NULL};
	const char *options[] = {"-q", "--fd", "9", NULL};
	const char *command[] = {own_path(), "--attack", NULL};
	char dir[PATH_MAX];
	int master, slave;
	struct termios raw;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	tcgetattr(slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	assert_int_equal(dup2(slave, TERMINAL), TERMINAL);
	make_directory(dir, sizeof(dir));
	run_program(&outside, self);
	assert_true(pushed(slave) > 0);
	run_inside(&inside, dir, options, command);
	assert_int_equal(pushed(slave), 0);
	compare(attacks, N_ATTACKS, &outside, &inside);
	assert_int_equal(result_of(&inside, "push"), EPERM);
	assert_int_equal(inside.status, 0);
	assert_int_equal(ledger_count(inside.ledger, "session", NULL, NULL), 1);
	assert_int_equal(ledger_count(inside.ledger, "grant", NULL, NULL), 0);
	assert_int_equal(ledger_count(inside.ledger, "exit", NULL, NULL), 1);
	outcome_free(&inside);
	close(TERMINAL);
	close(slave);
	close(master);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			input_cannot_be_pushed_into_the_terminal, fds_before, fds_after),
	};

	if (argc > 1 && !strcmp(argv[1], "--attack"))
		return attack_main(attacks, N_ATTACKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
