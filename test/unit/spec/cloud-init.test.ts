import {expect, test} from 'vitest'
import {cloudInitOf} from '../../../src/spec/cloud-init.ts'

test('every node of a cloud gets a user with the key of the cluster, and host keys of its own on the console', () => {
  expect(cloudInitOf('ssh-ed25519 AAAA')).toBe(`#cloud-config
users:
  - name: clouder
    shell: /bin/bash
    lock_passwd: true
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys:
      - ssh-ed25519 AAAA
disable_root: true
ssh_pwauth: false
ssh_deletekeys: true
ssh_genkeytypes:
  - ed25519
ssh:
  emit_keys_to_console: true
`)
})
