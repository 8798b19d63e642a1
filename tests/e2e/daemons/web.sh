# SPDX-License-Identifier: MIT
# web.sh - nginx by name: a name server of the test's answers for one name.

start_web() {
	has_web=no
	needs nginx nginx dnsmasq curl openssl || return 0
	# shellcheck disable=SC2086 # words
	daemon dnsmasq $as_worker dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv \
		--listen-address=127.0.0.1 --bind-interfaces --port=53 --pid-file= --log-facility=- \
		--address=/www.test.example/192.0.2.1
	certificate
	nginx_configuration "$dir/nginx" "
		ssl_certificate $dir/nginx/cert; ssl_certificate_key $dir/nginx/key;
		server { listen 192.0.2.1:8080; listen 192.0.2.1:8443 ssl; return 200 '\$scheme page\n'; }" \
		>nginx/conf
	daemon nginx nginx -e stderr -c "$dir/nginx/conf"
	has_web=yes
}

certificate() {
	mkdir -m 755 nginx nginx/tmp
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \
		-addext subjectAltName=DNS:www.test.example -keyout nginx/key -out nginx/cert 2>openssl.log
}

nginx_configuration() { # its directory, its http block
	# As another user than root the directive user is ignored, with a warning.
	[ "$(id -u)" != 0 ] || echo "user root root;"
	echo "daemon off; master_process off; pid $1/pid; events {}"
	echo "http { access_log off;"
	for kind in client_body proxy fastcgi uwsgi scgi; do
		echo "${kind}_temp_path $1/tmp;"
	done
	echo "$2 }"
}

rows_of_web() {
	[ $has_web = yes ] && up dnsmasq getent ahostsv4 www.test.example &&
		up nginx curl -sS http://www.test.example:8080/ || return 0
	# A rule by another name, so that there is a name server in the cell which says no.
	also="allow connect other.test.example:1"
	row nginx "curl, http by name" "connect www.test.example:8080" www.test.example "http page" \
		curl -sS http://www.test.example:8080/
	also="$also
allow read $dir/nginx/cert"
	row nginx "curl, https by name" "connect www.test.example:8443" www.test.example "https page" \
		curl -sS --cacert "$dir/nginx/cert" https://www.test.example:8443/
	also=
	row nginx "curl, http by address" "connect 192.0.2.1:8080" 192.0.2.1:8080 "http page" \
		curl -sS http://192.0.2.1:8080/
	row_of_nginx
}

get_page() {
	curl -sS http://127.0.0.1:8090/page
}

row_of_nginx() {
	worker_dir site site/tmp
	echo "a page of the cell's" >site/page
	nginx_configuration "$dir/site" "server { listen 127.0.0.1:8090; root $dir/site; }" >site/conf
	also="allow rw $dir/site/"
	row_of_server "nginx in a cell" "curl outside" "bind 127.0.0.1:8090" 127.0.0.1:8090 \
		"a page of the cell's" get_page nginx -e stderr -c "$dir/site/conf"
	also=
}
