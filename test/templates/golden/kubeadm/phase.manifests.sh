set -euo pipefail
export 'NO_PROXY=localhost,.svc'
umask 077
config='/etc/kubernetes/clouder/kubeadm.yaml'
kubeadm init phase etcd local --config "$config"
kubeadm init phase control-plane all --config "$config"
# A volume that is mounted there has a mode of its own.
if [ -d /var/lib/etcd ]; then chmod 700 /var/lib/etcd; fi
