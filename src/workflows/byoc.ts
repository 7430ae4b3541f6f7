import {z} from 'zod'
import {API_VERSION, CAPABILITY_PREFIX, SYSTEM_NAMESPACE} from '../checkpoint/names.ts'
import {labelValue, objectName} from '../checkpoint/object-names.ts'
import {nodeSchema, type Node} from '../checkpoint/pod.ts'
import {containerHostSchema, type ContainerHost} from '../checkpoint/resources.ts'
import {CheckpointError, ConfigError, KubernetesError} from '../errors.ts'
import type {KubeApi, KubeObject, KubeReader} from '../kubernetes/types.ts'
import type {Renderer} from '../templating/types.ts'
import {listObjects, messageOf, nearNames, readAs, refTo} from './checkpoint-objects.ts'

const LABEL = 'clouder.dev/container-host'
const TOKEN_SECONDS = 365 * 24 * 3600

export interface RegisterOptions {
  readonly name: string
  readonly capabilities: Readonly<Record<string, string>>
  readonly slots: number
  /** Where the host reaches the API server, `host:port`. */
  readonly endpoint: string
}

export interface Registration {
  readonly host: ContainerHost
  /**
   * For a host that is no node of the cluster: it holds a token that may write the status of this one host, and
   * nothing else.
   */
  readonly script?: string
}

const tokenSchema = z.looseObject({status: z.looseObject({token: z.string()})})
const caSchema = z.looseObject({data: z.looseObject({'ca.crt': z.string()})})

/**
 * Enrols a container host, or changes one. One that has joined as a node gets its capabilities as labels, for pods and
 * runtimes to be placed by; any other a script that tells that it is there. Throws ConfigError FLAG_INVALID.
 */
export async function registerHost(
  kube: KubeApi,
  {name, capabilities, slots, endpoint}: RegisterOptions,
  {
    renderer,
    hideSecret,
    signal,
  }: {
    readonly renderer: Renderer
    readonly hideSecret: (value: string) => void
    readonly signal: AbortSignal
  },
): Promise<Registration> {
  const labels = labelsOf(capabilities)
  const [node, known] = [await nodeOf(kube, name), await findHost(kube, name)]
  await writeHost(kube, name, {capabilities, slots, drain: false}, known, signal)
  if (node !== undefined) {
    await kube.patch(nodeRef(name), {
      metadata: {labels: {...withoutCapabilities(node), ...labels}},
      // Taken back after a drain; a node that somebody else has cordoned stays so.
      ...(known?.spec.drain === true ? {spec: {unschedulable: null}} : {}),
    })
    return {host: await readHost(kube, name)}
  }
  await kube.apply(accessOf(name), signal)
  const path = `/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/${accountOf(name)}/token`
  const request = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {expirationSeconds: TOKEN_SECONDS},
  }
  const answer = await kube.post(path, JSON.stringify(request), signal)
  if (answer.status >= 300)
    throw new KubernetesError('API_REJECTED', `cannot make a token for ${name}: ${messageOf(answer.body)}`)
  const {token} = tokenSchema.parse(JSON.parse(answer.body)).status
  hideSecret(token)
  const ca = await kube.get({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: SYSTEM_NAMESPACE,
    name: 'kube-root-ca.crt',
  })
  const script = renderer.render('byoc/heartbeat.sh', {
    name,
    url: `https://${endpoint}/apis/${API_VERSION}/containerhosts/${name}/status`,
    ca: caSchema.parse(ca).data['ca.crt'],
    token,
  })
  return {host: await readHost(kube, name), script}
}

/** Makes a host or changes it: not by apply, which makes a map null when the last of its entries goes. */
async function writeHost(
  kube: KubeApi,
  name: string,
  spec: Pick<RegisterOptions, 'capabilities' | 'slots'> & {readonly drain: boolean},
  known: ContainerHost | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (known === undefined) {
    const metadata = {name, labels: {[LABEL]: labelValue(name)}}
    return kube.apply([{apiVersion: API_VERSION, kind: 'ContainerHost', metadata, spec}], signal)
  }
  const gone = Object.keys(known.spec.capabilities ?? {}).map((key) => [key, null] as const)
  const capabilities = {...Object.fromEntries(gone), ...spec.capabilities}
  await kube.patch(refTo('ContainerHost', name), {spec: {...spec, capabilities}})
}

