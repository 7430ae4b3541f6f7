set -euo pipefail
# Mode, digest and path of each managed file that is there.
seen() {
  if [ -f "$1" ] && [ ! -L "$1" ]; then
    local digest
    digest=$(sha256sum <"$1")
    echo "file=$(stat -c %a "$1") ${digest%% *} $1"
  fi
}
seen '/etc/containerd/config.toml'
for hosts in '/etc/containerd/certs.d'/*/hosts.toml; do
  if [ -f "$hosts" ] && [ "$(head -n 1 "$hosts")" = '# Written by clouder.' ]; then echo "mirror=$hosts"; fi
done
systemctl show containerd.service -p ActiveState -p UnitFileState -p NeedDaemonReload -p FragmentPath
pid=$(systemctl show containerd.service -p MainPID --value)
echo "binary=$(readlink -f /usr/local/bin/containerd || true)"
if [ "${pid:-0}" != 0 ]; then
  echo "running=$(readlink "/proc/$pid/exe" || true)"
  # Started before its files got their content: it runs with older ones.
  started=$(date -d "$(systemctl show containerd.service -p ExecMainStartTimestamp --value)" +%s)
  for path in '/etc/containerd/config.toml' '/etc/systemd/system/containerd.service' ; do
    if [ -f "$path" ] && [ "$(stat -c %Y "$path")" -gt "$started" ]; then echo "newer=$path"; fi
  done
fi
if [ -x /usr/local/bin/containerd ] && [ -f '/etc/containerd/config.toml' ]; then
  (timeout 20 /usr/local/bin/containerd config dump 2>/dev/null || true) | sed 's/^/dump=/'
fi
