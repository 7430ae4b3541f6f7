import {stringify} from 'yaml'

/** Who logs in on machines that a cloud makes. */
export const CLOUD_USER = 'clouder'

/**
 * cloud-init's configuration of every node, the same for all and without a secret. Host keys are made at first boot and
 * printed to the console by cloud-init's module keys-to-console, from where they are read before anybody connects.
 */
export function cloudInitOf(sshPublicKey: string): string {
  const config = {
    // Without `default` in the list, the image's own user is not made.
    users: [
      {
        name: CLOUD_USER,
        shell: '/bin/bash',
        lock_passwd: true,
        sudo: 'ALL=(ALL) NOPASSWD:ALL',
        ssh_authorized_keys: [sshPublicKey],
      },
    ],
    disable_root: true,
    ssh_pwauth: false,
    // Keys that lie in the image would be the same on every machine made from it.
    ssh_deletekeys: true,
    ssh_genkeytypes: ['ed25519'],
    ssh: {emit_keys_to_console: true},
  }
  return `#cloud-config\n${stringify(config, {lineWidth: 0})}`
}
