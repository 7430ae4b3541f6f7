import {leftoversFunction} from './program.ts'

/**
 * Gathers everything HostFacts needs in one round trip. Lines are `key<TAB>value`; list keys repeat.
 * Says only `busy` when an earlier run's command is still at work: facts taken beside it would not hold.
 */
export function factsScript(token: string, everything: boolean): string {
  return `${leftoversFunction(token, everything)}${gather}`
}

const gather = `say() { printf '%s\\t%s\\n' "$1" "$2"; }
each() { local key=$1 line; while IFS= read -r line; do say "$key" "$line"; done; }
have() { command -v "$1" >/dev/null 2>&1; }
leftover=$(leftovers)
if [ -n "$leftover" ]; then say busy "$leftover"; exit 0; fi
say clock "$(date +%s%3N)"
say hostname "$(uname -n)"
(
  . /etc/os-release 2>/dev/null
  say osId "\${ID:-}"; say osVersion "\${VERSION_ID:-}"; say osPrettyName "\${PRETTY_NAME:-}"
)
say machine "$(uname -m)"
say kernel "$(uname -r)"
say cgroup "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)"
if have systemd-detect-virt; then
  systemd-detect-virt -c -q && say container yes
elif [ -e /run/systemd/container ] || [ -e /.dockerenv ] || [ -e /run/.containerenv ]; then
  say container yes
fi
while read -r key value; do [ "$key" = CapBnd: ] && say capabilities "$value"; done </proc/self/status
say cpus "$(nproc)"
while read -r key value _; do [ "$key" = MemTotal: ] && say memoryKiB "$value"; done </proc/meminfo
[ -r /etc/machine-id ] && say machineId "$(cat /etc/machine-id)"
say bootId "$(cat /proc/sys/kernel/random/boot_id)-$(cut -d ' ' -f 22 /proc/1/stat 2>/dev/null)"
[ -d /run/systemd/system ] && say systemd yes
systemctl is-active -q systemd-resolved 2>/dev/null && [ -e /run/systemd/resolve/resolv.conf ] && say systemdResolved yes
if have ip; then
  ip -o addr show 2>/dev/null | each address
  ip -4 route show 2>/dev/null | each route
  ip -6 route show 2>/dev/null | each route
fi
say clock "$(date +%s%3N)"
`
