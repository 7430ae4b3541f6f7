#!/bin/sh
# Tells the cluster every 20 s that this host is there. Needs curl and base64. Usage: sh THIS_FILE [TOKEN_FILE]
# Holds a credential, readable by its owner alone. It ends after a while, so it is renewed when half of its time is
# over, into TOKEN_FILE, by default this file's name with .token behind it.
set -eu
umask 077
name='lab-1'
status_url='https://192.0.2.10:6443/apis/clouder.dev/v1alpha1/containerhosts/lab-1/status'
token_url='https://192.0.2.10:6443/api/v1/namespaces/clouder-system/serviceaccounts/container-host-lab-1/token'
token_request='{"kind":"TokenRequest"}'
token_file=${1:-$0.token}
new=
ca=$(mktemp)
trap 'rm -f "$ca" "$new"' EXIT
trap 'exit 0' INT TERM
cat >"$ca" <<'END'
-----BEGIN CERTIFICATE-----
MIIB
-----END CERTIFICATE-----
END

# Claim $1, a time in seconds since 1970, of token $2; 0 when it has none.
claim() {
  payload=$(printf '%s' "$2" | cut -d . -f 2 | tr -- '-_' '+/')
  while [ $((${#payload} % 4)) -ne 0 ]; do payload="$payload="; done
  seconds=$(printf '%s' "$payload" | base64 -d 2>/dev/null | LC_ALL=C sed -n "s/.*\"$1\":\([0-9]\{1,15\}\).*/\1/p")
  echo "${seconds:-0}"
}

# Makes token $1 the one that is sent, from now on and after the next start.
keep() {
  if new=$(mktemp "$token_file.XXXXXX") && printf 'authorization: Bearer %s\n' "$1" >"$new" &&
    sync "$new" && mv -f "$new" "$token_file"; then
    new=
    renew_at=$((($(claim iat "$1") + $(claim exp "$1")) / 2))
  else
    rm -f "$new"
    echo "$name: cannot write $token_file" >&2
    return 1
  fi
}

call() {
  curl --silent --show-error --fail --max-time 15 --cacert "$ca" --header "@$token_file" "$@"
}

renew() {
  answer=$(call --header 'content-type: application/json' --data "$token_request" "$token_url") || return 1
  token=$(printf '%s' "$answer" | tr -d '\n' | sed -n 's/.*"token": *"\([A-Za-z0-9._-]\{1,\}\)".*/\1/p')
  if [ -z "$token" ]; then return 1; fi
  keep "$token"
}

# The one that ends last: of the last renewal or, when the host was registered again since then, of this file.
token='header.payload.signature'
kept=$(sed -n 's/^authorization: Bearer //p' "$token_file" 2>/dev/null) || kept=
if [ "$(claim exp "$kept")" -gt "$(claim exp "$token")" ]; then token=$kept; fi
keep "$token"
while :; do
  now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  body="{\"status\":{\"lastHeartbeatTime\":\"$now\",\"version\":\"$(uname -sr)\"}}"
  status=$(call --header 'content-type: application/merge-patch+json' --request PATCH --data "$body" \
    --output /dev/null --write-out '%{http_code}' "$status_url") || :
  case $status in
    2??)
      if [ "$(date +%s)" -ge "$renew_at" ] && ! renew; then
        echo "$name: its token cannot be renewed, trying again" >&2
      fi
      ;;
    401)
      echo "$name: the cluster no longer accepts its token, which has ended or was replaced. Where clouder is, run:" \
        "clouder byoc register $name, with its --capability and --slots, and start the script that it writes" >&2
      ;;
    *) echo "$name: the cluster does not answer, trying again" >&2 ;;
  esac
  sleep 20 &
  # The shell reports a pause that a signal ended, as a stop of the whole service does.
  wait $! 2>/dev/null || :
done
