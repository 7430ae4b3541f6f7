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
# kubeadm would unmount in the order of mounting, and not where a name has a space; it deletes what is below these.
systemctl stop kubelet 2>/dev/null || true
unmount_in /var/lib/kubelet
# Memory of processes, which is gone with it.
systemctl stop var-lib-clouder-memory.mount 2>/dev/null || true
keep_mounts /var/lib/kubelet /var/lib/etcd /etc/kubernetes /var/lib/cni /run/flannel /run/clouder /var/lib/clouder
kubeadm reset --force --cri-socket 'unix:///run/containerd/containerd.sock'
systemctl stop kubelet 2>/dev/null || true
rm -rf --one-file-system /etc/cni/net.d/10-flannel.conflist /var/lib/cni /run/flannel /run/clouder/join
# Memory of processes in clear, and who was restored from it.
empty_dirs /var/lib/clouder/dumps /var/lib/clouder/archives /var/lib/clouder/restore /var/lib/kubelet/checkpoints /run/clouder/agent \
  /run/clouder/restored
empty_dirs /var/lib/clouder/store
for link in cni0 flannel.1; do
  if ip link show "$link" > /dev/null 2>&1; then ip link delete "$link"; fi
done
# Only the chains that Kubernetes and flannel made; rules of others stay.
for family in iptables ip6tables; do
  if command -v "$family-save" > /dev/null; then
    "$family-save" 2>/dev/null | grep -vE 'KUBE-|CNI-|FLANNEL-|cni0|flannel\.1' | "$family-restore" 2>/dev/null || true
  fi
done
if command -v nft > /dev/null; then nft delete table inet clouder-services 2>/dev/null || true; fi
# At last: as long as it is there, the next run knows that this one was killed.
rm -rf --one-file-system /etc/kubernetes/clouder
