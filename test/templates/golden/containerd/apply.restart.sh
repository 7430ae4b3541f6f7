set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:$PATH
put() {
  local path=$1 mode=$2 folder temporary
  folder=$(dirname "$path")
  (umask 022 && mkdir -p "$folder")
  temporary=$folder/.$(basename "$path").clouder
  (umask 077 && base64 -d <<<"$3" >"$temporary")
  chmod "$mode" "$temporary"
  sync "$temporary"
  mv -T "$temporary" "$path"
}
put '/etc/containerd/config.toml' '644' 'dmVyc2lvbiA9IDMK'
rm -f '/etc/containerd/certs.d/quay.io/hosts.toml'
mkdir -p /opt/cni/bin /etc/cni/net.d
systemctl daemon-reload
systemctl enable --quiet containerd.service
if ! systemctl restart containerd.service; then
  journalctl -u containerd.service -n 20 --no-pager -o cat >&2
  exit 1
fi
ctr version >/dev/null
timeout 20 containerd config dump 2>/dev/null | sed 's/^/dump=/'
