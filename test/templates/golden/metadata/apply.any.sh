set -euo pipefail
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
put '/etc/systemd/system/clouder-metadata.service' '644' 'W1VuaXRdCg=='
systemctl daemon-reload
systemctl enable --quiet clouder-metadata.service
systemctl restart clouder-metadata.service
