import {homedir} from 'node:os'
import {resolve} from 'node:path'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleChoiceFlags, chosenBundle} from '../../cli/bundle-flags.ts'

export default class BundleVerify extends BaseCommand {
  static override summary =
    'verify that a bundle is complete: every digest, and every image that a cluster needs'
  static override examples = [
    {description: 'the bundle in the cache', command: '<%= config.bin %> bundle verify'},
    {
      description: 'a bundle copied from elsewhere',
      command: '<%= config.bin %> bundle verify --dir bundle.tar.zst',
    },
  ]
  static override flags = {
    ...bundleChoiceFlags,
    dir: Flags.string({
      description: 'folder or .tar.zst of the bundle; default: the bundle in the cache folder',
      env: 'CLOUDER_BUNDLE',
      helpValue: 'DIR|FILE',
    }),
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(BundleVerify)
    const [{cacheDir}, {bundleDir}, {openBundle}, {verifyBundle}, {expectedReferences}, {formatBytes}] =
      await Promise.all([
        import('../../wiring.ts'),
        import('../../bundle/load.ts'),
        import('../../bundle/archive.ts'),
        import('../../bundle/verify.ts'),
        import('../../bundle/catalogue.ts'),
        import('../../cli/duration.ts'),
      ])
    const {kubernetes, arch} = chosenBundle(flags)
    const {signal} = await this.tools()
    const cache = cacheDir(process.env, homedir())
    const path = flags.dir === undefined ? bundleDir(cache, kubernetes, arch) : resolve(flags.dir)
    const bundle = await openBundle(path, cache, signal)
    const references = expectedReferences(bundle.lock.kubernetes)
    const verified = await verifyBundle(bundle, {references, signal})
    await this.show(
      {dir: bundle.dir, kubernetes: bundle.lock.kubernetes, arch: bundle.lock.arch, ...verified},
      () => {
        const size = formatBytes(verified.sizeBytes)
        return `${bundle.dir}: ${verified.items} items, ${size}, every digest matches and every image is present`
      },
    )
  }
}
