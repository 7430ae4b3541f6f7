import {z} from 'zod'
import type {E2eCluster} from './e2e-cluster.ts'

const headerSchema = z.looseObject({
  header: z.looseObject({cluster_id: z.string(), member_id: z.string()}),
})

/** Cluster and member id of the etcd on the first control plane; undefined while none answers. */
export async function etcdIdentity(cluster: E2eCluster): Promise<string | undefined> {
  const text = await cluster.read(
    'cp-1',
    `cd /etc/kubernetes/pki 2>/dev/null && curl -s --max-time 5 --cacert etcd/ca.crt --cert apiserver-etcd-client.crt \\
      --key apiserver-etcd-client.key https://127.0.0.1:2379/v3/cluster/member/list -X POST -d '{}' || true`,
  )
  if (!text.startsWith('{')) return undefined
  const {header} = headerSchema.parse(JSON.parse(text))
  return `cluster ${header.cluster_id} member ${header.member_id}`
}
