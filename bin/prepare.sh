#!/bin/sh
# Brings a machine to where clouder can run from this checkout: npm packages, the build, and (with "nodes") what local
# nodes and a bundle built from source need. Does only what is missing; says what it does and how long it took.
# usage: prepare.sh [nodes] [PACKAGE...]     PACKAGE: further Debian packages
set -eu
cd "$(dirname "$0")/.."
started=$(date +%s)
say() { printf '[%5ss] %s\n' "$(($(date +%s) - started))" "$*"; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Tells every 25 seconds that a command still runs, until it or this script ends. Its sleep holds none of our output open.
still_running() { while sleep 25 > /dev/null 2>&1 && kill -0 "$$" 2> /dev/null; do say "still running: $*"; done; }

# Runs a command with its output in a log; shows the log's end when it fails.
quietly() {
  log=$(mktemp)
  still_running "$@" &
  telling=$!
  status=0
  "$@" > "$log" 2>&1 || status=$?
  kill "$telling" 2> /dev/null || true
  wait "$telling" 2> /dev/null || true
  if [ "$status" = 0 ]; then rm -f "$log"; return 0; fi
  tail -n 30 "$log" >&2
  say "failed: $* (whole output: $log)" >&2
  return 1
}

missing_packages() {
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
  done
}

install_packages() {
  command -v dpkg-query > /dev/null || { say "not a Debian system: install what is missing of: $*" >&2; return 0; }
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  say "installing $missing"
  quietly as_root apt-get update -q
  # shellcheck disable=SC2086
  quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}

engine_answers() {
  for socket in /run/docker.sock /var/run/docker.sock; do
    [ -S "$socket" ] || continue
    curl -sf --max-time 5 --unix-socket "$socket" http://engine/_ping > /dev/null 2>&1 && return 0
  done
  [ -n "${DOCKER_HOST:-}" ]
}

stale_pid_file() {
  [ -s "$1" ] || return 0
  [ "$(cat "/proc/$(cat "$1")/comm" 2>/dev/null)" = "$2" ] || as_root rm -f "$1"
}

start_engine() {
  engine_answers && return 0
  say "starting the container engine"
  if [ -d /run/systemd/system ]; then
    quietly as_root systemctl start docker
  else
    # A pid file of an engine that is gone keeps a new one from starting, even when another process has the number.
    stale_pid_file /var/run/docker.pid dockerd
    stale_pid_file /var/run/docker/containerd/containerd.pid containerd
    as_root mkdir -p /var/log
    as_root sh -c 'setsid dockerd > /var/log/dockerd.log 2>&1 < /dev/null &'
  fi
  waited=0
  until engine_answers; do
    waited=$((waited + 1))
    if [ "$waited" -gt 120 ]; then
      tail -n 20 /var/log/dockerd.log >&2 || true
      say "the container engine did not start within 60 s" >&2
      return 1
    fi
    sleep 0.5
  done
}

install_npm_packages() {
  if [ -e node_modules/.clouder-lock ] && cmp -s package-lock.json node_modules/.clouder-lock; then return 0; fi
  say "installing npm packages"
  quietly npm ci --no-audit --no-fund
  cp package-lock.json node_modules/.clouder-lock
}

build() {
  newest=$(find src stacks templates package.json tsconfig.json bin -newer dist/.built 2>/dev/null | head -n 1 || true)
  if [ -e dist/.built ] && [ -z "$newest" ]; then return 0; fi
  say "building"
  quietly npm run --silent build
  touch dist/.built
}

if [ "${1:-}" = nodes ]; then
  shift
  needed="curl ca-certificates mmdebstrap gcc libc6-dev openssh-client iptables"
  command -v dockerd > /dev/null || needed="$needed docker.io"
  # shellcheck disable=SC2086
  install_packages $needed "$@"
  start_engine
else
  install_packages "$@"
fi
install_npm_packages
PATH="$PWD/node_modules/.bin:$PATH"
build
