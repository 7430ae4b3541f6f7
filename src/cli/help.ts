import {Help} from '@oclif/core'
import {rootHelp} from './root-help.ts'

/** oclif's help, with our own root page: the same text that bin/run.js prints without loading oclif. */
export default class ClouderHelp extends Help {
  override showRootHelp(): Promise<void> {
    const program = {
      bin: this.config.bin,
      version: this.config.version,
      description: String(this.config.pjson.description),
    }
    process.stdout.write(rootHelp(program, this.config.commands))
    return Promise.resolve()
  }
}
