import {homedir} from 'node:os'
import {BaseCommand} from '../../cli/base-command.ts'

export default class BundleLs extends BaseCommand {
  static override summary = 'list the bundles in the cache'
  static override examples = [
    {description: 'all bundles', command: '<%= config.bin %> bundle ls'},
    {description: 'with every item, as JSON', command: '<%= config.bin %> bundle ls --json'},
  ]

  async run(): Promise<void> {
    await this.parse(BundleLs)
    const [{cacheDir}, {bundlesDir, listBundles}, {bundlesText}] = await Promise.all([
      import('../../wiring.ts'),
      import('../../bundle/load.ts'),
      import('../../cli/bundle-results.ts'),
    ])
    const bundles = await listBundles(bundlesDir(cacheDir(process.env, homedir())))
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({bundles}, () => bundlesText(bundles, options))
  }
}
