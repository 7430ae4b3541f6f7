import {z} from 'zod'

const rangeSchema = z.looseObject({header: z.looseObject({revision: z.string()})})

/** Has etcd forget everything but what is there now, as Kubernetes does each five minutes. */
export async function compact(etcd: string): Promise<void> {
  const {header} = rangeSchema.parse(await ask(etcd, 'range', {key: base64('/')}))
  await ask(etcd, 'compaction', {revision: header.revision, physical: true})
}

/** Takes an object away behind the back of the API server. `key`: `/registry/configmaps/default/a`. */
export async function deleteKey(etcd: string, key: string): Promise<void> {
  await ask(etcd, 'deleterange', {key: base64(key)})
}

async function ask(etcd: string, what: string, body: object): Promise<unknown> {
  const response = await fetch(`${etcd}/v3/kv/${what}`, {method: 'POST', body: JSON.stringify(body)})
  const text = await response.text()
  if (!response.ok) throw new Error(`etcd answers ${what} with ${response.status}: ${text}`)
  return JSON.parse(text)
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
