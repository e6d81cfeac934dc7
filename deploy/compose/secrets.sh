#!/bin/sh
# Makes what is missing in DIR: admin-token, for weir and Grafana to read, and
# grafana-password, for Grafana alone. What is there is left as it is.
#
#   sh secrets.sh DIR
set -eu
cd "$1"
umask 077

# put NAME OWNER MODE: owners by number, those of the images (Grafana's group is 0).
put() {
	[ ! -s "$1" ] || return 0
	head -c 24 /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_' >"$1.new"
	chmod "$3" "$1.new"
	chown "$2" "$1.new"
	mv -f "$1.new" "$1"
}

put admin-token 65532:0 440
put grafana-password 472:0 400
