set -euo pipefail
umask 022
link() {
  mkdir -p "$(dirname "$1")"
  ln -sfn "$2" "$1.clouder"
  mv -T "$1.clouder" "$1"
}
link '/usr/local/bin/kubelet' '/opt/clouder/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-kubelet'
folder='/opt/cni/bin'
contents='/opt/clouder/store/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc-cni-plugins'
# Another version's links lead into another folder of the store.
for old in "$folder"/*; do
  case $(readlink "$old") in
    "$contents"/*) ;;
    '/opt/clouder/store'/*-cni-plugins/*) rm "$old" ;;
  esac
done
for source in "$contents"/*; do
  if [ -f "$source" ] && [ -x "$source" ] && [ "$(readlink "$folder/${source##*/}")" != "$source" ]; then
    link "$folder/${source##*/}" "$source"
  fi
done
folder='/usr/local/sbin'
contents='/opt/clouder/store/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd-host-tools'
# Another version's links lead into another folder of the store.
for old in "$folder"/*; do
  case $(readlink "$old") in
    "$contents"/*) ;;
    '/opt/clouder/store'/*-host-tools/*) rm "$old" ;;
  esac
done
for source in "$contents"/*; do
  if [ -f "$source" ] && [ -x "$source" ] && [ "$(readlink "$folder/${source##*/}")" != "$source" ]; then
    (PATH=/usr/sbin:/usr/bin:/sbin:/bin && command -v "${source##*/}" >/dev/null) && continue
    link "$folder/${source##*/}" "$source"
  fi
done
