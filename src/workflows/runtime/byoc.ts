import {z} from 'zod'
import {
  API_VERSION,
  CAPABILITY_PREFIX,
  HOST_ACCOUNT,
  HOST_TOKEN_SECONDS,
  SYSTEM_NAMESPACE,
} from '../../api/names.ts'
import {labelValue, objectName} from '../../api/object-names.ts'
import {nodeSchema, type Node} from '../../kubernetes/pod.ts'
import {containerHostSchema, type ContainerHost} from '../../api/resources.ts'
import {ConfigError} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {retryOnConflict} from '../../kubernetes/conflict.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, KubeReader} from '../../kubernetes/types.ts'
import type {Renderer} from '../../base/renderer.ts'
import {listObjects, messageOf, nearNames, readAs, refTo} from '../checkpoint/objects.ts'

const LABEL = 'clouder.dev/container-host'

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
   * For a host that is no node of the cluster: it holds a token that may write the status of this one host and renew
   * itself, and nothing else.
   */
  readonly script?: string
}

/** The host sends the same to renew its token. */
const TOKEN_REQUEST = JSON.stringify({
  apiVersion: 'authentication.k8s.io/v1',
  kind: 'TokenRequest',
  spec: {expirationSeconds: HOST_TOKEN_SECONDS},
})
const tokenSchema = z.looseObject({status: z.looseObject({token: z.string()})})
const CA = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  namespace: SYSTEM_NAMESPACE,
  name: 'kube-root-ca.crt',
} as const
const caSchema = z.looseObject({data: z.looseObject({'ca.crt': z.string()})})

/**
 * Enrols a container host, or changes one. One that has joined as a node gets its capabilities as labels, for pods and
 * runtimes to be placed by; any other a script that tells that it is there. Throws ConfigError FLAG_INVALID.
 */
export async function registerHost(
  kube: KubeClient,
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
  const known = await writeHost(kube, name, {capabilities, slots, unschedulable: false}, signal)
  // Taken back after a drain; a node that somebody else has cordoned stays so.
  const back = known?.spec.unschedulable === true ? {spec: {unschedulable: null}} : {}
  if (await labelNode(kube, name, labels, back)) {
    // Of the time before it joined, when it told by itself that it is there.
    await removeAccess(kube, name)
    return {host: await readHost(kube, name)}
  }
  const ca = caSchema.parse(await kube.get(CA)).data['ca.crt']
  // Ends the tokens of an earlier registration: a token counts for the account that it was made for, by its uid.
  await kube.delete(refOf(accountObject(name)))
  await kube.apply(accessOf(name), signal)
  const script = renderer.render('byoc/heartbeat.sh', {
    name,
    statusUrl: `https://${endpoint}/apis/${API_VERSION}/containerhosts/${name}/status`,
    tokenUrl: `https://${endpoint}${tokenPath(name)}`,
    tokenRequest: TOKEN_REQUEST,
    ca,
    token: await makeToken(kube, name, {hideSecret, signal}),
  })
  return {host: await readHost(kube, name), script}
}

const tokenPath = (host: string): string =>
  `/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/${accountOf(host)}/token`

async function makeToken(
  kube: KubeClient,
  host: string,
  {hideSecret, signal}: {readonly hideSecret: (value: string) => void; readonly signal: AbortSignal},
): Promise<string> {
  const answer = await kube.post(tokenPath(host), TOKEN_REQUEST, signal)
  if (answer.status >= 300)
    throw new KubernetesError('API_REJECTED', `cannot create a token for ${host}: ${messageOf(answer.body)}`)
  const {token} = tokenSchema.parse(JSON.parse(answer.body)).status
  hideSecret(token)
  return token
}

/**
 * Makes a host or changes it: not by apply, which makes a map null when the last of its entries goes. Gives the host
 * as it was.
 */
async function writeHost(
  kube: KubeClient,
  name: string,
  spec: Pick<RegisterOptions, 'capabilities' | 'slots'> & {readonly unschedulable: boolean},
  signal: AbortSignal,
): Promise<ContainerHost | undefined> {
  return retryOnConflict(async () => {
    const known = await findHost(kube, name)
    if (known === undefined) {
      const metadata = {name, labels: {[LABEL]: labelValue(name)}}
      await kube.apply([{apiVersion: API_VERSION, kind: 'ContainerHost', metadata, spec}], signal)
      return undefined
    }
    const gone = Object.keys(known.spec.capabilities ?? {}).map((key) => [key, null] as const)
    const capabilities = {...Object.fromEntries(gone), ...spec.capabilities}
    const {resourceVersion} = known.metadata
    await kube.patch(refTo('ContainerHost', name), {spec: {...spec, capabilities}}, {resourceVersion})
    return known
  })
}

