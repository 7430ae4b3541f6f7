set -euo pipefail
export 'NO_PROXY=localhost,.svc'
config='/etc/kubernetes/clouder/kubeadm.yaml'
kubeadm init phase etcd local --config "$config"
kubeadm init phase control-plane all --config "$config"
