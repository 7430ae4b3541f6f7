set -euo pipefail
# Which of these exist.
if [ -e '/etc/kubernetes/pki/ca.crt' ]; then echo path='/etc/kubernetes/pki/ca.crt'; fi
# Digests of what clouder writes.
if [ -f '/etc/kubernetes/clouder/kubeadm.yaml' ]; then echo "sha256:/etc/kubernetes/clouder/kubeadm.yaml=$(sha256sum < '/etc/kubernetes/clouder/kubeadm.yaml' | cut -d' ' -f1)"; fi
echo "kubelet=$(systemctl is-active kubelet 2>/dev/null || true)"
if grep -qs kubelet-client-current.pem /etc/kubernetes/kubelet.conf; then echo rotating=yes; fi
if [ -f /etc/kubernetes/pki/ca.crt ]; then echo "ca=$(sha256sum < /etc/kubernetes/pki/ca.crt | cut -d' ' -f1)"; fi
