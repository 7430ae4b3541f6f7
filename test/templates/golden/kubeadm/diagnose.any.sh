set -euo pipefail
echo "kubelet: $(systemctl is-active kubelet || true)"
journalctl -u kubelet --no-pager -o cat -p warning -n 12 2>/dev/null | tail -n 12 || true
for log in /var/log/pods/kube-system_{etcd,kube-apiserver}-*/*/*.log; do
  [ -f "$log" ] || continue
  echo "== $log"
  tail -n 6 "$log"
done
