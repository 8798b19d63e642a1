/* SPDX-License-Identifier: MIT */
/*
 * runtime.c - the default runtime: what an unmodified program needs to be loaded and to run.
 *
 * Runs in: broker, init, command line.  Trusts: nothing; it is a list.
 *
 * Of /etc only what any user may read and what names no user, host or secret: passwd, group, hosts,
 * resolv.conf, nsswitch.conf and machine-id are made for the cell instead.
 * Not /etc/ssh/ssh_config.d: ssh(1) refuses to start where what is included belongs to neither root
 * nor its user, as root's files do not in a user namespace.
 */
#include "common/runtime.h"
#include "common/path.h"

#include <string.h>

const char *const runtime_trees[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/nix/store", "/gnu/store",
	"/var/cache/fontconfig",      /* what fontconfig knows of the fonts in /usr */
	"/var/lib/ghostscript/fonts", /* and what Debian's Ghostscript does */
	"/var/lib/texmf", /* TeX's formats and lists of files, without which it does not start */
	NULL};

const char *const runtime_etc[] = {
	"/etc/alternatives",    /* Debian's links from /usr/bin/cc to the chosen program */
	"/etc/ld.so.cache",     /* where the loader finds libraries */
	"/etc/ld.so.conf",      /* the same for ldconfig -p */
	"/etc/ld.so.conf.d",    /* the same */
	"/etc/ld.so.preload",   /* the loader looks for it at each start */
	"/etc/ssl/certs",       /* CA certificates: OpenSSL, Debian */
	"/etc/ssl/openssl.cnf", /* read by libcrypto when it is loaded */
	"/etc/ca-certificates", /* CA certificates: Arch */
	"/etc/pki/tls/certs",   /* CA certificates: Fedora */
	"/etc/pki/ca-trust",    /* the same */
	"/etc/crypto-policies", /* Fedora's openssl.cnf includes it */
	"/etc/localtime",       /* the time zone */
	"/etc/timezone",        /* its name */
	"/etc/os-release",      /* which distribution this is */
	"/etc/debian_version",  /* the same, older */
	"/etc/fonts",           /* fontconfig */
	"/etc/mime.types",      /* file types by extension */
	"/etc/protocols",       /* getprotobyname(3) */
	"/etc/services",        /* getservbyname(3) */
	"/etc/ethertypes",      /* the same family */
	"/etc/rpc",             /* getrpcbyname(3) */
	"/etc/host.conf",       /* how resolv.conf(5) and hosts(5) are read */
	"/etc/gai.conf",        /* which address comes first */
	"/etc/iproute2",        /* names that ip(8) and ss(8) give to numbers */
	"/etc/terminfo",        /* terminals */
	"/etc/inputrc",         /* readline's keys */
	"/etc/profile",         /* a login shell's start */
	"/etc/profile.d",       /* the same */
	"/etc/bash.bashrc",     /* an interactive shell's start */
	"/etc/shells",          /* which shells there are */
	"/etc/magic",           /* file(1) */
	"/etc/magic.mime",      /* the same */
	"/etc/manpath.config",  /* man(1) does not start without it */
	"/etc/groff",           /* what it formats with */
	"/etc/vim",             /* an editor's settings */
	"/etc/nanorc",          /* the same */
	"/etc/wgetrc",          /* wget's */
	"/etc/xattr.conf",      /* which attributes cp(1) copies */
	"/etc/ImageMagick-*",   /* its limits and delegates */
	"/etc/ssh/ssh_config",  /* ssh(1)'s; the host's keys stand beside it */
	"/etc/gitconfig",       /* git's system-wide settings */
	"/etc/gitattributes",   /* the same */
	"/etc/locale.conf",     /* the language */
	"/etc/locale.alias",    /* the same, older */
	"/etc/default/locale",  /* the same, Debian */
	"/etc/python3*",        /* Debian's interpreters read their settings there */
	"/etc/perl",            /* sitecustomize and Net::LocalCfg */
	"/etc/php",             /* which modules PHP loads: Debian */
	"/etc/php.d",           /* the same: Fedora */
	"/etc/php.ini",         /* the same */
	"/etc/emacs",           /* Debian's emacs does not start without site-start.d */
	"/etc/texmf",           /* nor TeX without its search paths */
	"/etc/ghostscript",     /* its lists of fonts */
	"/etc/mercurial",       /* Mercurial's system-wide settings */
	"/etc/java-*",          /* a JVM does not start without its security files */
	NULL,
};

bool runtime_holds(const char *entry, const char *path, size_t size)
{
	size_t n = strlen(entry);

	if (n > 0 && entry[n - 1] == '*')
		return size >= n - 1 && memcmp(path, entry, n - 1) == 0;
	return path_holds(entry, path, size);
}

/* Every path that the broker is asked for comes through here, and most differ from a name in the
 * letter at `at`, the first that the list's names do not share. */
static const char *find_in(const char *const *list, size_t at, const char *path, size_t size)
{
	for (size_t i = 0; size > at && list[i]; i++)
		if (list[i][at] == path[at] && runtime_holds(list[i], path, size))
			return list[i];
	return NULL;
}

const char *runtime_find(const char *path, size_t size)
{
	const size_t n = sizeof("/etc/") - 1;

	if (size > n && memcmp(path, "/etc/", n) == 0)
		return find_in(runtime_etc, n, path, size);
	return find_in(runtime_trees, 1, path, size);
}
