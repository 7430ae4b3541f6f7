set -euo pipefail
export 'NO_PROXY=localhost,.svc'
umask 077
# What kubeadm makes of the wanted configuration on this host, beside what the kubelet runs.
dir=$(mktemp -d /run/clouder-manifests.XXXXXX)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/patches" "$dir/wanted"
cat > "$dir/patches"/'kube-apiserver0+merge.yaml' <<'CLOUDER_END_OF_FILE'
metadata: {}
CLOUDER_END_OF_FILE
cat > "$dir/rendered.yaml" <<'CLOUDER_END_OF_FILE'
kind: InitConfiguration
CLOUDER_END_OF_FILE
sed "s|^  directory: /etc/kubernetes/clouder/patches$|  directory: $dir/patches|" "$dir/rendered.yaml" > "$dir/kubeadm.yaml"
command -v kubeadm > /dev/null || exit 0
for phase in 'etcd local' 'control-plane all'; do
  # shellcheck disable=SC2086 # two words
  KUBEADM_INIT_DRYRUN_DIR="$dir/wanted" kubeadm init phase $phase --config "$dir/kubeadm.yaml" --dry-run > /dev/null
done
# etcd reads these once, when a member starts without data; those of a member that joined differ.
content() { grep -v -e '- --initial-cluster' "$1" || true; }
for name in etcd kube-apiserver kube-controller-manager kube-scheduler; do
  live=/etc/kubernetes/manifests/$name.yaml
  [ -f "$live" ] || continue
  if ! cmp -s <(content "$dir/wanted/$name.yaml") <(content "$live"); then
    # Names only: the value of a flag or variable may hold a credential.
    names=$({ diff <(content "$live") <(content "$dir/wanted/$name.yaml") || true; } |
      sed -n 's/^[<>] *- \(--[a-z0-9-]*\).*/\1/p; s/^[<>] *- name: \([A-Za-z_]*\)$/\1/p' | sort -u | tr '\n' ' ')
    echo "manifest=$name $names"
  fi
done
