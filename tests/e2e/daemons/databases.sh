# SPDX-License-Identifier: MIT
# databases.sh - PostgreSQL, MariaDB and Redis.

start_databases() {
	start_postgresql
	start_mariadb
	start_redis
}

rows_of_databases() {
	rows_of_postgresql
	rows_of_mariadb
	rows_of_redis
}

# ---- PostgreSQL, which refuses root ---------------------------------------------------------------

start_postgresql() {
	for bin in /usr/lib/postgresql/*/bin; do
		PATH=$PATH:$bin
	done
	has_postgresql=no
	needs PostgreSQL postgres initdb psql pg_isready || return 0
	worker_dir pg "$socks/postgresql"
	$as_worker initdb -D pg -U "$worker" -A peer --no-sync --no-locale -E UTF8 >postgresql.log 2>&1 ||
		{ not_ok "PostgreSQL starts" "$(cat postgresql.log)"; return 0; }
	{
		echo "local all all peer"
		echo "host all all 127.0.0.1/32 scram-sha-256"
	} | $as_worker tee pg/pg_hba.conf >/dev/null
	daemon postgresql $as_worker postgres -D pg -k "$socks/postgresql" -c fsync=off \
		-c listen_addresses=127.0.0.1 -p 5432
	has_postgresql=yes
}

rows_of_postgresql() {
	[ $has_postgresql = yes ] && up postgresql pg_isready -h "$socks/postgresql" || return 0
	$as_worker psql -qX -h "$socks/postgresql" -U "$worker" -c "alter role $worker password 'word'" postgres
	row PostgreSQL "psql, peer authentication" "connect $socks/postgresql/.s.PGSQL.5432" \
		.s.PGSQL.5432 "$worker by a Unix socket" \
		psql -AtX -h "$socks/postgresql" -U "$worker" -d postgres \
		-c "select current_user || ' by ' || coalesce(inet_server_addr()::text, 'a Unix socket')"
	# As on a machine, whose /var/run is a link that programs know the place by.
	mkdir -p var && ln -s "$socks" var/run
	row PostgreSQL "psql, by a link to its directory" "connect $dir/var/run/postgresql/.s.PGSQL.5432" \
		.s.PGSQL.5432 "$worker by a Unix socket" \
		psql -AtX -h "$dir/var/run/postgresql" -U "$worker" -d postgres \
		-c "select current_user || ' by ' || coalesce(inet_server_addr()::text, 'a Unix socket')"
	row PostgreSQL "psql, by TCP with a password" "connect 127.0.0.1:5432" 127.0.0.1:5432 \
		"$worker by 127.0.0.1" \
		env PGPASSWORD=word psql -AtX -h 127.0.0.1 -U "$worker" -d postgres \
		-c "select current_user || ' by ' || host(inet_server_addr())"
}

# ---- MariaDB ------------------------------------------------------------------------------------

start_mariadb() {
	has_mariadb=no
	needs MariaDB mariadbd mariadb mysql_install_db || return 0
	mkdir -m 755 my "$socks/mysqld"
	# The caller's name there is of its own privileges; the worker's is known by its uid alone.
	mysql_install_db --no-defaults --datadir="$dir/my" --user="$(id -un)" --skip-test-db \
		--auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" \
		--innodb-log-file-size=4M --innodb-buffer-pool-size=8M >mariadb.log 2>&1 ||
		{ not_ok "MariaDB starts" "$(cat mariadb.log)"; return 0; }
	echo "create user if not exists '$worker'@localhost identified via unix_socket;" >my.sql
	daemon mariadb mariadbd --no-defaults --user="$(id -un)" --datadir="$dir/my" --skip-networking \
		--socket="$socks/mysqld/mysqld.sock" --pid-file="$dir/my.pid" --init-file="$dir/my.sql" \
		--innodb-buffer-pool-size=8M --innodb-log-file-size=4M --innodb-flush-log-at-trx-commit=0
	has_mariadb=yes
}

my() {
	# shellcheck disable=SC2086 # words
	$as_worker mariadb --no-defaults -N -S "$socks/mysqld/mysqld.sock" -u "$worker" "$@"
}

rows_of_mariadb() {
	[ $has_mariadb = yes ] && up mariadb my -e 'select 1' || return 0
	row MariaDB "mariadb, unix_socket authentication" "connect $socks/mysqld/mysqld.sock" mysqld.sock \
		"$worker@localhost" \
		mariadb --no-defaults -N -S "$socks/mysqld/mysqld.sock" -u "$worker" -e 'select current_user()'
}

# ---- Redis --------------------------------------------------------------------------------------

start_redis() {
	has_redis=no
	needs Redis redis-cli bash || return 0
	mkdir -m 755 redis "$socks/redis"
	# Debian has the server's program in redis-tools, where another name makes it a checker of files.
	program=$(command -v redis-server || command -v redis-check-rdb)
	echo "exec -a redis-server $program --save '' --bind 127.0.0.1 \"\$@\"" >redis/server
	daemon redis bash redis/server --port 6379 --unixsocket "$socks/redis/redis.sock" \
		--unixsocketperm 777 --dir "$dir/redis"
	has_redis=yes
}

rows_of_redis() {
	[ $has_redis = yes ] && up redis redis-cli -h 127.0.0.1 set key 'a value' || return 0
	row Redis "redis-cli, by TCP" "connect 127.0.0.1:6379" 127.0.0.1:6379 "a value" \
		redis-cli -h 127.0.0.1 -p 6379 get key
	row Redis "redis-cli, by a Unix socket" "connect $socks/redis/redis.sock" redis.sock "a value" \
		redis-cli -s "$socks/redis/redis.sock" get key
	also="allow read $dir/redis/server"
	row_of_server "redis-server in a cell" "redis-cli outside" "bind 127.0.0.1:6380" 127.0.0.1:6380 \
		PONG ping_redis bash "$dir/redis/server" --port 6380 --dir /tmp
	also=
}

ping_redis() {
	redis-cli -h 127.0.0.1 -p 6380 ping
}
