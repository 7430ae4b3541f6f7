/** A process that keeps one context after the other. Arguments: home, number of this process, how many. */
import {diskContexts} from '../../src/infrastructure/contexts/contexts.ts'

const [home = '', number = '', times = ''] = process.argv.slice(2)
const contexts = diskContexts({home, now: Date.now, pid: process.pid, hostname: 'laptop'})
for (let time = 0; time < Number(times); time += 1)
  await contexts.set(`of-${number}-${time}`, {provider: 'azure'}, {makeCurrent: false})
