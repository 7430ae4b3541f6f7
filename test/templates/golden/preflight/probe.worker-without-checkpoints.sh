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
# Where clouder puts programs and state: how it is mounted.
for path in /opt /usr/local /etc /var/lib; do
  if command -v findmnt >/dev/null; then echo "mount=$path $(findmnt -no OPTIONS -T "$path" | tail -n 1)"; fi
done
# A containerd that somebody else set up, and what runs in it.
config=/etc/containerd/config.toml
if [ -s "$config" ] && [ "$(head -n 1 "$config")" != '# Written by clouder.' ]; then echo "containerdConfig=$config"; fi
unit=$(systemctl show containerd.service -P FragmentPath 2>/dev/null || true)
if [ -n "$unit" ] && [ "$(head -n 1 "$unit" 2>/dev/null)" != '# Written by clouder.' ] && systemctl is-active -q containerd.service; then
  echo "containerdUnit=$unit"
  echo "shims=$({ pgrep -c containerd-shim || true; } 2>/dev/null)"
fi
# Swap that no line of /etc/fstab turns on comes back at the next boot.
systemctl list-units --plain --no-legend --type swap 2>/dev/null | awk '{print $1}' | while read -r unit; do
  if [ "$(systemctl show "$unit" -P SourcePath)" != /etc/fstab ]; then echo "swapUnit=$unit"; fi
done
# Firewalls that show as such: their rules for UDP cannot be tried from outside.
if command -v ufw >/dev/null && LC_ALL=C ufw status 2>/dev/null | grep -q '^Status: active'; then echo firewall=ufw; fi
if systemctl is-active -q firewalld.service 2>/dev/null; then echo firewall=firewalld; fi
# CNI configurations in the order in which containerd tries them; the first one is loaded.
shopt -s nullglob dotglob
for file in /etc/cni/net.d/*; do
  case $file in *.conf | *.conflist | *.json) ;; *) continue ;; esac
  [ -f "$file" ] || continue
  word() { tr -d ' \t\r\n' <"$file" | grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4 || true; }
  name=$(word name) subnet=$(word subnet)
  echo "cni=${name:--} ${subnet:--} $file"
done
shopt -u nullglob dotglob
# The file that pods of this host get their resolvers from, and the one that a kubelet was told.
resolver=/etc/resolv.conf
if systemctl is-active -q systemd-resolved 2>/dev/null && [ -e /run/systemd/resolve/resolv.conf ]; then
  resolver=/run/systemd/resolve/resolv.conf
fi
echo "resolver=$resolver"
if [ -f /var/lib/kubelet/config.yaml ]; then
  told=$(sed -n 's/^resolvConf: *//p' /var/lib/kubelet/config.yaml | tr -d "\"'")
  echo "kubeletResolver=${told:-/etc/resolv.conf}"
fi
if [ -r "$resolver" ]; then
  awk '$1 == "nameserver" && $2 != "" {print "nameserver=" $2}
    $1 == "search" {$1 = ""; search = substr($0, 2)}
    END {if (search != "") print "search=" search}' "$resolver"
  echo resolverReadable=yes
fi
# Proxy variables: `scope variable source value`; of the proxies themselves no value, which may hold a password.
proxies() {
  local scope=$1 source=$2 assignment name value
  while IFS= read -r assignment; do
    name=${assignment%%=*} value=${assignment#*=}
    value=${value#[\"\']} value=${value%[\"\']}
    name=${name^^}
    if [ "$name" != NO_PROXY ]; then value=${value:+set}; fi
    echo "proxy=$scope $name $source $value"
  done < <({ grep -v '^[[:space:]]*#' || true; } |
    grep -oiE "\b(https?|all|no)_proxy=(\"[^\"]*\"|'[^']*'|[^\"'; ]*)" || true)
}
from_files() {
  local scope=$1 file
  shift
  for file; do
    if [ -f "$file" ] && [ "$(head -n 1 "$file")" != '# Written by clouder.' ]; then proxies "$scope" "$file" <"$file"; fi
  done
}
# What this shell was started with; it works without these variables itself.
tr '\0\n' '\n ' </proc/$$/environ | sed -E 's/^([^=]*)=(.*)$/\1="\2"/' | proxies login session
from_files login /etc/environment /etc/profile /etc/profile.d/*.sh /etc/bash.bashrc /root/.profile /root/.bash_profile /root/.bashrc
systemctl show-environment 2>/dev/null | sed -E 's/^([^=]*)=(.*)$/\1="\2"/' | proxies systemd systemd || true
for unit in containerd kubelet; do
  for folder in {/usr/lib,/run,/etc}/systemd/system/{service,$unit.service}.d; do
    from_files "$unit" "$folder"/*.conf
    for drop_in in "$folder"/*.conf; do
      [ -f "$drop_in" ] || continue
      while IFS= read -r path; do from_files "$unit" "${path#-}"; done < <(sed -n 's/^EnvironmentFile=//p' "$drop_in")
    done
  done
done
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
