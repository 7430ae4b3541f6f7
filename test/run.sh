#!/bin/sh
# Everything: format, lint, types, unit, templates, integration, end to end. The last line counts.
set -eu
cd "$(dirname "$0")/.."
sh bin/prepare.sh nodes openssh-server sudo shellcheck python3 iproute2 strace
exec node_modules/.bin/node test/run.js "$@"
