#!/bin/sh
# Becomes the command it is given, after it has read the secrets that come as files (NAME_FILE) into the variables that
# programs know (NAME). An empty file is a secret that is not set; one that cannot be read ends the container.
set -eu

for name in \
  AWS_ACCESS_KEY_ID \
  AWS_SECRET_ACCESS_KEY \
  PREFECT_API_AUTH_STRING \
  PREFECT_SERVER_API_AUTH_STRING \
  PREFECT_SERVER_DATABASE_PASSWORD \
  RISKPIPE_NOTIFY_URL; do
  eval "file=\${${name}_FILE:-}"
  if [ -n "$file" ]; then
    value=$(cat "$file")
    unset "${name}_FILE"
    [ -z "$value" ] || export "$name=$value"
  fi
done

exec "$@"
