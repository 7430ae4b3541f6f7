import {readFile} from 'node:fs/promises'
import {systemCode} from './system-errors.ts'

/**
 * Names the process that has a pid now: boot id and start time, so that a reused pid is not taken for the old process.
 * Undefined: none, or only a zombie. Where there is no /proc, a live pid is all that can be told.
 */
export async function identifyProcess(pid: number): Promise<string | undefined> {
  const boot = await readProc('sys/kernel/random/boot_id')
  if (boot === undefined) return isAlive(pid) ? 'alive' : undefined
  const stat = await readProc(`${pid}/stat`)
  if (stat === undefined) return undefined
  // The second field is the command's name in parentheses and may itself hold spaces and parentheses: proc(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, startTime] = [fields[0], fields[19]]
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined
  return `${boot.trim()}/${startTime}`
}

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${path}`, 'utf8')
  } catch (error) {
    const code = systemCode(error)
    // ESRCH: the process ended between open and read.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR') return undefined
    throw error
  }
}

/** Whether a process of that number runs, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}
