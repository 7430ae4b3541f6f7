import {join} from 'node:path'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {clouder, type CliResult} from '../support/cli.ts'
import {failureOf, resultOf, stepLines, textOf, writeClusterFile} from '../support/byon-cluster.ts'
import {withNodes, type BareNode, type Nodes} from '../support/with-nodes.ts'
import {makeKey, startAgent} from '../support/with-sshd.ts'

const name = 'odd'
const PROXY = 'http://192.0.2.1:3128'
const KUBECTL = 'kubectl --kubeconfig /etc/kubernetes/admin.conf'
/** Where kubeadm would have copied the variables of its environment to. */
const PROXIES = `grep -rl PROXY /etc/kubernetes/manifests || true; ${KUBECTL} -n kube-system get daemonset kube-proxy -o yaml | grep PROXY || true`
/** As if kubeadm had once run with them. */
const COPIED = `set -e
  sed -i 's|^    image: .*|&\\n    env: [{name: HTTPS_PROXY, value: "${PROXY}"}]|' /etc/kubernetes/manifests/kube-scheduler.yaml
  grep -q PROXY /etc/kubernetes/manifests/kube-scheduler.yaml
  ${KUBECTL} -n kube-system set env daemonset/kube-proxy HTTPS_PROXY=${PROXY} NO_PROXY='*'`
const LEFTOVER = '/etc/cni/net.d/10-containerd-net.conflist'

/** One machine for each setting; what is done to it, what the preflight says of it, and what mends it. */
interface Odd {
  readonly name: string
  readonly setUp: string
  /** `level check: part of the problem`. */
  readonly told: readonly (readonly [level: 'error' | 'warning', check: string, problem: string])[]
  /** Empty: it stays as it is, and the cluster is made all the same. */
  readonly fix: string
}

const machines: readonly Odd[] = [
  {
    // The control plane: kubeadm would wait for its own API server through the proxy.
    name: 'proxy',
    setUp: `echo HTTPS_PROXY=${PROXY} >> /etc/environment; hostname Odd-Host`,
    told: [['warning', 'Proxy', 'HTTPS_PROXY in /etc/environment']],
    fix: '',
  },
  {
    name: 'units',
    setUp: `mkdir -p /etc/systemd/system.conf.d
      printf '[Manager]\\nDefaultEnvironment=HTTPS_PROXY=${PROXY}\\n' > /etc/systemd/system.conf.d/proxy.conf
      systemctl daemon-reload`,
    told: [
      ['error', 'Proxy', 'kubelet would send requests for'],
      ['warning', 'Proxy', 'containerd would send requests for'],
    ],
    fix: 'rm /etc/systemd/system.conf.d/proxy.conf; systemctl daemon-reload',
  },
  {
    name: 'cni',
    setUp: `mkdir -p /etc/cni/net.d
      echo '{"cniVersion":"1.0.0","name":"containerd-net","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}]]}}]}' > ${LEFTOVER}
      ip link add cni0 type bridge; ip addr add 10.88.0.1/16 dev cni0; ip link set cni0 up`,
    told: [
      ['error', 'CniConfiguration', `${LEFTOVER} (network containerd-net)`],
      ['error', 'PodInterfaces', 'cni0 has the address 10.88.0.1/16'],
    ],
    fix: `mkdir -p /root/cni && mv ${LEFTOVER} /root/cni/; ip link delete cni0`,
  },
  {
    name: 'resolver',
    setUp: 'cp /etc/resolv.conf /root/resolv.conf; echo nameserver 127.0.0.1 > /etc/resolv.conf',
    told: [['error', 'Resolver', '/etc/resolv.conf lists 127.0.0.1']],
    fix: 'cat /root/resolv.conf > /etc/resolv.conf',
  },
  {
    name: 'forwarding',
    setUp: `echo 'AllowTcpForwarding no' > /etc/ssh/sshd_config.d/00-forwarding.conf; systemctl restart ssh`,
    told: [],
    fix: '',
  },
  {
    // With eight keys in the agent the one that lets in would come too late.
    name: 'keys',
    setUp: `echo 'MaxAuthTries 3' > /etc/ssh/sshd_config.d/00-tries.conf; systemctl restart ssh`,
    told: [],
    fix: '',
  },
]

const noteSchema = z.looseObject({type: z.literal('note'), text: z.string(), host: z.string()})
const findingSchema = z.looseObject({
  host: z.string(),
  check: z.string(),
  problem: z.string(),
  fix: z.string(),
})

