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
for program in '/usr/local/bin/kubeadm' '/usr/local/bin/kubelet' ; do
  echo "program=$program $(readlink -f "$program" || true)"
done
