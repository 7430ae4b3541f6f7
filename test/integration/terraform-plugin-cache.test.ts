import {lstat, mkdir, readlink, rm, writeFile} from 'node:fs/promises'
import {arch} from 'node:os'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {PluginCache} from '../../src/terraform/plugin-cache.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {terraformIn, terraformOrSkip} from '../support/with-terraform.ts'

const SOURCE = 'example.test/acme/toy'
const PLATFORM = `linux_${arch() === 'x64' ? 'amd64' : arch()}`

test('a provider that was installed for one folder serves the next one, without being installed again', async (context) => {
  await terraformOrSkip('/', context)
  await withTempFolder(async (home) => {
    // Terraform starts no provider to install it.
    const mirrored = join(home, 'mirror', SOURCE, '1.2.0', PLATFORM)
    await mkdir(mirrored, {recursive: true})
    await writeFile(join(mirrored, 'terraform-provider-toy_v1.2.0'), '#!/bin/sh\nexit 1\n', {mode: 0o755})
    const configFile = join(home, 'terraformrc')
    const mirror = `filesystem_mirror {\n path = "${join(home, 'mirror')}"\n }`
    await writeFile(configFile, `provider_installation {\n ${mirror}\n}\n`)
    const pluginCache: PluginCache = {
      dir: join(home, 'plugins'),
      versionsDir: join(home, 'versions'),
      lock: () => Promise.resolve({[Symbol.asyncDispose]: () => Promise.resolve()}),
      now: Date.now,
    }
    await mkdir(pluginCache.versionsDir)
    const cached = join(pluginCache.dir, SOURCE, '1.2.0', PLATFORM)
    const init = async (name: string): Promise<string> => {
      const dir = join(home, name)
      await mkdir(dir)
      const configuration = {terraform: {required_providers: {toy: {source: SOURCE, version: '~> 1.0'}}}}
      await writeFile(join(dir, 'cdk.tf.json'), JSON.stringify(configuration))
      const environment = {...process.env, TF_CLI_CONFIG_FILE: configFile}
      const terraform = await terraformIn(dir, {pluginCache, environment})
      await terraform.init({signal: AbortSignal.timeout(60_000)})
      return readlink(join(dir, '.terraform/providers', SOURCE, '1.2.0', PLATFORM))
    }
    expect(await init('first')).toBe(cached)
    const before = await lstat(cached)
    expect(await init('second')).toBe(cached)
    const after = await lstat(cached)
    expect([after.ino, after.ctimeMs]).toEqual([before.ino, before.ctimeMs])
    // Without the checksums of the first one Terraform would have installed it anew.
    await rm(pluginCache.versionsDir, {recursive: true})
    await mkdir(pluginCache.versionsDir)
    expect(await init('third')).toBe(cached)
    expect((await lstat(cached)).ctimeMs).not.toBe(before.ctimeMs)
  })
})
