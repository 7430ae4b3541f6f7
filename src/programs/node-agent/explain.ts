import {readFile} from 'node:fs/promises'
import {describeCause, diagnose} from '../../checkpoint/archive/diagnose.ts'

/** Of the runtime, and of the node's runc that the agent runs itself. */
const LOG = /(?:path=|log:) ?(\/(?:run\/containerd|var\/lib\/clouder)\/[^\s)"\\]+\.log)/

/** Why a dump failed and what to do, from CRIU's log, which the runtime's answer names; undefined: it names none that is there. */
export async function explainFailure(answer: string): Promise<string | undefined> {
  const log = LOG.exec(answer)?.[1]
  if (log === undefined || log.includes('..')) return undefined
  const text = await readFile(log, 'utf8').catch(() => undefined)
  const causes = diagnose(text ?? '')
  if (causes.length === 0) return undefined
  return `CRIU could not dump it: ${causes
    .slice(0, 4)
    .map((cause) => `${describeCause(cause)} (CRIU: ${cause.evidence})`)
    .join('; ')}`
}
