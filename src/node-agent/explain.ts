import {readFile} from 'node:fs/promises'

/** What CRIU said of a failed dump, from the log that the kubelet's answer names; undefined: it names none that is there. */
export async function explainFailure(answer: string): Promise<string | undefined> {
  const log = /path= ?(\/run\/containerd\/[^\s)"\\]+\.log)/.exec(answer)?.[1]
  if (log === undefined || log.includes('..')) return undefined
  const text = await readFile(log, 'utf8').catch(() => undefined)
  const errors = text?.split('\n').filter((line) => line.includes('Error (')) ?? []
  if (errors.length === 0) return undefined
  return `CRIU could not dump it: ${errors
    .slice(0, 4)
    .map((line) => line.replace(/^\([\d.]+\) +(\d+: )?/, '').trim())
    .join('; ')}`
}
