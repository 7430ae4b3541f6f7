set -euo pipefail
# One round trip for the whole wait; the API server of a new control plane answers after 5 to 60 s.
deadline=$(( $(date +%s) + 240 ))
answer='nothing listens on port 6443'
ready() {
  # The port costs nothing to ask; kubectl would take the processor from the API server that starts.
  (exec 3<> /dev/tcp/127.0.0.1/6443) 2> /dev/null || return 1
  answer=$(kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://127.0.0.1:6443 --request-timeout 5s get --raw '/readyz' 2>&1)
}
until ready; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "the API server is not ready after 240 s: $answer" >&2
    exit 1
  fi
  sleep 0.3
done
