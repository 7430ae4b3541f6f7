set -euo pipefail
# Nothing before the node has joined.
if [ ! -e /etc/kubernetes/kubelet.conf ] || [ ! -e /var/lib/kubelet/config.yaml ]; then exit 0; fi
echo "config=$(base64 -w 0 < /var/lib/kubelet/config.yaml)"
if [ -f '/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml' ]; then echo "patch=$(sha256sum < '/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml' | cut -d' ' -f1)"; fi
# A run that was killed between the configuration and the start that reads it.
if [ -e '/run/clouder/kubelet-restart' ]; then echo restart=yes; fi
# What others than root may read or write.
loose() { find "$@" -xdev -perm /077 -printf 'loose=%p\n' 2>/dev/null || true; }
loose /etc/kubernetes /var/lib/kubelet/config.yaml /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env -type f
if [ -d /var/lib/etcd/member ]; then loose /var/lib/etcd -maxdepth 0; fi
