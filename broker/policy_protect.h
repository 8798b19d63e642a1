/* SPDX-License-Identifier: MIT */
/*
 * policy_protect.h - self-protection: what is warder's own, by every name that leads to it.
 */
#ifndef WARDER_POLICY_PROTECT_H
#define WARDER_POLICY_PROTECT_H

#include "policy/policy.h"

/* Between policy_finish() and policy_compile(), after the trees were looked up.  Paths are absolute
 * and normalised.  Each returns 0 or -ENOMEM; what is wrong is a diagnostic. */

/* A path of warder's own: as it is written, where it leads, and the symlinks on the way, each of
 * which the next start would follow again. */
int protect_path(struct policy *p, const char *path, unsigned rights);
/* A file of policy that was read.  One with further names (hard links) is refused where a rule
 * could let the worker write it by another. */
int protect_policy(struct policy *p, const char *path);
/* A ledger, and the texts of policies beside it, this session's and those before: who replaced one
 * would have said what the rules were.  They may be read. */
int protect_ledger(struct policy *p, const char *path);
/* A directory of presets. */
int protect_presets(struct policy *p, const char *dir);

#endif
