set -euo pipefail
# Which of these exist.
if [ -e '/etc/kubernetes/kubelet.conf' ]; then echo path='/etc/kubernetes/kubelet.conf'; fi
# Digests of what clouder writes.
if [ -f '/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml' ]; then echo "sha256:/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml=$(sha256sum < '/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml' | cut -d' ' -f1)"; fi
echo "kubelet=$(systemctl is-active kubelet 2>/dev/null || true)"
if grep -qs kubelet-client-current.pem /etc/kubernetes/kubelet.conf; then echo rotating=yes; fi
if [ -f /etc/kubernetes/pki/ca.crt ]; then echo "ca=$(sha256sum < /etc/kubernetes/pki/ca.crt | cut -d' ' -f1)"; fi
