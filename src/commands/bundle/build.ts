import {stat} from 'node:fs/promises'
import {homedir} from 'node:os'
import {resolve} from 'node:path'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {bundleChoiceFlags, chosenBundle} from '../../cli/bundle-flags.ts'

export default class BundleBuild extends BaseCommand {
  static override summary = 'build the bundle that nodes install from'
  static override description =
    'A folder with every binary, OS package and image of a Kubernetes version, pinned by digest. What is in the cache is not downloaded again; an interrupted build continues.'
  static override examples = [
    {description: 'for the default version', command: '<%= config.bin %> bundle build'},
    {
      description: 'from Go modules, packed into one file to copy elsewhere',
      command: '<%= config.bin %> bundle build --source go --pack bundle.tar.zst',
    },
  ]
  static override flags = {
    ...bundleChoiceFlags,
    source: Flags.option({
      description: 'what to build from; auto: releases if they can be reached, otherwise Go modules',
      env: 'CLOUDER_BUNDLE_SOURCE',
      options: ['auto', 'release', 'go'] as const,
      default: 'auto',
    })(),
    pack: Flags.string({
      description: 'also write the bundle to this file, as .tar.zst',
      env: 'CLOUDER_BUNDLE_PACK',
      helpValue: 'FILE',
    }),
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(BundleBuild)
    const [{cacheDir}, {useProxyOf}, {bundleDir}, {buildBundle}, {bundleText}, {formatBytes}] =
      await Promise.all([
        import('../../wiring.ts'),
        import('../../bundle/proxy.ts'),
        import('../../bundle/load.ts'),
        import('../../bundle/build.ts'),
        import('../../cli/bundle-results.ts'),
        import('../../cli/duration.ts'),
      ])
    const {kubernetes, arch} = chosenBundle(flags)
    const {report, signal} = await this.tools()
    await useProxyOf(process.env)
    const cache = cacheDir(process.env, homedir())
    const bundle = await buildBundle({
      kubernetes,
      arch,
      source: flags.source,
      dir: flags.dir === undefined ? bundleDir(cache, kubernetes, arch) : resolve(flags.dir),
      cacheDir: cache,
      packageRoot: this.config.root,
      report,
      signal,
      environment: process.env,
    })
    const options = {colours: this.colours, columns: this.terminal.columns}
    if (flags.pack === undefined) {
      await this.show(bundle, () => bundleText(bundle, options))
      return
    }
    const {packBundle} = await import('../../bundle/archive.ts')
    const file = resolve(flags.pack)
    await packBundle(bundle, file, signal)
    const {size: fileSizeBytes} = await stat(file)
    const packed = `packed as one file, ${formatBytes(fileSizeBytes)}: ${file}`
    await this.show({...bundle, file, fileSizeBytes}, () => `${bundleText(bundle, options)}\n${packed}`)
  }
}
