set -euo pipefail
# Mode, digest and path of each managed file that is there.
seen() {
  if [ -f "$1" ] && [ ! -L "$1" ]; then
    local digest
    digest=$(sha256sum <"$1")
    echo "file=$(stat -c %a "$1") ${digest%% *} $1"
  fi
}
for folder in ; do
  if [ -d "$folder" ]; then echo "folder=$(stat -c %a "$folder") $folder"; fi
done
export PATH=/usr/local/sbin:/usr/local/bin:$PATH
if command -v criu >/dev/null; then
  echo "version=$(criu --version 2>/dev/null | sed -n 's/^Version: *//p')"
  if output=$(timeout 30 criu check 2>&1); then
    echo "check=ok"
  else
    echo "check=$(tail -n 1 <<<"$output")"
  fi
  for feature in 'mem_dirty_track' 'uffd-noncoop' ; do
    echo "feature-$feature=$({ timeout 30 criu check --feature "$feature" 2>&1 || true; } | tail -n 1)"
  done
  echo "pipe=$(</proc/sys/fs/pipe-max-size)"
  echo "bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status)"
fi
