import {readFile} from 'node:fs/promises'
import {describeCause, diagnose} from '../../checkpoint/archive/diagnose.ts'

/** Why a dump failed and what to do, from CRIU's log, which the runtime's answer names; undefined: it names none that is there. */
export async function explainFailure(answer: string): Promise<string | undefined> {
  const log = /path= ?(\/run\/containerd\/[^\s)"\\]+\.log)/.exec(answer)?.[1]
  if (log === undefined || log.includes('..')) return undefined
  const text = await readFile(log, 'utf8').catch(() => undefined)
  const causes = diagnose(text ?? '')
  if (causes.length === 0) return undefined
  return `CRIU could not dump it: ${causes
    .slice(0, 4)
    .map((cause) => `${describeCause(cause)} (CRIU: ${cause.evidence})`)
    .join('; ')}`
}
