import {parse} from 'yaml'
import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import {hardeningOf, kubeletConfiguration, kubeletPatch, PATCHES_DIR} from '../kubeadm/config.ts'
import {includes} from '../kubeadm/kept.ts'
import type {ClouderPhase, PhaseContext} from './context.ts'
import {KUBELET_PATCH_PATH, patchFile} from './kubeadm-files.ts'
import {textSha256} from './kubeadm-probe.ts'
import {probeHosts, type Observed} from './probe.ts'
import {proxyVariables} from './proxy.ts'

/** There between a new configuration and the start of the kubelet that reads it; a restart of the machine does as well. */
const MARKER = '/run/clouder/kubelet-restart'
const HEALTHY_TIMEOUT_SECONDS = 120

/** The kubelets of the cluster run with what is wanted now, not with what was wanted when their machine joined. */
export const kubeletConfigPhase: ClouderPhase = {
  id: 'kubelet-config',
  title: 'Updating kubelets',

  async plan(context, signal) {
    const text = context.renderer.render('kubeadm/kubelet-probe.sh', {
      patch: KUBELET_PATCH_PATH,
      marker: MARKER,
    })
    const found = await probeHosts(
      'kubelet-config',
      context.hosts,
      () => ({name: 'kubeadm/kubelet-probe.sh', text}),
      (observed) => observed,
      signal,
    )
    return found.flatMap(({host, observed}) => stepFor(context, host, observed))
  },

  async diagnose(context, {host}) {
    if (host === undefined) return ''
    const script = {name: 'kubeadm/diagnose.sh', text: context.renderer.render('kubeadm/diagnose.sh', {})}
    return (await host.queryScript(script)).stdout
  },
}

function stepFor(context: PhaseContext, host: HostReader, observed: Observed): readonly HostStep[] {
  const config = observed.one('config')
  // It has not joined: the configuration comes with that.
  if (config === undefined) return []
  const patch = patchFile(host).content
  const rewrite = configReasons(context, host, {config, observed, patch})
  const loose = observed.all('loose')
  if (rewrite.length === 0 && loose.length === 0) return []
  const view = {
    proxy: proxyVariables(context),
    rewrite: rewrite.length > 0,
    patch: patch ?? '',
    patchPath: KUBELET_PATCH_PATH,
    patchesDir: PATCHES_DIR,
    marker: MARKER,
    serving: hardeningOf(context.spec).kubeletServingCertificates,
    timeoutSeconds: HEALTHY_TIMEOUT_SECONDS,
  }
  return [
    {
      summary: view.rewrite ? 'configure and restart the kubelet' : 'restrict files of Kubernetes to root',
      reason: [...rewrite, ...(loose.length === 0 ? [] : [`open to others: ${shortened(loose)}`])].join('; '),
      on: host,
      run: async (target, {signal}) => {
        const text = context.renderer.render('kubeadm/kubelet-config.sh', view)
        await target.runScript({name: 'kubeadm/kubelet-config.sh', text}, {signal})
      },
    },
  ]
}

function configReasons(
  {spec}: PhaseContext,
  host: HostReader,
  {config, observed, patch}: {config: string; observed: Observed; patch: string | undefined},
): readonly string[] {
  const live = parsed(Buffer.from(config, 'base64').toString('utf8'))
  const wanted = {...kubeletConfiguration(spec), ...kubeletPatch(host.facts)}
  const differing = Object.entries(wanted).filter(
    ([key, value]) => !includes({[key]: live[key]}, {[key]: value}),
  )
  const wantedPatch = patch === undefined ? undefined : textSha256(patch)
  return [
    ...(differing.length === 0
      ? []
      : [`differs from the desired state: ${shortened(differing.map(([key]) => key))}`]),
    ...(observed.one('patch') === wantedPatch
      ? []
      : [`${KUBELET_PATCH_PATH} differs from the desired content`]),
    ...(observed.one('restart') === 'yes' ? ['it was not restarted after its configuration changed'] : []),
  ]
}

const shortened = (names: readonly string[]): string =>
  names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')

/** What cannot be read is written again. */
function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = parse(text)
    return typeof value === 'object' && value !== null ? {...value} : {}
  } catch {
    return {}
  }
}
