set -euo pipefail
umask 077
put() {
  mkdir -p "$(dirname "$1")"
  cat > "$1.clouder-new"
  sync "$1.clouder-new"
  mv -f "$1.clouder-new" "$1"
}
mkdir -p '/etc/kubernetes/clouder/patches'
mkdir -p '/var/log/kubernetes/audit'
# The key that Secrets are encrypted with is made here, once. What was encrypted with it is lost without it.
encryption='/etc/kubernetes/clouder/apiserver/encryption.yaml'
if [ -f "$encryption" ]; then
  name=$(sed -n 's/^ *- name: //p' "$encryption")
  secret=$(sed -n 's/^ *secret: //p' "$encryption")
  if [ -z "$name" ] || [ -z "$secret" ]; then
    echo "$encryption holds no key; bring back the file that the API server was started with" >&2
    exit 1
  fi
elif grep -qs -e --encryption-provider-config /etc/kubernetes/manifests/kube-apiserver.yaml; then
  echo "$encryption is gone, and Secrets may be encrypted with its key; bring it back from another control plane or a backup" >&2
  exit 1
else
  name=key-$(head -c 4 /dev/urandom | od -An -tx1 | tr -d ' \n')
  secret=$(head -c 32 /dev/urandom | base64)
fi
put "$encryption" <<CLOUDER_END_OF_FILE
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - identity: {}
  - secretbox:
      keys:
      - name: $name
        secret: $secret
CLOUDER_END_OF_FILE
