set -euo pipefail
# A Secret is encrypted when it is written. One that was changed meanwhile is refused here and is encrypted by then.
kube=(kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://127.0.0.1:6443)
key=$(sed -n 's/^ *- name: //p' '/etc/kubernetes/clouder/apiserver/encryption.yaml')
rewrite() {
  if ! "${kube[@]}" get secrets --all-namespaces --output name | grep -q .; then return 0; fi
  problem=$("${kube[@]}" get secrets --all-namespaces --output json | "${kube[@]}" replace --filename - 2>&1 > /dev/null)
}
problem=
for attempt in 1 2 3 4 5 failed; do
  if [ "$attempt" = failed ]; then
    echo "$problem" >&2
    exit 1
  fi
  if rewrite; then break; fi
done
"${kube[@]}" apply --server-side --field-manager clouder --filename - > /dev/null <<CLOUDER_END_OF_FILE
apiVersion: v1
kind: ConfigMap
metadata:
  name: clouder-encrypted-secrets
  namespace: kube-system
data:
  key: $key
CLOUDER_END_OF_FILE
