import {parseDocument} from 'yaml'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {yamlForGo} from './yaml.ts'

/** What a kubeconfig proves to an API server, and what it trusts there. PEM. */
export interface Credentials {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

const kubeconfigSchema = z.looseObject({
  clusters: z
    .array(z.looseObject({name: z.string(), cluster: z.looseObject({server: z.string()})}))
    .nullish(),
  users: z.array(z.looseObject({name: z.string(), user: z.looseObject({}).nullish()})).nullish(),
  contexts: z
    .array(z.looseObject({name: z.string(), context: z.looseObject({cluster: z.string(), user: z.string()})}))
    .nullish(),
  'current-context': z
    .string()
    .nullish()
    .transform((name) => name ?? undefined),
})
type Kubeconfig = z.output<typeof kubeconfigSchema>

function parseKubeconfig(text: string, where: string): Kubeconfig {
  const parsed = kubeconfigSchema.safeParse(yamlOf(text) ?? {})
  if (parsed.success) return parsed.data
  throw new StateError('RECORD_INVALID', `${where} is not a kubeconfig`, {cause: parsed.error})
}

/** What is no YAML is read as a text, which no kubeconfig is. */
function yamlOf(text: string): unknown {
  const document = parseDocument(text)
  return document.errors.length === 0 ? document.toJS() : 'not YAML'
}

/** The entry of a list that has this name. */
const named = <T extends {name: string}>(
  items: readonly T[] | null | undefined,
  name: string | undefined,
): T | undefined => items?.find((item) => item.name === name)

/** Where the API server of the current context is. Throws StateError RECORD_INVALID. */
export function currentServer(kubeconfig: string): {readonly host: string; readonly port: number} {
  const where = 'the kubeconfig of the API server'
  const config = parseKubeconfig(kubeconfig, where)
  const context = named(config.contexts, config['current-context'])?.context
  const url = z.url().safeParse(named(config.clusters, context?.cluster)?.cluster.server)
  if (!url.success) throw new StateError('RECORD_INVALID', `${where} has no server`, {cause: url.error})
  const {hostname, port} = new URL(url.data)
  // An IPv6 address is in brackets there.
  return {host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port)}
}

const base64 = z.base64().transform((text) => Buffer.from(text, 'base64').toString())
const currentSchema = z.object({
  'certificate-authority-data': base64.optional(),
  'client-certificate-data': base64.optional(),
  'client-key-data': base64.optional(),
})

/** What kubeadm writes, and what changes nothing of who is asked and as whom. */
const HARMLESS: Readonly<Record<'cluster' | 'user', readonly string[]>> = {
  cluster: ['server', 'certificate-authority-data', 'disable-compression', 'extensions'],
  user: ['client-certificate-data', 'client-key-data', 'extensions'],
}

/** What would be left out is refused: else calls would go elsewhere, or as nobody. */
function refuseOthers(entry: Readonly<Record<string, unknown>>, kind: 'cluster' | 'user'): void {
  const said = Object.keys(entry).filter((key) => !isUnset(entry[key]) && !HARMLESS[kind].includes(key))
  if (said.length > 0) throw unlikeKubeadm(`its ${kind} has ${said.join(', ')}`)
}

const isUnset = (value: unknown): boolean =>
  value === undefined || value === null || value === false || value === ''

const unlikeKubeadm = (problem: string): StateError =>
  new StateError(
    'KUBECONFIG_UNSUPPORTED',
    `the kubeconfig of the API server is not in the form that kubeadm writes: ${problem}`,
    {suggestions: ['remove that from the kubeconfig, or write it again: clouder kubeadm init']},
  )

/**
 * The credentials of the current context, as kubeadm writes them: inside the file.
 * Throws StateError RECORD_INVALID; KUBECONFIG_UNSUPPORTED where there is more to it.
 */
export function currentCredentials(kubeconfig: string): Credentials {
  const where = 'the kubeconfig of the API server'
  const config = parseKubeconfig(kubeconfig, where)
  const context = named(config.contexts, config['current-context'])?.context
  const cluster = named(config.clusters, context?.cluster)?.cluster
  const user = named(config.users, context?.user)?.user
  if (cluster !== undefined && !/^https:\/\/[^/?#@]+\/?$/i.test(cluster.server))
    throw unlikeKubeadm('its server is not https://HOST:PORT')
  refuseOthers(cluster ?? {}, 'cluster')
  refuseOthers(user ?? {}, 'user')
  const read = currentSchema.safeParse({...cluster, ...user})
  if (!read.success)
    throw new StateError('RECORD_INVALID', `${where} is not in the form that kubeadm writes`, {
      cause: read.error,
    })
  return {
    ca: read.data['certificate-authority-data'],
    cert: read.data['client-certificate-data'],
    key: read.data['client-key-data'],
  }
}

/**
 * The kubeconfig for this machine, from kubeadm's admin.conf: one cluster, user and context named after the cluster,
 * server replaced by `server` (`host:port`).
 */
export function externalKubeconfig(
  admin: string,
  options: {readonly server: string; readonly cluster: string},
): string {
  const config = parseKubeconfig(admin, 'admin.conf')
  const [cluster] = config.clusters ?? []
  const [user] = config.users ?? []
  const name = options.cluster
  const userName = `${name}-admin`
  return yamlForGo({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{name, cluster: {...cluster?.cluster, server: `https://${options.server}`}}],
    users: [{name: userName, user: user?.user ?? {}}],
    contexts: [{name, context: {cluster: name, user: userName}}],
    'current-context': name,
  })
}
