/* SPDX-License-Identifier: MIT */
/*
 * slow_words.h - what slow.c, the broker, and slow_child.c, its children, say to each other, and
 * the state that both have: a child is a fork, and has the broker's as it was.
 */
#ifndef WARDER_SLOW_WORDS_H
#define WARDER_SLOW_WORDS_H

#include "broker/slow.h"

#include <signal.h>

#define SLOW_INTERRUPT SIGUSR1 /* to a child: its caller has a signal to take */

enum word_kind {
	WORD_RECORD,      /* a request is finished: write it down */
	WORD_CHANGE,      /* something is about to be changed */
	WORD_UNDELIVERED, /* what a record promised has not arrived */
	WORD_PAY,         /* one request, of `limit requests` */
	WORD_HELD,        /* what is on its way to the worker, of `limit held` */
	WORD_ANSWER,      /* of a message: its answer is about to be sent */
	WORD_DONE,        /* the request is answered */
};

/* What a child says, in one datagram. */
struct word {
	enum word_kind kind;
	pid_t pid;
	int result; /* DONE: of the session; UNDELIVERED: the errno */
	uint64_t grant;
	char reason[REASON_MAX];
	struct tally tally;         /* DONE: what is to be added */
	bool has_fd;                /* RECORD, CHANGE: the request has its descriptor */
	size_t n_fds;               /* DONE, of a message: what was sent */
	const struct target *first; /* where the child's request has its targets */
	char told[TOLD_SIZE];       /* RECORD: slow_tell(); "": nothing */
	struct request q;           /* RECORD, CHANGE */
};

/* What it hears, but after DONE. */
struct reply {
	int result;
	uint64_t grant;
};

/* A call that waits. */
struct waiting {
	pid_t pid; /* of the child; 0: the slot is free */
	int reply_fd;
	struct later *later; /* the message it answers; NULL: */
	struct notice notice;
	struct request q; /* without descriptors */
	bool answers;     /* its result is in the book, and on its way to the caller */
	bool done;        /* it is answered, or nobody waits for it: to be reaped */
	/* Of a message: records that promise a descriptor. */
	uint64_t grants[MSG_COUNT_MAX];
	size_t n_grants;
};

struct slow {
	int fd[2];   /* the broker's, the children's */
	int hear_fd; /* in a child: replies */
	size_t n;    /* 0: nobody looks through the slots, whose memory nothing has touched yet */
	uint64_t looked_ns; /* when it was looked for signals last */
	struct word word;
	struct waiting of[SLOW_MAX];
};

/* The child's whole life, from its fork on. */
_Noreturn void slow_be_child(struct session *s, const struct slow_job *job, int hear_fd);

#endif