test('machines with odd settings are understood before anything is changed, and become a cluster after the fix', (context) =>
  withNodes(
    context,
    machines.map((machine) => ({name: machine.name})),
    async (given) => {
      await using agent = await startAgent(given.dir)
      for (let key = 0; key < 8; key += 1) {
        await makeKey(join(given.dir, `key-${key}`), 'ed25519')
        await agent.add(join(given.dir, `key-${key}`))
      }
      await Promise.all(given.nodes.map((node, index) => node.read(machines[index]?.setUp ?? 'false')))
      const config = await clusterFile(given)
      const run = (...args: readonly string[]): Promise<CliResult> =>
        clouder(['kubeadm', ...args, '--json'], {
          home: given.home,
          environment: {SSH_AUTH_SOCK: agent.socket},
        })

      const refused = await run('init', '--config', config)
      expect(failureOf(refused), textOf(refused)).toMatchObject({exitCode: 4, code: 'PREFLIGHT_FAILED'})
      const told = toldBy(refused)
      for (const [index, machine] of machines.entries()) {
        const node = nodeName(index)
        for (const [level, check, problem] of machine.told)
          expect(
            told.filter((line) => line.startsWith(`${level} ${node} ${check}: `) && line.includes(problem)),
            `${machine.name}: ${check}\n${told.join('\n')}`,
          ).not.toEqual([])
        if (machine.told.length === 0)
          expect(told.filter((line) => line.startsWith(`error ${node} `))).toEqual([])
      }
      expect(await changesOf(given.nodes), 'nothing was changed').toEqual([])

      await Promise.all(given.nodes.map((node, index) => node.read(machines[index]?.fix || 'true')))
      const made = await run('init', '--config', config)
      expect(
        resultOf(made).nodes?.map((node) => `${node.name} ${node.status}`),
        textOf(made),
      ).toEqual(machines.map((_machine, index) => `${nodeName(index)} Ready`))
      const plan = await run('plan', '--config', config, '--detailed-exitcode')
      expect(plan.exitCode, textOf(plan)).toBe(0)
      expect(stepLines(plan)).toEqual([])
      const [first] = given.nodes
      if (first === undefined) throw new Error('no machine')
      expect(await first.read(PROXIES), 'kubeadm copied no variable of the machine').toBe('')
      expect(await podsOf(first), 'pods of the system run, with addresses of the pod network').toEqual([])

      await first.read(COPIED)
      const repaired = stepLines(await run('init', '--config', config))
      expect(
        repaired.map((line) => line.split(': ')[0]),
        repaired.join('\n'),
      ).toEqual(expect.arrayContaining(['cp-1 control-plane', 'cp-1 kubeadm-init']))
      expect(await first.read(PROXIES), 'what was copied once is put right').toBe('')
      const again = await run('plan', '--config', config, '--detailed-exitcode')
      expect(stepLines(again)).toEqual([])
    },
  ))

const nodeName = (index: number): string => (index === 0 ? 'cp-1' : `worker-${index}`)

const clusterFile = ({dir, nodes}: Nodes): Promise<string> => {
  const [cp, ...workers] = nodes.map(({address}) => ({address}))
  return writeClusterFile(dir, name, {
    provider: {kind: 'byon'},
    ssh: {keyPath: nodes[0]?.keyPath},
    controlPlane: {hosts: [cp]},
    workers: [{hosts: workers}],
  })
}

/** `level host check: problem`, of what stopped the run and of what it noted. */
function toldBy(run: CliResult): readonly string[] {
  const notes = run.events.flatMap((event) => {
    const {success, data} = noteSchema.safeParse(event)
    return success ? [`warning ${data.host} ${data.text}`] : []
  })
  const {findings} = z.looseObject({findings: z.array(findingSchema)}).parse(run.events.at(-1))
  return [...findings.map(({host, check, problem}) => `error ${host} ${check}: ${problem}`), ...notes]
}

/** What clouder would leave. */
async function changesOf(nodes: readonly BareNode[]): Promise<readonly string[]> {
  const found = await Promise.all(
    nodes.map((node) =>
      node.read('ls -d /opt/clouder /etc/containerd /etc/kubernetes/clouder 2>/dev/null || true'),
    ),
  )
  return found.filter((text) => text !== '')
}

/** Pods of the system that do not run as they should, one line each. */
async function podsOf(controlPlane: BareNode): Promise<readonly string[]> {
  const rows = await controlPlane.read(
    `${KUBECTL} get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.phase} {.spec.hostNetwork} {.status.podIP} {.spec.nodeName}{"\\n"}{end}'`,
  )
  const cidrs = new Map(
    (
      await controlPlane.read(
        `${KUBECTL} get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.spec.podCIDR}{"\\n"}{end}'`,
      )
    )
      .trim()
      .split('\n')
      .map((line) => {
        const [node = '', cidr = ''] = line.split(' ')
        return [node, cidr.replace(/\.0\/24$/, '.')]
      }),
  )
  return rows
    .trim()
    .split('\n')
    .filter((line) => {
      const [, phase, hostNetwork, address = '', node = ''] = line.split(' ')
      const isInside = hostNetwork === 'true' || address.startsWith(cidrs.get(node) ?? 'none')
      return phase !== 'Running' || !isInside
    })
}
