import {expect, test} from 'vitest'
import {keyedQueue} from '../../../src/operator/queue.ts'

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
  'a key that is added %i turns of the loop after its work ended is worked on once more',
  async (turns) => {
    let done = 0
    let release = (): void => undefined
    const queue = keyedQueue({
      work: async () => {
        done += 1
        if (done === 1) await new Promise<void>((resolve) => (release = resolve))
      },
      log: () => undefined,
      signal: new AbortController().signal,
    })
    queue.add('a')
    await Promise.resolve()
    release()
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
    queue.add('a')
    await queue.idle()
    expect(done).toBe(2)
  },
)
