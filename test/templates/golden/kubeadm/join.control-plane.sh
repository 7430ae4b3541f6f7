set -euo pipefail
umask 077
# On a tmpfs, so that the token never reaches a disk; gone when this script ends, however it ends.
dir=/run/clouder/join
rm -rf "$dir"
mkdir -p "$dir"
trap 'rm -rf "$dir"' EXIT
mkdir -p "$(dirname '/etc/kubernetes/clouder/kubeadm.yaml')"
cat > '/etc/kubernetes/clouder/kubeadm.yaml' <<'CLOUDER_END_OF_FILE'
kind: InitConfiguration
CLOUDER_END_OF_FILE
mkdir -p '/etc/kubernetes/clouder/patches'
mkdir -p '/var/log/kubernetes/audit'
cat > "$dir/discovery.conf" <<'CLOUDER_END_OF_FILE'
kind: Config
clusters: []
CLOUDER_END_OF_FILE
cat > "$dir/join.yaml" <<'CLOUDER_END_OF_FILE'
kind: JoinConfiguration
controlPlane:
  certificateKey: cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
CLOUDER_END_OF_FILE
# What a join that was cut short left behind; a node that did join is never sent here.
rm -f /etc/kubernetes/bootstrap-kubelet.conf
if [ ! -e /var/lib/kubelet/pki/kubelet-client-current.pem ]; then rm -f /etc/kubernetes/kubelet.conf; fi
systemctl stop kubelet
kubeadm join --config "$dir/join.yaml" --ignore-preflight-errors=Port-10250
