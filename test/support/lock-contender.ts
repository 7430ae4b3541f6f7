/**
 * A process that takes and gives back one lock many times, as many owners: two of three "die", which is to say that
 * they leave the lock behind and are no longer among the living. Ends when it held the lock as often as asked;
 * exits 1 when it ever held it together with a living other.
 * Arguments: folder, number of this process, times to hold.
 */
import {access, mkdir, readdir, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {StateError} from '../../src/base/errors.ts'
import {diskStore} from '../../src/store/disk.ts'

const [dir = '', number = '', times = ''] = process.argv.slice(2)
const living = join(dir, 'living')
const holding = join(dir, 'holding')

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}

async function asOwner(pid: number): Promise<'held' | 'refused'> {
  const store = diskStore({
    home: join(dir, 'home'),
    now: Date.now,
    pid,
    hostname: 'laptop',
    identify: async (other) => ((await exists(join(living, String(other)))) ? `owner ${other}` : undefined),
  })
  await writeFile(join(living, String(pid)), '')
  const mark = join(holding, String(pid))
  try {
    const lock = await store.lock('demo', 'test')
    await writeFile(mark, '')
    const others = (await readdir(holding)).filter((other) => other !== String(pid))
    if (others.length > 0) throw new Error(`${pid} holds the lock together with ${others.join(', ')}`)
    await rm(mark)
    if (pid % 3 === 0) await lock[Symbol.asyncDispose]()
    return 'held'
  } catch (error) {
    if (error instanceof StateError && error.code === 'LOCKED') return 'refused'
    throw error
  } finally {
    await rm(join(living, String(pid)))
  }
}

await mkdir(living, {recursive: true})
await mkdir(holding, {recursive: true})
let held = 0
for (let round = 1; held < Number(times); round += 1) {
  if ((await asOwner(Number(number) * 1_000_000 + round)) === 'held') held += 1
}
