import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import type {PhaseContext} from './context.ts'
import {ENCRYPTION_PATH} from '../kubeadm/hardening.ts'
import {encryptionReason, fileReason, filesView, type SecretsStage, type WantedFile} from './kubeadm-files.ts'
import type {KubeadmState} from './kubeadm-probe.ts'

export interface WantedFiles {
  readonly files: readonly WantedFile[]
  readonly stage: SecretsStage
  /** The control plane that has the key of Secrets already, when this one has not. */
  readonly keyFrom?: HostReader | undefined
}

/** The step that writes what kubeadm and the API server read: none when it is all there. */
export function writeFilesSteps(
  context: PhaseContext,
  host: HostReader,
  state: KubeadmState,
  {files, stage, keyFrom}: WantedFiles,
): readonly HostStep[] {
  const changed = files.flatMap((file) => {
    const reason = fileReason(file, state)
    return reason === undefined ? [] : [{file, reason}]
  })
  const encryption = encryptionReason(stage, state)
  const reasons = [
    ...changed.map(({file, reason}) => `${file.path} ${reason}`),
    ...(encryption === undefined ? [] : [encryption]),
  ]
  if (reasons.length === 0) return []
  const paths = [
    ...changed.map(({file}) => file.path),
    ...(encryption === undefined ? [] : [ENCRYPTION_PATH]),
  ]
  return [
    {
      summary: `write ${paths.join(', ')}`,
      reason: reasons.join(', '),
      on: host,
      run: async (target, {signal}) => {
        const key = await keyFrom?.readFile(ENCRYPTION_PATH)
        if (key !== undefined) await target.writeFile(ENCRYPTION_PATH, key, {mode: 0o600, secret: true})
        const text = context.renderer.render(
          'kubeadm/write-config.sh',
          filesView(
            changed.map(({file}) => file),
            stage,
          ),
        )
        await target.runScript({name: 'kubeadm/write-config.sh', text}, {signal})
      },
    },
  ]
}
