set -euo pipefail
# Mode, digest and path of each managed file that is there.
seen() {
  if [ -f "$1" ] && [ ! -L "$1" ]; then
    local digest
    digest=$(sha256sum <"$1")
    echo "file=$(stat -c %a "$1") ${digest%% *} $1"
  fi
}
seen '/etc/criu/runc.conf'
for folder in '/var/lib/clouder/restore' '/var/lib/clouder/store' ; do
  if [ -d "$folder" ]; then echo "folder=$(stat -c %a "$folder") $folder"; fi
done
echo "memory=$(systemctl is-enabled 'var-lib-clouder-memory.mount' 2>/dev/null || true) $(systemctl is-active 'var-lib-clouder-memory.mount' 2>/dev/null || true)"
export PATH=/usr/local/sbin:/usr/local/bin:$PATH
if command -v criu >/dev/null; then
  echo "version=$(criu --version 2>/dev/null | sed -n 's/^Version: *//p')"
  if output=$(timeout 30 criu check 2>&1); then
    echo "check=ok"
  else
    echo "check=$(tail -n 1 <<<"$output")"
  fi
fi
