#!/bin/sh
# Makes the certificates of the specs anew, next to this script. Needs OpenSSL 1.1.1 or later.
set -eu
umask 022
cd "$(dirname "$0")"

# Valid whatever a test machine takes for the date of today.
VALID="-startdate 20200101000000Z -enddate 20491231235959Z"
OVER="-startdate 20000101000000Z -enddate 20010101000000Z"

SERVER="basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth"
CLIENT="basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth"
AUTHORITY="basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/index.txt"
cat >"$work/ca.conf" <<CONFIG
[ca]
default_ca = specs
[specs]
database = $work/index.txt
new_certs_dir = $work
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
CONFIG

# certificate NAME COMMON_NAME EXTENSIONS KEY_FILE SIGNER...: a key and a certificate; the rest is passed to `openssl ca`
certificate() {
	name=$1 key=$4
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key"
	openssl req -new -key "$key" -subj "/CN=$2" -out "$work/$name.csr"
	printf '%s\n' "$3" >"$work/$name.ext"
	shift 4
	openssl ca -batch -notext -config "$work/ca.conf" -in "$work/$name.csr" -extfile "$work/$name.ext" "$@" -out "$name.crt"
}

# self_signed NAME COMMON_NAME ALTERNATIVE_NAMES DATES...
self_signed() {
	name=$1 subject=$2 names=$3
	shift 3
	certificate "$name" "$subject" "$SERVER
subjectAltName = $names" "$name.key" -selfsign -keyfile "$name.key" "$@"
}

self_signed localhost localhost "DNS:localhost, IP:127.0.0.1, IP:::1" $VALID
self_signed a.example a.example "DNS:a.example" $VALID
self_signed b.example b.example "DNS:b.example" $VALID
self_signed expired localhost "DNS:localhost, IP:127.0.0.1, IP:::1" $OVER

# The key of the authority goes with $work: nobody signs with it again.
certificate ca "LuaVortex test authority" "$AUTHORITY" "$work/ca.key" -selfsign -keyfile "$work/ca.key" $VALID
certificate server localhost "$SERVER
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1" server.key -cert ca.crt -keyfile "$work/ca.key" $VALID
certificate client bob "$CLIENT
subjectAltName = email:bob@client.example" client.key -cert ca.crt -keyfile "$work/ca.key" $VALID
chmod 644 ./*.key
