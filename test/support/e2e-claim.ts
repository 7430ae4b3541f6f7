import {execFile} from 'node:child_process'
import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {gzipSync} from 'node:zlib'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {kubectl} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {withTempFolder} from './temp-folder.ts'

const run = promisify(execFile)
const PATH = '/mnt/shared-claim'
const DISK = '/var/tmp/shared-claim.ext4'

/**
 * A claim `shared` in a namespace whose volume several machines reach, as one of a network would be: an ext4 file
 * system on one loop device, which the kernel that they share mounts in each of them. It goes with the machines.
 */
export async function makeSharedClaim(
  cluster: E2eCluster,
  namespace: string,
  machines: readonly string[],
): Promise<void> {
  const [first = '', ...others] = machines
  await withTempFolder(async (folder) => {
    const file = join(folder, 'disk')
    await run('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', file, '8M'])
    // The engine takes text.
    const content = gzipSync(await readFile(file), {level: 1}).toString('base64')
    const path = `${DISK}.gz.b64`
    await cluster.engine.putFile(containerName(cluster.name, first), {path, content, mode: 0o600})
  })
  const nodes = `[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
    for number in $(seq 0 31); do [ -e /dev/loop$number ] || mknod /dev/loop$number b 7 $number; done
    mkdir -p ${PATH}`
  const mounted = `findmnt -n -o SOURCE ${PATH}`
  const [device = ''] = (
    await cluster.read(
      first,
      `set -e; ${nodes}
      ${mounted} > /dev/null || { base64 -d ${DISK}.gz.b64 | gunzip > ${DISK}; mount -o loop ${DISK} ${PATH}; }
      chmod 777 ${PATH}
      ${mounted}`,
    )
  ).split('\n')
  for (const machine of others)
    await cluster.read(machine, `set -e; ${nodes}; ${mounted} > /dev/null || mount ${device} ${PATH}`)
  await offerVolume(cluster, {namespace, claimName: 'shared', path: PATH})
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {name: 'shared', namespace},
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: '',
      resources: {requests: {storage: '8Mi'}},
    },
  }
  await kubectl(cluster, 'apply -f -', JSON.stringify(claim))
  await kubectl(cluster, `wait pvc/shared -n ${namespace} --for=jsonpath={.status.phase}=Bound --timeout=60s`)
}

/** A folder of that file system as the volume of a claim that somebody makes. */
export async function offerSharedFolder(
  cluster: E2eCluster,
  machine: string,
  {namespace, claimName}: {readonly namespace: string; readonly claimName: string},
): Promise<void> {
  const path = `${PATH}/${claimName}`
  await cluster.read(machine, `mkdir -p -m 777 ${path}`)
  await offerVolume(cluster, {namespace, claimName, path})
}

async function offerVolume(
  cluster: E2eCluster,
  {
    namespace,
    claimName,
    path,
  }: {readonly namespace: string; readonly claimName: string; readonly path: string},
): Promise<void> {
  const volume = {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {name: `${namespace}-${claimName}`},
    spec: {
      capacity: {storage: '8Mi'},
      accessModes: ['ReadWriteOnce'],
      storageClassName: '',
      claimRef: {namespace, name: claimName},
      hostPath: {path, type: 'Directory'},
    },
  }
  await kubectl(cluster, 'apply -f -', JSON.stringify(volume))
}
