set -euo pipefail
# Mode, digest and path of each managed file that is there.
seen() {
  if [ -f "$1" ] && [ ! -L "$1" ]; then
    local digest
    digest=$(sha256sum <"$1")
    echo "file=$(stat -c %a "$1") ${digest%% *} $1"
  fi
}
seen '/etc/systemd/system/clouder-metadata.service'
systemctl show clouder-metadata.service -p UnitFileState -p ActiveState -p NeedDaemonReload
/sbin/ip -4 rule show priority 441 2>/dev/null | sed -n 's/^.* to \([^ ]*\).*prohibit.*$/refused=441 \1/p' || true
/sbin/ip -6 rule show priority 443 2>/dev/null | sed -n 's/^.* to \([^ ]*\).*prohibit.*$/refused=443 \1/p' || true
