set -euo pipefail
umask 077
find /etc/kubernetes /var/lib/kubelet/config.yaml /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env \
  -xdev -type f -perm /077 -exec chmod 600 {} + 2> /dev/null || true
if [ -d /var/lib/etcd/member ]; then chmod 700 /var/lib/etcd; fi
