set -euo pipefail
store='/opt/clouder/store'
# An entry counts when its files are those that were there when its digest was checked.
for key in 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-kubelet' 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-criu' ; do
  if [ -e "$store/$key" ] && [ "$(find "$store/$key" ! -type d -printf '%y %s %P %l\n' | LC_ALL=C sort | sha256sum)" = "$(cat "$store/$key.list" 2>/dev/null)" ]; then
    echo "has=$key"
  fi
done
for path in '/usr/local/bin/kubelet' '/opt/clouder/criu' ; do
  if [ -L "$path" ]; then
    echo "link=$path $(readlink "$path")"
  elif [ -e "$path" ]; then
    echo "link=$path (not a link)"
  fi
done
folder='/opt/cni/bin'
contents='/opt/clouder/store/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc-cni-plugins'
for source in "$contents"/*; do
  if [ -f "$source" ] && [ -x "$source" ] && [ "$(readlink "$folder/${source##*/}")" != "$source" ]; then
    echo "unlinked=$folder/${source##*/}"
  fi
done
folder='/usr/local/sbin'
contents='/opt/clouder/store/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd-host-tools'
for source in "$contents"/*; do
  if [ -f "$source" ] && [ -x "$source" ] && [ "$(readlink "$folder/${source##*/}")" != "$source" ]; then
    (PATH=/usr/sbin:/usr/bin:/sbin:/bin && command -v "${source##*/}" >/dev/null) && continue
    echo "unlinked=$folder/${source##*/}"
  fi
done
