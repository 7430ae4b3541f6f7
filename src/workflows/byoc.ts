import {z} from 'zod'
import {API_VERSION, SYSTEM_NAMESPACE} from '../checkpoint/names.ts'
import {containerHostSchema, type ContainerHost} from '../checkpoint/resources.ts'
import {CheckpointError, KubernetesError} from '../errors.ts'
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
  /** A script for the host: it holds a token that may write the status of this one host, and nothing else. */
  readonly script: string
}

const tokenSchema = z.looseObject({status: z.looseObject({token: z.string()})})
const caSchema = z.looseObject({data: z.looseObject({'ca.crt': z.string()})})

/** Enrols an external container host, or changes one; the script for it carries a new token. */
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
  const spec = {capabilities, slots, drain: false}
  const host = {
    apiVersion: API_VERSION,
    kind: 'ContainerHost',
    metadata: {name, labels: {[LABEL]: name}},
    spec,
  }
  await kube.apply([host, ...accessOf(name)], signal)
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

const accountOf = (name: string): string => `container-host-${name}`

/** An account that may write how this one host is. */
function accessOf(name: string): readonly KubeObject[] {
  const account = accountOf(name)
  const metadata = {name: account, labels: {[LABEL]: name}}
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

async function readHost(kube: KubeReader, name: string): Promise<ContainerHost> {
  const found = await kube.get(refTo('ContainerHost', name))
  if (found !== undefined) return readAs(containerHostSchema, found)
  const known = (await listHosts(kube)).map(({metadata}) => metadata.name)
  const near = nearNames(name, known)
  throw new CheckpointError('CHECKPOINT_UNKNOWN', `there is no container host ${JSON.stringify(name)}`, {
    suggestions: [near.length === 0 ? 'clouder byoc ls' : `near it: ${near.join(', ')}`],
  })
}

/** Gives the host no more work; what runs there goes on. */
export async function drainHost(kube: KubeApi, name: string): Promise<ContainerHost> {
  await readHost(kube, name)
  await kube.patch(refTo('ContainerHost', name), {spec: {drain: true}})
  return readHost(kube, name)
}

/** Takes a host away, with its account: its token is worth nothing from then on. */
export async function removeHost(kube: KubeApi, name: string): Promise<ContainerHost> {
  const host = await readHost(kube, name)
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
