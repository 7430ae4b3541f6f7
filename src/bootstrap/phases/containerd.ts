import type {HostStep} from '../engine/types.ts'
import {HostCommandError} from '../errors.ts'
import type {HostReader} from '../hosts/host.ts'
import type {Renderer} from '../../base/renderer.ts'
import {decideContainerd, type ContainerdDecision} from './containerd/decide.ts'
import {describeMismatch, mismatches, parseDump, type WantedSetting} from './containerd/dump.ts'
import {CERTS_DIR, CONFIG_PATH, UNIT_PATH, wantedContainerd} from './containerd/wanted.ts'
import type {ClouderPhase, PhaseContext} from './context.ts'
import {filesView} from './managed-files.ts'
import {observeHosts, parseObserved, probeHost} from './probe.ts'
import {proxyVariables} from './proxy.ts'

/** Throws HostCommandError naming each setting that containerd read but did not take. */
function assertSettings(host: HostReader, wanted: readonly WantedSetting[], stdout: string): void {
  const wrong = mismatches(wanted, parseDump(parseObserved(stdout).all('dump').join('\n')))
  if (wrong.length === 0) return
  throw new HostCommandError(
    'HOST_COMMAND_FAILED',
    `containerd on ${host.name} did not load its configuration: ${wrong.map(describeMismatch).join('; ')}`,
    {
      host: host.name,
      command: 'containerd config dump',
      exitCode: 0,
      signal: undefined,
      stdout,
      stderr: '',
    },
    {suggestions: [`remove what overrides it in /etc/containerd/conf.d on ${host.name}`]},
  )
}

function stepFor(
  host: HostReader,
  decision: ContainerdDecision,
  settings: readonly WantedSetting[],
  renderer: Renderer,
): readonly HostStep[] {
  if (decision.reasons.length === 0) return []
  const text = renderer.render('containerd/apply.sh', {
    files: filesView(decision.files),
    removed: decision.removed,
    restart: decision.restart,
  })
  return [
    {
      summary: decision.restart
        ? 'configure and start containerd'
        : 'write the registry mirrors of containerd',
      reason: decision.reasons.join('; '),
      on: host,
      run: async (changeable, {signal}) => {
        const {stdout} = await changeable.runScript({name: 'containerd/apply.sh', text}, {signal})
        assertSettings(host, settings, stdout)
      },
    },
  ]
}

async function planHost(
  context: PhaseContext,
  host: HostReader,
  signal: AbortSignal,
): Promise<readonly HostStep[]> {
  const {spec, bundles, renderer} = context
  const wanted = wantedContainerd(spec, host, bundles(host.facts.arch), renderer, proxyVariables(context))
  const text = renderer.render('containerd/probe.sh', {
    paths: [...wanted.daemonFiles, ...wanted.mirrorFiles].map(({path}) => path),
    restartPaths: [CONFIG_PATH, UNIT_PATH],
    certsDir: CERTS_DIR,
    configPath: CONFIG_PATH,
  })
  const observed = await probeHost(host, {name: 'containerd/probe.sh', text}, signal)
  return stepFor(host, decideContainerd(wanted, observed), wanted.settings, renderer)
}

/** containerd runs with our configuration, shows that it took it, and answers. */
export const containerdPhase: ClouderPhase = {
  id: 'containerd',
  title: 'Configuring and starting containerd',
  async plan(context, signal) {
    const planned = await observeHosts(
      'containerd',
      context.hosts,
      (host) => planHost(context, host, signal),
      signal,
    )
    return planned.flatMap(({observed: steps}) => steps)
  },
  async diagnose(_context, {host}) {
    if (!host) return ''
    const log = await host.query([
      'journalctl',
      '-u',
      'containerd.service',
      '-n',
      '15',
      '--no-pager',
      '-o',
      'cat',
    ])
    return log.stdout
  },
}
