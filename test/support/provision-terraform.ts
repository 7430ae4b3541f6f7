/**
 * Provisions demo over this machine's Terraform, or only looks, as a process that a test can kill; every event is a
 * line. Arguments: home, `look`.
 */
import {join} from 'node:path'
import {contextIn} from './local-cluster.ts'
import {demoProvider, looking, outside} from './terraform-cluster.ts'
import {awsDemo} from './terraform-demo.ts'
import {terraformIn} from './with-terraform.ts'

const [home = '', what = 'provision'] = process.argv.slice(2)
const around = outside({madeFile: join(home, 'made')})
const provider = demoProvider(around, (dir) => terraformIn(dir), join(home, 'tmp'))
const report = (event: object) => void process.stdout.write(`${JSON.stringify(event)}\n`)
const context = {...contextIn(home, 'demo'), report}
if (what === 'look') await provider.plan(awsDemo(), looking(context))
else await provider.provision(awsDemo(), context)
