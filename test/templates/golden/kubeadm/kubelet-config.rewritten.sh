set -euo pipefail
umask 077
mkdir -p "$(dirname '/run/clouder/kubelet-restart')" '/etc/kubernetes/clouder/patches'
: > '/run/clouder/kubelet-restart'
cat > '/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml' <<'CLOUDER_END_OF_FILE'
failCgroupV1: false
CLOUDER_END_OF_FILE
kubeadm upgrade node phase kubelet-config --patches '/etc/kubernetes/clouder/patches'
find /etc/kubernetes /var/lib/kubelet/config.yaml /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env \
  -xdev -type f -perm /077 -exec chmod 600 {} + 2> /dev/null || true
if [ -d /var/lib/etcd/member ]; then chmod 700 /var/lib/etcd; fi
systemctl restart kubelet
deadline=$(( $(date +%s) + 60 ))
healthy() {
  (
    exec 3<> /dev/tcp/127.0.0.1/10248
    printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3
    head -n 1 <&3 | grep -q ' 200 '
  ) 2> /dev/null
}
until healthy; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "the kubelet does not answer after 60 s with the new configuration" >&2
    journalctl -u kubelet --no-pager -o cat -n 5 >&2 || true
    exit 1
  fi
  sleep 0.3
done
# Without one nobody reaches its logs. The controller of clouder approves it, when the node asks for its own names.
until [ -e /var/lib/kubelet/pki/kubelet-server-current.pem ]; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "the kubelet has no serving certificate after 60 s: is its request approved? (kubectl get csr)" >&2
    exit 1
  fi
  sleep 0.3
done
rm -f '/run/clouder/kubelet-restart'
