set -euo pipefail
# Only what clouder put there: its own files, and links into its store.
for unit in kubelet containerd; do
  if [ "$(systemctl show -P FragmentPath "$unit" 2>/dev/null)" = "/etc/systemd/system/$unit.service" ]; then
    systemctl disable --now "$unit" 2>/dev/null || true
    rm -rf "/etc/systemd/system/$unit.service" "/etc/systemd/system/$unit.service.d"
  fi
done
pkill -f /usr/local/bin/containerd-shim-runc-v2 2>/dev/null || true
systemctl daemon-reload
for dir in /usr/local/bin /usr/local/sbin /opt/cni/bin; do
  [ -d "$dir" ] || continue
  find "$dir" -maxdepth 1 -type l -lname '/opt/clouder/*' -delete
done
if [ -L /opt/cni/bin ]; then rm -f /opt/cni/bin; fi
for dir in $(findmnt -rno TARGET | grep -E '^/run/containerd/|^/var/lib/(containerd|kubelet)/' | sort -r); do
  umount "$dir" 2>/dev/null || true
done
rm -rf /usr/local/libexec/clouder /etc/containerd /etc/criu/runc.conf /etc/modules-load.d/clouder.conf \
  /etc/sysctl.d/90-clouder.conf /run/containerd /run/clouder/agent /run/clouder/restored /var/lib/clouder /opt/clouder
find /var/lib/containerd /var/lib/kubelet /var/lib/etcd -mindepth 1 -delete 2>/dev/null || true
# Folders that kubeadm, the kubelet, containerd and clouder made; what holds anything else, or is mounted, stays.
for dir in /var/lib/containerd /var/lib/kubelet /var/lib/etcd /etc/criu /etc/cni/net.d /etc/cni /opt/cni/bin /opt/cni \
  /opt/containerd/bin /opt/containerd/lib /opt/containerd \
  /etc/kubernetes/{manifests,pki/etcd,pki,tmp} /etc/kubernetes \
  /usr/libexec/kubernetes/{kubelet-plugins/volume/exec,kubelet-plugins/volume,kubelet-plugins} /usr/libexec/kubernetes; do
  rmdir "$dir" 2>/dev/null || true
done
