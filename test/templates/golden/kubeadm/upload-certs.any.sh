set -euo pipefail
umask 077
dir=/run/clouder/upload-certs
rm -rf "$dir"
mkdir -p "$dir"
trap 'rm -rf "$dir"' EXIT
# The key goes by file: a flag could be read in the process list.
sed '0,/^kind: InitConfiguration$/s//kind: InitConfiguration\ncertificateKey: cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc/' /etc/kubernetes/clouder/kubeadm.yaml > "$dir/kubeadm.yaml"
kubeadm init phase upload-certs --upload-certs --config "$dir/kubeadm.yaml" > /dev/null
