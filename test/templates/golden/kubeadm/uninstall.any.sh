set -euo pipefail
# What lies behind a mount is somebody else's: it is unmounted, or nothing is deleted. Two directories can be one file
# system, a bind mount for one, so the kernel's list of mounts says where one begins.
mounts_in() { # prints what is mounted below directories, the deepest first, each name ended by NUL
  local point dir dirs=()
  for dir in "$@"; do dirs+=("$(readlink -m "$dir")"); done
  while read -r _ _ _ _ point _; do
    printf -v point %b "${point//\\/\\0}"
    for dir in "${dirs[@]}"; do
      if [[ $point == "$dir"/* ]]; then
        printf '%s\0' "$point"
        break
      fi
    done
  done < /proc/self/mountinfo | LC_ALL=C sort -zr
}
unmount_in() {
  local point
  # More than once: a place can be mounted over, and a process can be about to end.
  for _ in 1 2 3; do
    while IFS= read -r -d '' point; do
      timeout 30 umount -c "$point" 2>/dev/null || true
    done < <(mounts_in "$@")
  done
}
holders_of() { # prints who uses a mount: name and process id of five at most
  local pattern=${1//\\/\\\\} pid
  pattern=${pattern//\*/\\*}
  pattern=${pattern//\?/\\?}
  pattern=${pattern//\[/\\[}
  { find /proc -maxdepth 3 -path '/proc/[0-9]*' \( -lname "$pattern" -o -lname "$pattern/*" \) -printf '%p\n' 2>/dev/null ||
    true; } | cut -d/ -f3 | sort -nu | head -n 5 | while read -r pid; do
    printf ' %s (%s)' "$(cat "/proc/$pid/comm" 2>/dev/null || true)" "$pid"
  done
}
# Ends the script where something is mounted below one of the directories.
keep_mounts() {
  local point users found=
  while IFS= read -r -d '' point; do
    found=1
    users=$(holders_of "$point")
    printf '%q is still mounted%s\n' "$point" "${users:+ and used by$users}" >&2
  done < <(mounts_in "$@")
  if [ -z "$found" ]; then return; fi
  echo 'nothing was deleted: unmount what is named above, or end who uses it, and run the same command again' >&2
  exit 1
}
empty_dirs() { # deletes what is in directories, never in another file system
  local dir
  for dir in "$@"; do
    if [ -d "$dir" ]; then find "$dir" -xdev -mindepth 1 -delete; fi
  done
}
# Only what clouder put there: its own files, and links into its store.
wrote_unit() { # whether a unit is the one that clouder wrote
  [ "$(systemctl show -P FragmentPath "$1" 2>/dev/null)" = "/etc/systemd/system/$1.service" ] &&
    [ "$(head -n 1 "/etc/systemd/system/$1.service" 2>/dev/null)" = '# Written by clouder.' ]
}
# Others may use this containerd, Docker for example: its namespaces but that of Kubernetes, and what is in them.
others_in_containerd() {
  local dir namespace kind count
  for dir in {/run,/var/lib}/containerd/io.containerd.runtime.v2.task/*/*/; do
    namespace=$(basename "$(dirname "$dir")")
    if [ -d "$dir" ] && [ "$namespace" != k8s.io ]; then echo "namespace $namespace has container $(basename "$dir")"; fi
  done
  if ! command -v ctr > /dev/null || [ ! -e /run/containerd/containerd.sock ]; then return 0; fi
  for namespace in $(timeout 20 ctr namespaces list -q 2>/dev/null || true); do
    if [ "$namespace" = k8s.io ]; then continue; fi
    for kind in containers images; do
      count=$(timeout 20 ctr -n "$namespace" "$kind" list -q 2>/dev/null | wc -l)
      if [ "$count" -gt 0 ]; then echo "namespace $namespace has $count $kind"; fi
    done
  done
}
containerd_dirs=(/run/containerd /var/lib/containerd)
# Without a unit, an attempt before has removed it.
if wrote_unit containerd || [ -z "$(systemctl show -P FragmentPath containerd 2>/dev/null)" ]; then
  others=$(others_in_containerd | sort -u)
  if [ -n "$others" ]; then
    printf 'containerd is used by others than Kubernetes:\n%s\n' "$others" >&2
    echo 'nothing of it was deleted: remove what is named above (ctr -n NAMESPACE containers rm, images rm) or move it elsewhere, and run the same command again' >&2
    exit 1
  fi
else
  containerd_dirs=()
fi
for unit in kubelet containerd; do
  if wrote_unit "$unit"; then
    systemctl disable --now "$unit" 2>/dev/null || true
  fi
done
if [ -e /etc/systemd/system/clouder-metadata.service ]; then
  systemctl disable --now clouder-metadata.service 2>/dev/null || true
fi
if [ -e /etc/systemd/system/var-lib-clouder-memory.mount ]; then
  systemctl disable --now var-lib-clouder-memory.mount 2>/dev/null || true
fi
if [ "${#containerd_dirs[@]}" -gt 0 ]; then pkill -f /usr/local/bin/containerd-shim-runc-v2 2>/dev/null || true; fi
unmount_in "${containerd_dirs[@]}" /var/lib/kubelet
keep_mounts "${containerd_dirs[@]}" /var/lib/kubelet /var/lib/etcd /var/lib/clouder /run/clouder /opt/clouder \
  /usr/local/libexec/clouder ${containerd_dirs[0]:+/etc/containerd}
for unit in kubelet containerd; do
  if wrote_unit "$unit"; then
    rm -rf "/etc/systemd/system/$unit.service" "/etc/systemd/system/$unit.service.d"
  fi
done
systemctl daemon-reload
for dir in /usr/local/bin /usr/local/sbin /opt/cni/bin; do
  [ -d "$dir" ] || continue
  find "$dir" -maxdepth 1 -type l -lname '/opt/clouder/*' -delete
done
if [ -L /opt/cni/bin ]; then rm -f /opt/cni/bin; fi
empty_dirs /var/lib/clouder
rm -rf --one-file-system /usr/local/libexec/clouder ${containerd_dirs[0]:+/etc/containerd /run/containerd} /etc/criu/runc.conf \
  /etc/modules-load.d/clouder.conf /etc/sysctl.d/90-clouder.conf /etc/systemd/system/clouder-metadata.service \
  /etc/systemd/system/var-lib-clouder-memory.mount \
  /etc/systemd/networkd.conf.d/90-clouder-metadata.conf /run/clouder/agent \
  /run/clouder/restored /opt/clouder /var/log/kubernetes/audit
empty_dirs ${containerd_dirs[1]:-} /var/lib/kubelet /var/lib/etcd 2>/dev/null || true
# Folders that kubeadm, the kubelet, containerd and clouder made; what holds anything else, or is mounted, stays.
for dir in /var/lib/clouder /var/lib/containerd /var/lib/kubelet /var/lib/etcd /etc/criu /etc/cni/net.d /etc/cni /opt/cni/bin \
  /var/log/kubernetes /opt/cni /opt/containerd/bin /opt/containerd/lib /opt/containerd \
  /etc/kubernetes/{manifests,pki/etcd,pki,tmp} /etc/kubernetes \
  /usr/libexec/kubernetes/{kubelet-plugins/volume/exec,kubelet-plugins/volume,kubelet-plugins} /usr/libexec/kubernetes; do
  rmdir "$dir" 2>/dev/null || true
done
