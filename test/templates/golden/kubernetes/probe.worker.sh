set -euo pipefail
# Mode, digest and path of each managed file that is there.
seen() {
  if [ -f "$1" ] && [ ! -L "$1" ]; then
    local digest
    digest=$(sha256sum <"$1")
    echo "file=$(stat -c %a "$1") ${digest%% *} $1"
  fi
}
seen '/etc/systemd/system/kubelet.service'
systemctl show kubelet.service -p UnitFileState -p FragmentPath -p NeedDaemonReload
for folder in '/etc/kubernetes' '/etc/kubernetes/manifests' '/var/lib/kubelet' ; do
  if [ -d "$folder" ]; then echo "folder=$folder"; fi
done
version() {
  if [ -x "$1" ]; then
    echo "version=${1##*/} $("$@" 2>/dev/null | sed -n 's/^.*\(v[0-9][^ ]*\)$/\1/p' | head -n 1)"
  fi
}
version '/usr/local/bin/kubeadm' 'version' '-o' 'short' &
version '/usr/local/bin/kubelet' '--version' &
wait
