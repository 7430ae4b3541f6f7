import {stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {ensureSshKey, readPublicKey} from '../../../../src/infrastructure/providers/ssh-key.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

test('a key is made once and readable by its owner only', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'demo', 'id_ed25519')
    const publicKey = await ensureSshKey(path)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await ensureSshKey(path)).toBe(publicKey)
  })
})

test('a file that is no key is replaced', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'id_ed25519')
    await writeFile(path, '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n')
    const publicKey = await ensureSshKey(path)
    expect(publicKey).toMatch(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5/)
    expect(await readPublicKey(path)).toBe(publicKey)
  })
})
