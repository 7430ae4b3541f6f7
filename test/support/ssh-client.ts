/** A program of its own that runs one script over SSH, for tests that kill it. */
import {z} from 'zod'
import {createKnownHosts} from '../../src/bootstrap/hosts/known-hosts.ts'
import {createRedactor} from '../../src/base/redaction.ts'
import {sshConnector} from '../../src/bootstrap/hosts/ssh.ts'
import {machineSchema} from '../../src/spec/machine.ts'

const taskSchema = z.object({machine: machineSchema, knownHosts: z.string(), script: z.string()})

async function runTask(message: unknown): Promise<void> {
  const {machine, knownHosts, script} = taskSchema.parse(message)
  const connector = sshConnector({
    knownHosts: createKnownHosts({clusterFile: knownHosts, policy: 'first-use'}),
    secrets: () => Promise.reject(new Error('no secrets here')),
    redactor: createRedactor(),
  })
  const host = await connector.connect(machine, {signal: AbortSignal.timeout(60_000)})
  await host.runScript({name: 'test/task.sh', text: script})
  await host.close()
}

process.once('message', (message) => void runTask(message))
