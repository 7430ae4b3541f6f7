set -euo pipefail
kubeadm reset --force --cri-socket 'unix:///run/containerd/containerd.sock'
systemctl stop kubelet 2>/dev/null || true
rm -rf /etc/kubernetes/clouder /etc/cni/net.d/10-flannel.conflist /var/lib/cni /run/flannel /run/clouder/join
for link in cni0 flannel.1; do
  if ip link show "$link" > /dev/null 2>&1; then ip link delete "$link"; fi
done
# Only the chains that Kubernetes and flannel made; rules of others stay.
for family in iptables ip6tables; do
  if command -v "$family-save" > /dev/null; then
    "$family-save" 2>/dev/null | grep -vE 'KUBE-|CNI-|FLANNEL-|cni0|flannel\.1' | "$family-restore" 2>/dev/null || true
  fi
done
