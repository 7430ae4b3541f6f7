#!/bin/bash
# First process of a node: makes the container look like a machine to systemd and the kubelet, then becomes systemd.
set -euo pipefail

mount -o remount,rw /sys
# A plain remount of a cgroup mount says busy: the superblock is shared with the engine's machine, the mount is ours.
for mount_point in $(awk '$2 ~ "^/sys/fs/cgroup" && $3 ~ /^cgroup/ {print $2}' /proc/self/mounts); do
  mount -o remount,bind,rw "$mount_point"
done
mount --make-rshared /
# The kubelet reads kernel messages and does not start without them.
[ -e /dev/kmsg ] || mknod /dev/kmsg c 1 11

# The engine's own resolver listens on the node's loopback, where no pod reaches it.
if [ -n "${CLOUDER_NAMESERVERS:-}" ]; then
  for server in $CLOUDER_NAMESERVERS; do echo "nameserver $server"; done > /etc/resolv.conf
fi

exec /sbin/init
