/* SPDX-License-Identifier: MIT */
/*
 * users.h - the host's users, by number.
 */
#ifndef WARDER_USERS_H
#define WARDER_USERS_H

#include <pwd.h>

/* Of the host's own file; of getpwuid(3), and with it of all that nsswitch.conf(5) names, only
 * where that file has no such user.  Valid until the next call of this or of getpwuid(3); NULL:
 * nobody has that number. */
const struct passwd *user_by_uid(uid_t uid);

#endif
