#!/bin/sh
# From a fresh Debian machine to a cluster of three local nodes, by the ordinary commands.
set -eu
cd "$(dirname "$0")/.."
sh bin/prepare.sh nodes
PATH="$PWD/node_modules/.bin:$PATH"
name=${CLOUDER_QUICKSTART_NAME:-demo}
node bin/run.js kubeadm init "$name" --provider local --workers 2 --yes
node bin/run.js kubeadm smoke-test "$name"
cat <<END

Your cluster is ready. Try next:
  npx clouder kubectl --cluster $name -- get nodes -o wide
  npx clouder kubeadm info $name
  npx clouder kubeadm terminate $name
END
