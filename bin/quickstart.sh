#!/bin/sh
# From a fresh Debian machine to a cluster of three local nodes, by the ordinary commands.
set -eu
cd "$(dirname "$0")/.."
sh bin/prepare.sh nodes
PATH="$PWD/node_modules/.bin:$PATH"
name=${CLOUDER_QUICKSTART_NAME:-demo}
# Beside the cluster's record, so that it goes when the cluster is terminated.
passed="${CLOUDER_HOME:-$HOME/.clouder}/kubeadm/$name/smoke-test-passed"
result=$(mktemp)
trap 'rm -f "$result"' EXIT
# Progress goes to stderr; a failure of init must not be hidden by a pipe.
node bin/run.js kubeadm init "$name" --provider local --workers 2 --yes > "$result" || { cat "$result"; exit 1; }
cat "$result"
if [ -e "$passed" ] && grep -q 'is up to date: nothing to do' "$result"; then
  printf '\nsmoke test: passed on %s; nothing has changed since\n' "$(cat "$passed")"
else
  rm -f "$passed"
  node bin/run.js kubeadm smoke-test "$name"
  date -u '+%Y-%m-%d %H:%M UTC' > "$passed"
fi
cat <<END

Your cluster is ready. Try next:
  npx clouder kubectl --cluster $name -- get nodes -o wide
  npx clouder kubeadm info $name
  npx clouder kubeadm terminate $name
END
