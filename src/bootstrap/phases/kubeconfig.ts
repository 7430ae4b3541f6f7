import {KubernetesError} from '../../kubernetes/errors.ts'
import {externalKubeconfig} from '../../kubernetes/kubeconfig.ts'
import {firstControlPlane, type ClouderPhase, type PhaseContext} from './context.ts'

export const ADMIN_CONF = '/etc/kubernetes/admin.conf'

/** kubectl works from this machine. `path` is of this machine; `readLocal` gives undefined for an absent file. */
export const kubeconfigPhase = (
  path: string,
  readLocal: (path: string) => Promise<string | undefined>,
): ClouderPhase => ({
  id: 'kubeconfig',
  title: 'Writing the kubeconfig',

  async plan(context, signal) {
    const host = await firstControlPlane(context, signal)
    if (host === undefined) return []
    const [admin, local] = await Promise.all([host.readFile(ADMIN_CONF), readLocal(path)])
    if (admin !== undefined && local === kubeconfigText(context, admin)) return []
    return [
      {
        summary: `write ${path}`,
        reason: local === undefined ? 'it is absent' : 'it differs from the cluster',
        run: async (tools) => {
          const text = await host.readFile(ADMIN_CONF)
          if (text === undefined) throw new KubernetesError('NOT_READY', `${host.name} has no ${ADMIN_CONF}`)
          await tools.writeLocal(path, kubeconfigText(context, text), 0o600)
        },
      },
    ]
  },
})

const kubeconfigText = (context: PhaseContext, admin: string): string =>
  externalKubeconfig(admin, {server: context.endpoint.external, cluster: context.spec.name})
