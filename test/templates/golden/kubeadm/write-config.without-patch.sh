set -euo pipefail
umask 077
put() {
  mkdir -p "$(dirname "$1")"
  cat > "$1.clouder-new"
  sync "$1.clouder-new"
  mv -f "$1.clouder-new" "$1"
}
put '/etc/kubernetes/clouder/kubeadm.yaml' <<'CLOUDER_END_OF_FILE'
kind: InitConfiguration
nodeRegistration:
  name: it's cp-1
CLOUDER_END_OF_FILE
rm -f '/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml'
mkdir -p '/etc/kubernetes/clouder/patches'
