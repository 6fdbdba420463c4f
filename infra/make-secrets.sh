#!/bin/sh
# Makes what the compose file and the Kubernetes manifests take as secrets: sh infra/make-secrets.sh [FOLDER] [NAME ...]
#
# An authority; certificates signed by it for the nodes of Dask and for the object store; passwords drawn here. NAMEs are
# further host names or addresses for the certificates (DNS:name or IP:address). Nothing is ever overwritten.
# The authority's key (ca.key) signs whoever may run code on the workers: move it off the machine when this is done.
set -eu
umask 077

folder=${1:-infra/secrets}
[ $# -gt 0 ] && shift
names="DNS:scheduler,DNS:riskpipe-scheduler,DNS:s3,DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
  names="$names,$name"
done

if [ -e "$folder" ]; then
  echo "$folder is there already: secrets in use are never replaced; name another folder" >&2
  exit 2
fi
mkdir -p "$folder"
cd "$folder"

random() { openssl rand -hex 24; }
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1"; }

key ca.key
openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=riskpipe authority" -out ca.pem \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign"

certificate() { # NAME USES
  key "$1.key"
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=%s\n' \
    "$2" "$names" > "$1.extensions"
  openssl req -new -key "$1.key" -subj "/CN=riskpipe $1" |
    openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 397 -extfile "$1.extensions" -out "$1.pem" \
      2>/dev/null
  rm "$1.extensions"
}
certificate node serverAuth,clientAuth
certificate s3 serverAuth

random > postgres_password
printf 'riskpipe:%s\n' "$(random)" > prefect_auth
random > s3_access_key
random > s3_secret_key
cat > s3.json <<END
{"identities": [{"name": "riskpipe", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$(cat s3_access_key)", "secretKey": "$(cat s3_secret_key)"}]}]}
END
: > notify_url # an Apprise address, where somebody is to be told

# containers run under accounts of their own and are given single files: those they may read, the folder nobody else may
chmod 0444 ./*
chmod 0400 ca.key
echo "made in $(pwd): $(ls | tr '\n' ' ')"
echo "certificates of node and s3 end on $(openssl x509 -in node.pem -noout -enddate | cut -d= -f2)"
