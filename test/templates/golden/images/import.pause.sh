set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:$PATH
ctr -n k8s.io images import - >/dev/null
imported=$(ctr -n k8s.io images ls | awk 'NR > 1 {print $1, $3}')
verify() {
  if ! grep -qxF "$1 $2" <<<"$imported"; then
    found=$(awk -v reference="$1" '$1 == reference {print $2}' <<<"$imported")
    echo "$1 has digest ${found:-none} after the import" >&2
    exit 1
  fi
}
verify 'registry.k8s.io/pause:3.10.1' 'sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee'
# Without it the kubelet may remove the image that every pod needs; an import does not set it.
ctr -n k8s.io images label 'registry.k8s.io/pause:3.10.1' io.cri-containerd.pinned=pinned >/dev/null
