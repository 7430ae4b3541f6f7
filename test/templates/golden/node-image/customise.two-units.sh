#!/bin/bash
# Turns a Debian with systemd and sshd into a node image: what a container cannot use is masked, what must be
# unique to each machine is taken out. Runs as root inside the image; safe to run twice.
set -euo pipefail

for unit in getty.target apt-daily.timer; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done

mkdir -p /etc/systemd/system/ssh.service.d /etc/ssh/sshd_config.d /etc/systemd/journald.conf.d
cat > /etc/systemd/system/ssh.service.d/host-keys.conf <<'END'
[Unit]
After=systemd-tmpfiles-setup.service
[Service]
ExecStartPre=
ExecStartPre=/bin/bash -c 'key=/etc/ssh/ssh_host_ed25519_key; [ -s $$key.pub ] || { rm -f $$key; ssh-keygen -q -t ed25519 -N "" -f $$key; }'
ExecStartPre=/usr/sbin/sshd -t
END
cat > /etc/ssh/sshd_config.d/10-clouder.conf <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxSessions 64
MaxStartups 64
END
cat > /etc/systemd/journald.conf.d/10-clouder.conf <<'END'
[Journal]
RuntimeMaxUse=64M
END
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf /usr/lib/systemd/system/ssh.service /etc/systemd/system/multi-user.target.wants/ssh.service
ln -sf /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target

mkdir -p /root/.ssh
chmod 700 /root/.ssh

# Made again at first boot, so that no two machines share them.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id

rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt /var/cache/debconf/*-old
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /usr/share/info/*
