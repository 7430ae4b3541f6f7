/** A process that applies the stack of a folder, and says when the first resource is begun. Arguments: folder, hostname. */
import {hostname} from 'node:os'
import {terraformIn} from './with-terraform.ts'

const [dir = ''] = process.argv.slice(2)
const {signal} = new AbortController()
const terraform = await terraformIn(dir, {hostname: hostname()})
await terraform.init({signal})
const {file} = await terraform.plan({signal})
await terraform.apply(file, {
  signal,
  onProgress: ({state, address}) => process.stdout.write(`${state} ${address}\n`),
})
