set -euo pipefail
# Mode, digest and path of each managed file that is there.
seen() {
  if [ -f "$1" ] && [ ! -L "$1" ]; then
    local digest
    digest=$(sha256sum <"$1")
    echo "file=$(stat -c %a "$1") ${digest%% *} $1"
  fi
}
seen '/etc/modules-load.d/clouder.conf'
seen '/etc/sysctl.d/90-clouder.conf'
for module in 'overlay' 'br_netfilter' ; do
  if grep -qs "^$module " /proc/modules; then
    state=loaded
  elif grep -qs "/$module.ko" "/lib/modules/$(uname -r)/modules.builtin"; then
    state=builtin
  elif [ -d "/sys/module/$module" ] ||
    { [ "$module" = overlay ] && grep -qw overlay /proc/filesystems; } ||
    { [ "$module" = br_netfilter ] && [ -d /proc/sys/net/bridge ]; }; then
    state=builtin
  elif modinfo -n "$module" >/dev/null 2>&1; then
    state=available
  else
    state=absent
  fi
  echo "module=$module $state"
done
for name in 'net.ipv4.ip_forward' 'kernel.panic' ; do
  path=/proc/sys/${name//.//}
  if [ -r "$path" ]; then
    writable=yes
    [ -w "$path" ] || writable=no
    echo "sysctl=$name $(<"$path") $writable"
  fi
done
sed -n 's/^\([a-z][a-z0-9_.-]*\) *= *\([0-9]*\)$/configured=\1 \2/p' '/etc/sysctl.d/90-clouder.conf' 2>/dev/null || true
tail -n +2 /proc/swaps | while read -r device _; do echo "swap=$device"; done
awk '!/^[[:space:]]*#/ && $3 == "swap" {print "fstab=" $1}' /etc/fstab 2>/dev/null || true
