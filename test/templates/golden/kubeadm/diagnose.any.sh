set -uo pipefail
echo "kubelet: $(systemctl is-active kubelet)"
journalctl -u kubelet --no-pager -o cat -p warning -n 12 2>/dev/null | tail -n 12
for log in /var/log/pods/kube-system_{etcd,kube-apiserver}-*/*/*.log; do
  [ -f "$log" ] || continue
  echo "== $log"
  tail -n 6 "$log"
done
exit 0
