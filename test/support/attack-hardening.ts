import {randomBytes} from 'node:crypto'
import {readFile} from 'node:fs/promises'
import {connect} from 'node:tls'
import {expect} from 'vitest'
import {z} from 'zod'
import {currentCredentials} from '../../src/kubernetes/kubeconfig.ts'
import type {KubeClient} from '../../src/kubernetes/types.ts'
import {attacked, ended, fetched, victim} from './attack-scene.ts'
import {kubectl} from './e2e-checkpoints.ts'
import type {Chapter} from './e2e-scenario.ts'

const PIDS = 4096
const KUBELET_PORT = 10_250
const PKI = '/etc/kubernetes/pki/etcd'
const ETCDCTL = `etcdctl --endpoints=https://127.0.0.1:2379 --cacert=${PKI}/ca.crt --cert=${PKI}/server.crt --key=${PKI}/server.key`

const FLAGS = {
  'kube-apiserver': [
    '--profiling=false',
    '--tls-min-version=VersionTLS12',
    '--enable-admission-plugins=NodeRestriction,EventRateLimit',
    '--admission-control-config-file=',
    '--authentication-config=',
    '--encryption-provider-config=',
    '--kubelet-certificate-authority=',
    '--audit-policy-file=',
    '--audit-log-path=',
  ],
  'kube-controller-manager': ['--profiling=false', '--terminated-pod-gc-threshold='],
  'kube-scheduler': ['--profiling=false'],
}
const commandSchema = z.looseObject({
  spec: z.looseObject({containers: z.array(z.looseObject({command: z.array(z.string())}))}),
})
const configzSchema = z.looseObject({kubeletconfig: z.looseObject({podPidsLimit: z.int()})})
const nodesSchema = z.array(
  z.looseObject({
    metadata: z.looseObject({name: z.string()}),
    status: z.looseObject({addresses: z.array(z.object({type: z.string(), address: z.string()}))}),
  }),
)

async function commandOf(kube: KubeClient, name: string): Promise<readonly string[]> {
  const pod = await kube.get({apiVersion: 'v1', kind: 'Pod', namespace: 'kube-system', name})
  return commandSchema.parse(pod).spec.containers.flatMap(({command}) => command)
}

/** Whether what listens there has a certificate of this authority, for this address. */
const isTrusted = (host: string, ca: string | undefined): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const socket = connect({host, port: KUBELET_PORT, ca, rejectUnauthorized: false, timeout: 10_000})
    socket.once('secureConnect', () => {
      resolve(socket.authorized)
      socket.destroy()
    })
    socket.once('timeout', () => socket.destroy(new Error(`${host} does not answer`)))
    socket.once('error', reject)
  })

export function attackHardening(chapter: Chapter): void {
  chapter(
    'who has the disk of etcd has no Secret, and who has no credential has nothing',
    async (cluster) => {
      await attacked(cluster, async ({root, nobody}) => {
        const value = randomBytes(16).toString('hex')
        const secret = {apiVersion: 'v1', kind: 'Secret', metadata: {name: 'hidden', namespace: 'team'}}
        await root.create({...secret, stringData: {value}})
        const etcdctl = `exec -n kube-system etcd-cp-1 -- ${ETCDCTL}`
        const stored = await kubectl(
          cluster,
          `${etcdctl} get /registry/secrets/team/hidden --print-value-only`,
        )
        expect(stored).toMatch(/^k8s:enc:/)
        expect(stored).not.toContain(value)

        const answers: [string, number][] = []
        for (const path of ['/api', '/version', '/api/v1/namespaces/kube-public/configmaps', '/livez'])
          answers.push([path, (await nobody.fetch(path)).status])
        expect(Object.fromEntries(answers)).toEqual({
          '/api': 401,
          '/version': 401,
          '/api/v1/namespaces/kube-public/configmaps': 401,
          '/livez': 200,
        })
      })
    },
  )

  chapter('the control plane and the kubelets run hardened', async (cluster) => {
    await attacked(cluster, async ({root}) => {
      for (const [program, flags] of Object.entries(FLAGS)) {
        const command = await commandOf(root, `${program}-cp-1`)
        expect(
          flags.filter((flag) => !command.some((word) => word.startsWith(flag))),
          program,
        ).toEqual([])
      }
      const {ca} = currentCredentials(await readFile(cluster.paths.kubeconfig, 'utf8'))
      const nodes = nodesSchema.parse(await root.list({apiVersion: 'v1', kind: 'Node'}))
      expect(nodes).toHaveLength(cluster.machines.length)
      for (const {metadata, status} of nodes) {
        const configz = await fetched(root, `/api/v1/nodes/${metadata.name}/proxy/configz`)
        expect(configzSchema.parse(JSON.parse(configz)).kubeletconfig.podPidsLimit).toBe(PIDS)
        const internal = status.addresses.find(({type}) => type === 'InternalIP')
        expect(await isTrusted(internal?.address ?? '', ca), metadata.name).toBe(true)
      }

      const pod = victim('team', 'counted', 'worker-1')
      await root.create(pod)
      await ended(root, pod, 'Running')
      const made = await root.get({apiVersion: 'v1', kind: 'Pod', namespace: 'team', name: 'counted'})
      const uid = made?.metadata.uid ?? ''
      // The cgroup drivers write a pod's uid in two ways.
      const limits = await cluster.read(
        'worker-1',
        `find /sys/fs/cgroup -type f -name pids.max \\( -path '*pod${uid}/pids.max' -o -path '*pod${uid.replaceAll('-', '_')}.slice/pids.max' \\) -exec cat {} +`,
      )
      expect(limits.trim().split('\n')).toEqual([String(PIDS)])
    })
  })
}