const nodeRef = (name: string) => ({apiVersion: 'v1', kind: 'Node', name}) as const

/** The node of that name, when the host has joined. */
async function nodeOf(kube: KubeReader, name: string): Promise<Node | undefined> {
  const found = await kube.get(nodeRef(name))
  return found === undefined ? undefined : nodeSchema.parse(found)
}

/** Placement is by labels, so a capability is what a label can be. */
function labelsOf(capabilities: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const word = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/
  const labels = Object.entries(capabilities).map(([key, value]) => {
    if (word.test(key) && (value === '' || word.test(value)))
      return [`${CAPABILITY_PREFIX}${key}`, value] as const
    throw new ConfigError(
      'FLAG_INVALID',
      `--capability ${JSON.stringify(`${key}=${value}`)} is no label, expected letters, digits, ".", "_" and "-"`,
    )
  })
  return Object.fromEntries(labels)
}

/** A merge patch takes away what is null. */
const withoutCapabilities = ({metadata}: Node): Readonly<Record<string, null>> =>
  Object.fromEntries(
    Object.keys(metadata.labels)
      .filter((key) => key.startsWith(CAPABILITY_PREFIX))
      .map((key) => [key, null]),
  )

/** Of the names of accounts and roles. */
const MOST_OF_NAME = 253
const accountOf = (name: string): string => objectName(['container-host', name], MOST_OF_NAME)

/** An account that may write how this one host is. */
function accessOf(name: string): readonly KubeObject[] {
  const account = accountOf(name)
  const metadata = {name: account, labels: {[LABEL]: labelValue(name)}}
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  return [
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: {...metadata, namespace: SYSTEM_NAMESPACE},
      automountServiceAccountToken: false,
    },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata,
      rules: [
        {
          apiGroups: ['clouder.dev'],
          resources: ['containerhosts/status'],
          resourceNames: [name],
          verbs: ['patch'],
        },
      ],
    },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: account},
      subjects: [{kind: 'ServiceAccount', name: account, namespace: SYSTEM_NAMESPACE}],
    },
  ]
}

export const listHosts = (kube: KubeReader): Promise<readonly ContainerHost[]> =>
  listObjects(kube, 'ContainerHost', containerHostSchema)

async function findHost(kube: KubeReader, name: string): Promise<ContainerHost | undefined> {
  const found = await kube.get(refTo('ContainerHost', name))
  return found === undefined ? undefined : readAs(containerHostSchema, found)
}

async function readHost(kube: KubeReader, name: string): Promise<ContainerHost> {
  const found = await findHost(kube, name)
  if (found !== undefined) return found
  const known = (await listHosts(kube)).map(({metadata}) => metadata.name)
  const near = nearNames(name, known)
  throw new CheckpointError('CHECKPOINT_UNKNOWN', `there is no container host ${JSON.stringify(name)}`, {
    suggestions: [near.length === 0 ? 'clouder byoc ls' : `near it: ${near.join(', ')}`],
  })
}

/** Gives the host no more work; what runs there goes on. A node is cordoned. */
export async function drainHost(kube: KubeApi, name: string): Promise<ContainerHost> {
  await readHost(kube, name)
  await kube.patch(refTo('ContainerHost', name), {spec: {drain: true}})
  if ((await nodeOf(kube, name)) !== undefined) await kube.patch(nodeRef(name), {spec: {unschedulable: true}})
  return readHost(kube, name)
}

/** Takes a host away, with its account, whose token is worth nothing from then on, or the labels of its node. */
export async function removeHost(kube: KubeApi, name: string): Promise<ContainerHost> {
  const host = await readHost(kube, name)
  const node = await nodeOf(kube, name)
  if (node !== undefined) await kube.patch(nodeRef(name), {metadata: {labels: withoutCapabilities(node)}})
  for (const {apiVersion, kind, metadata} of accessOf(name)) {
    const {namespace} = metadata
    await kube.remove({
      apiVersion,
      kind,
      name: metadata.name,
      ...(namespace === undefined ? {} : {namespace}),
    })
  }
  await kube.remove(refTo('ContainerHost', name))
  return host
}
