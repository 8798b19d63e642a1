/* SPDX-License-Identifier: MIT */
/*
 * status.h - what --status-fd says, in JSON Lines, to the program that started warder.
 *
 *     {"event":"start","status":"ok","pid":N}
 *     {"event":"start","status":"failed","error":"SENTENCE","code":125}
 *     {"event":"end","status":N,"granted":N,"denied":N,"limited":N,"closed":N,"timed_out":false,
 *     "cpu_ended":false,"oom_killed":0}
 *
 * First one of the two starts; after "ok" an end.  A line is written whole or not at all.
 */
#ifndef WARDER_STATUS_H
#define WARDER_STATUS_H

#include "broker/broker.h"
#include "common/failure.h"

/* Takes the number of an open, writable descriptor, and makes it close-on-exec.
 * 0 or -errno with the sentence. */
int status_open(const char *number, int *ret_fd, struct failure *f);

/* A negative fd: nobody wants to know.  A reader that has gone is no error. */
void status_started(int fd, pid_t pid);
/* `more`, unless it is "", follows the sentence after a colon. */
void status_failed(int fd, int code, const char *error, const char *more);
void status_ended(int fd, const struct broker_result *result);
/* The end of a service, which counts nothing itself: its ledgers do. */
void status_served(int fd, int status);

#endif
