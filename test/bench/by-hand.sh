#!/usr/bin/env bash
# The shortest way by hand from bare machines to the cluster that `clouder kubeadm setup` makes: the same files and
# images of the same bundle, the same configuration, nodes in parallel, nothing checked and nothing that could be
# repeated. Arguments: BUNDLE PREPARED NAME=ADDRESS..., the control plane first.
# PREPARED holds ssh_config, images-<role>.tar, a tree of configuration files per node, network.json, definitions.json,
# checkpoint.json.
set -euo pipefail
bundle=$1 prepared=$2
shift 2
plane=${1%%=*} workers=("${@:2}")
on() { ssh -F "$prepared/ssh_config" "$@"; }

node() {
  local name=$1 role=$2
  local programs=(kubeadm kubelet containerd containerd-shim-runc-v2 ctr runc clouder-restore clouder-files)
  if [ "$role" = control-plane ]; then programs+=(kubectl); fi
  tar -cf - -C "$bundle/files" "${programs[@]/%/.gz}" {cni-plugins,criu,host-tools}.tar.gz -C "$prepared/$name" etc |
    on "$name" '
      set -e
      mkdir -p /opt/by-hand/criu /opt/by-hand/host-tools /opt/cni/bin /etc/cni/net.d /etc/kubernetes/manifests
      cd /opt/by-hand
      tar -xf -
      for file in *.gz; do
        case $file in
          cni-plugins.tar.gz) tar -xzf "$file" -C /opt/cni/bin & ;;
          *.tar.gz) tar -xzf "$file" -C "${file%.tar.gz}" & ;;
          *) { gunzip -c "$file" > "/usr/local/bin/${file%.gz}" && chmod 755 "/usr/local/bin/${file%.gz}"; } & ;;
        esac
      done
      cp -r etc /
      wait
      mkdir -p /usr/local/libexec/clouder
      ln -s /usr/local/bin/clouder-restore /usr/local/libexec/clouder/runc-restore
      ln -s /opt/by-hand/criu/criu /usr/local/sbin/criu
      for tool in host-tools/*; do
        if [ -f "$tool" ] && ! command -v "${tool##*/}" > /dev/null; then ln -s "/opt/by-hand/$tool" /usr/local/sbin/; fi
      done
      sysctl -qw net.ipv4.ip_forward=1
      sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 || true
      systemctl daemon-reload
      systemctl enable --quiet kubelet
      systemctl enable --quiet --now containerd'
  on "$name" 'ctr -n k8s.io images import - > /dev/null' < "$prepared/images-$role.tar"
}

node "$plane" control-plane &
planeReady=$!
for worker in "${workers[@]}"; do node "${worker%%=*}" worker & done
wait "$planeReady"
on "$plane" 'kubeadm init --config /etc/kubernetes/kubeadm.yaml --skip-token-print > /dev/null 2>&1
  kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f - > /dev/null' < "$prepared/network.json"
on "$plane" '
  export KUBECONFIG=/etc/kubernetes/admin.conf
  kubectl apply -f - > /dev/null
  kubectl wait --for=condition=Established crd --all > /dev/null' < "$prepared/definitions.json"
on "$plane" 'kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f - > /dev/null' < "$prepared/checkpoint.json"
# Without a credential nobody may read what kubeadm looks a cluster up by: a kubeconfig that has the token instead.
on "$plane" '
  token=$(kubeadm token create --ttl 15m 2> /dev/null)
  sed -e /client-certificate-data:/d -e "s/client-key-data: .*/token: $token/" /etc/kubernetes/admin.conf' \
  > "$prepared/discovery.conf"
wait
for worker in "${workers[@]}"; do
  on "${worker%%=*}" "umask 077 && cat > /etc/kubernetes/discovery.conf
    kubeadm join --discovery-file /etc/kubernetes/discovery.conf \
      --node-name ${worker%%=*} --cri-socket unix:///run/containerd/containerd.sock \
      --patches /etc/kubernetes/patches --ignore-preflight-errors SystemVerification > /dev/null 2>&1" \
    < "$prepared/discovery.conf" &
done
wait
on "$plane" "set -e; export KUBECONFIG=/etc/kubernetes/admin.conf
  until [ \$(kubectl get nodes -o name | wc -l) = $# ]; do sleep 0.3; done
  kubectl wait --for=condition=Ready node --all --timeout=300s > /dev/null
  kubectl -n kube-flannel rollout status daemonset/kube-flannel-ds --timeout=300s > /dev/null
  kubectl -n kube-system rollout status daemonset/kube-proxy --timeout=300s > /dev/null
  kubectl -n kube-system wait --for=condition=Available deployment/coredns --timeout=300s > /dev/null
  kubectl -n clouder-system rollout status daemonset/clouder-node-agent --timeout=300s > /dev/null
  kubectl -n clouder-system wait --for=condition=Available deployment/clouder-controller --timeout=300s > /dev/null"
