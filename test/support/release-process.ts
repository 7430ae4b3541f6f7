/** A process that applies a release, and says when objects are being applied. Arguments: kubeconfig, port. */
import {readFile} from 'node:fs/promises'
import {openKube} from '../../src/kubernetes/client.ts'
import {applyRelease} from '../../src/platform/release/apply.ts'
import {planRelease} from '../../src/platform/release/plan.ts'
import {processRelease} from './release-process-objects.ts'

const [file = '', port = ''] = process.argv.slice(2)
const {signal} = new AbortController()
const kube = await openKube({kubeconfig: await readFile(file, 'utf8'), port: Number(port), signal})
await applyRelease(kube, await planRelease(kube, processRelease()), {
  signal,
  now: Date.now,
  holder: `process ${process.pid}`,
  progress: (text) => {
    if (text.includes('objects')) process.stdout.write(`${text}\n`)
  },
})
kube.close()
