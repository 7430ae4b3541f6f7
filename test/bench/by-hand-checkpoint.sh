#!/usr/bin/env bash
# The shortest way by hand to move a running container with its memory: the kubelet's checkpoint API, an OCI image made
# with tar, `ctr import` on the target, and a pod of that image, which containerd restores because the cluster allows
# it. Nothing is encrypted, signed, kept or verified. Arguments: PREPARED PLANE SOURCE TARGET POD; PREPARED holds
# ssh_config; the pod is in namespace `default`, its container is `smoke`. Ends when the new pod is Ready.
set -euo pipefail
prepared=$1 plane=$2 source=$3 target=$4 pod=$5
on() { ssh -F "$prepared/ssh_config" "$@"; }
api='kubectl --kubeconfig /etc/kubernetes/admin.conf'

archive=$(on "$plane" "$api create --raw /api/v1/nodes/$source/proxy/checkpoint/default/$pod/smoke -f /dev/null" |
  sed 's/.*\["\(.*\)"\].*/\1/')
image=localhost/by-hand/$pod:1
on "$source" "
  set -e
  umask 077
  work=\$(mktemp -d -p /var/lib/kubelet)
  cd \"\$work\"
  mkdir -p blobs/sha256
  blob() { mv \"\$1\" \"blobs/sha256/\$2\"; }
  layer=\$(sha256sum '$archive' | cut -d ' ' -f 1)
  size=\$(stat -c %s '$archive')
  mv '$archive' \"blobs/sha256/\$layer\"
  echo -n '{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:'\$layer'\"]}}' > config
  config=\$(sha256sum config | cut -d ' ' -f 1) configSize=\$(stat -c %s config)
  blob config \$config
  echo -n '{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:'\$config'\",\"size\":'\$configSize'},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:'\$layer'\",\"size\":'\$size'}],\"annotations\":{\"org.criu.checkpoint.container.name\":\"smoke\"}}' > manifest
  manifest=\$(sha256sum manifest | cut -d ' ' -f 1) manifestSize=\$(stat -c %s manifest)
  blob manifest \$manifest
  echo -n '{\"imageLayoutVersion\":\"1.0.0\"}' > oci-layout
  echo -n '{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:'\$manifest'\",\"size\":'\$manifestSize',\"annotations\":{\"io.containerd.image.name\":\"$image\"}}]}' > index.json
  tar -cf - oci-layout index.json blobs
  rm -rf \"\$work\"" | on "$target" 'ctr -n k8s.io images import - > /dev/null'
on "$plane" "
  set -e
  $api delete pod $pod --grace-period=0 --force > /dev/null 2>&1
  until ! $api get pod $pod > /dev/null 2>&1; do sleep 0.1; done
  $api apply -f - > /dev/null
  $api wait --for=condition=Ready pod/$pod --timeout=120s > /dev/null" << END
apiVersion: v1
kind: Pod
metadata: {name: $pod}
spec:
  nodeName: $target
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
    - name: smoke
      image: $image
      imagePullPolicy: Never
      args: [serve]
      ports: [{containerPort: 8080}]
      readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
END
