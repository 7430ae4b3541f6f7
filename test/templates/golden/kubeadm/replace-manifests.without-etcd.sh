set -euo pipefail
config='/etc/kubernetes/clouder/kubeadm.yaml'
manifests=/etc/kubernetes/manifests
before=$(sha256sum "$manifests"/*.yaml)
began=$(date +%s)
kubeadm init phase control-plane all --config "$config"
changed=()
for name in etcd kube-apiserver kube-controller-manager kube-scheduler; do
  if ! grep -qxF "$(sha256sum "$manifests/$name.yaml")" <<< "$before"; then changed+=("$name"); fi
done
# kubeadm-init starts one that does not run.
if ! systemctl is-active --quiet kubelet; then exit 0; fi
deadline=$((began + 240))
missing=
# Seconds since the process of a static pod started, of the youngest one.
young() { ps -eo etimes=,args= | awk -v since="$(($(date +%s) - began))" -v first="$1" '$2 == first && $3 ~ /^--/ && $1 <= since {found = 1} END {exit !found}'; }
started() {
  for name in "${changed[@]}"; do
    if ! young "$name"; then
      missing="$name was not started again"
      return 1
    fi
  done
  for port in 10257 10259 6443; do
    if ! (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
      missing="nothing listens on port $port"
      return 1
    fi
  done
  missing=$(kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://127.0.0.1:6443 --request-timeout 5s get --raw '/readyz' 2>&1)
}
until started; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "the control plane is not ready after 240 s: $missing" >&2
    exit 1
  fi
  sleep 0.3
done
