set -euo pipefail
export LC_ALL=C
echo "uid=$(id -u)"
config=/boot/config-$(uname -r)
{ zcat /proc/config.gz 2>/dev/null || cat "$config" 2>/dev/null || true; } |
  sed -n 's/^CONFIG_\(OVERLAY_FS\|BRIDGE_NETFILTER\|VXLAN\|CHECKPOINT_RESTORE\)=/config=\1 /p'
# A feature is there when it is loaded, built in or can be loaded.
module() {
  local name=$1 option=$2
  if grep -qs "^$name " /proc/modules || [ -d "/sys/module/$name" ] ||
    grep -qs "/$name.ko" "/lib/modules/$(uname -r)/modules.builtin" ||
    { [ "$name" = overlay ] && grep -qw overlay /proc/filesystems; } ||
    { [ "$name" = br_netfilter ] && [ -d /proc/sys/net/bridge ]; } ||
    modinfo -n "$name" >/dev/null 2>&1 ||
    { zcat /proc/config.gz 2>/dev/null || cat "$config" 2>/dev/null || true; } | grep -qx "CONFIG_$option=y"; then
    echo "module=$name"
  fi
}
module overlay OVERLAY_FS
module br_netfilter BRIDGE_NETFILTER
module vxlan VXLAN
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo "controllers=$(</sys/fs/cgroup/cgroup.controllers)"; fi
for path in /opt /var/lib; do
  echo "disk=$path $(df -Pm "$path" | awk 'NR == 2 {print $4, $2}')"
done
tail -n +2 /proc/swaps | while read -r device _; do echo "swap=$device"; done
if command -v ss >/dev/null; then
  ss -ltnpH | awk '{
    port = $4; sub(/.*:/, "", port)
    owner = $0; if (!sub(/.*users:\(\("/, "", owner)) owner = "unknown"; sub(/".*/, "", owner)
    print "listen=" port " " owner
  }' | sort -u
fi
if command -v ip >/dev/null; then
  ip -o addr show | awk '$3 ~ /^inet6?$/ {print "address=" $2 " " $4}'
  { ip -o route show; ip -o -6 route show 2>/dev/null || true; } |
    awk '$1 != "default" {device = "-"; for (i = 1; i < NF; i++) if ($i == "dev") device = $(i + 1); print "route=" device " " $1}'
fi
if [ -f /etc/kubernetes/pki/ca.crt ]; then
  digest=$(sha256sum </etc/kubernetes/pki/ca.crt)
  echo "ca=${digest%% *}"
fi
for conf in kubelet admin; do
  file=/etc/kubernetes/$conf.conf
  if [ -f "$file" ]; then
    echo "$conf=yes"
    data=$(sed -n 's/^ *certificate-authority-data: *//p' "$file" | head -n 1)
    digest=$(base64 -d <<<"$data" 2>/dev/null | sha256sum) || digest=unreadable
    echo "${conf}Ca=${digest%% *}"
    echo "${conf}Cluster=$(sed -n 's/^ *cluster: *\([^ ].*\)$/\1/p' "$file" | head -n 1)"
  fi
done
if [ -e /etc/kubernetes/bootstrap-kubelet.conf ]; then echo bootstrap=yes; fi
