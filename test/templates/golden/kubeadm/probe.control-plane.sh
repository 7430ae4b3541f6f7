set -euo pipefail
# Which of these exist.
if [ -e '/etc/kubernetes/pki/ca.crt' ]; then echo path='/etc/kubernetes/pki/ca.crt'; fi
# Digests of what clouder writes.
if [ -f '/etc/kubernetes/clouder/kubeadm.yaml' ]; then echo "sha256:/etc/kubernetes/clouder/kubeadm.yaml=$(sha256sum < '/etc/kubernetes/clouder/kubeadm.yaml' | cut -d' ' -f1)"; fi
# The name of the key that Secrets are encrypted with, never the key, and what a Secret is written with.
if [ -f '/etc/kubernetes/clouder/apiserver/encryption.yaml' ]; then
  echo "encryption=$(sed -n 's/^ *- name: //p' '/etc/kubernetes/clouder/apiserver/encryption.yaml') $(sed -n 's/^  - \([a-z]*\):.*/\1/p' '/etc/kubernetes/clouder/apiserver/encryption.yaml' | head -n 1)"
fi
if grep -qs -e --encryption-provider-config /etc/kubernetes/manifests/kube-apiserver.yaml; then echo decrypts=yes; fi
echo "kubelet=$(systemctl is-active kubelet 2>/dev/null || true)"
if grep -qs kubelet-client-current.pem /etc/kubernetes/kubelet.conf; then echo rotating=yes; fi
if [ -f /etc/kubernetes/pki/ca.crt ]; then echo "ca=$(sha256sum < /etc/kubernetes/pki/ca.crt | cut -d' ' -f1)"; fi
