/* SPDX-License-Identifier: MIT */
/*
 * sanitize.c - what a build with sanitizers needs to live in a cell; empty in any other.
 *
 * Runs in: broker, worker, command line.  Trusts: nothing.
 *
 * The leak check stops its process by ptrace(2), which no filter here allows, so it is off unless
 * ASAN_OPTIONS says otherwise; that variable does not reach a worker.  Before an exit ASan wants to
 * clean the stack it knows, and complains on standard error where a child of clone(2) has its own.
 */
#ifdef WARDER_SANITIZE
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#if !defined(__clang__)
void __asan_handle_no_return(void);
__attribute__((visibility("default"))) void __asan_handle_no_return(void)
{
}
#endif
#endif

/* ISO C forbids an empty file. */
typedef int sanitize_is_not_empty;