/** Puts these labels in the place of the capabilities that a node has; false: no host of that name has joined. */
function labelNode(
  kube: KubeClient,
  name: string,
  labels: Readonly<Record<string, string>>,
  more: object = {},
): Promise<boolean> {
  return retryOnConflict(async () => {
    const found = await kube.get(nodeRef(name))
    if (found === undefined) return false
    const metadata = {labels: {...withoutCapabilities(nodeSchema.parse(found)), ...labels}}
    const {resourceVersion} = found.metadata
    await kube.patch(nodeRef(name), {metadata, ...more}, {resourceVersion})
    return true
  })
}

const nodeRef = (name: string) => ({apiVersion: 'v1', kind: 'Node', name}) as const

/** Placement is by labels, so a capability is what a label can be. */
function labelsOf(capabilities: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const word = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/
  const labels = Object.entries(capabilities).map(([key, value]) => {
    if (word.test(key) && (value === '' || word.test(value)))
      return [`${CAPABILITY_PREFIX}${key}`, value] as const
    throw new ConfigError(
      'FLAG_INVALID',
      `--capability ${JSON.stringify(`${key}=${value}`)} is not a label, expected letters, digits, ".", "_" and "-"`,
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
const accountOf = (name: string): string => objectName([HOST_ACCOUNT, name], MOST_OF_NAME)

const metadataOf = (host: string) => ({name: accountOf(host), labels: {[LABEL]: labelValue(host)}})

const accountObject = (host: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: {...metadataOf(host), namespace: SYSTEM_NAMESPACE},
  automountServiceAccountToken: false,
})

/** An account that may write how this one host is, and renew its own token. */
function accessOf(host: string): readonly KubeObject[] {
  const account = accountOf(host)
  const apiGroup = 'rbac.authorization.k8s.io'
  const apiVersion = `${apiGroup}/v1`
  const clusterWide = metadataOf(host)
  const namespaced = {...clusterWide, namespace: SYSTEM_NAMESPACE}
  const subjects = [{kind: 'ServiceAccount', name: account, namespace: SYSTEM_NAMESPACE}]
  return [
    accountObject(host),
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: clusterWide,
      rules: [
        {
          apiGroups: ['clouder.dev'],
          resources: ['containerhosts/status'],
          resourceNames: [host],
          verbs: ['patch'],
        },
      ],
    },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: clusterWide,
      roleRef: {apiGroup, kind: 'ClusterRole', name: account},
      subjects,
    },
    {
      apiVersion,
      kind: 'Role',
      metadata: namespaced,
      rules: [
        {apiGroups: [''], resources: ['serviceaccounts/token'], resourceNames: [account], verbs: ['create']},
      ],
    },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata: namespaced,
      roleRef: {apiGroup, kind: 'Role', name: account},
      subjects,
    },
  ]
}

async function removeAccess(kube: KubeClient, host: string): Promise<void> {
  for (const object of accessOf(host)) await kube.delete(refOf(object))
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
    suggestions: [near.length === 0 ? 'clouder byoc ls' : `similar: ${near.join(', ')}`],
  })
}

/** Gives the host no more work; what runs there goes on. A node is cordoned. */
export async function drainHost(kube: KubeClient, name: string): Promise<ContainerHost> {
  await readHost(kube, name)
  await kube.patch(refTo('ContainerHost', name), {spec: {unschedulable: true}})
  if ((await kube.get(nodeRef(name))) !== undefined)
    await kube.patch(nodeRef(name), {spec: {unschedulable: true}})
  return readHost(kube, name)
}

/** Takes a host away, with its account, whose token is worth nothing from then on, or the labels of its node. */
export async function removeHost(kube: KubeClient, name: string): Promise<ContainerHost> {
  const host = await readHost(kube, name)
  await labelNode(kube, name, {})
  await removeAccess(kube, name)
  await kube.delete(refTo('ContainerHost', name))
  return host
}
