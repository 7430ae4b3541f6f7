import {expect, test} from 'vitest'
import {publishedImages} from '../../../src/bundle/published-images.ts'
import {httpDefaults} from '../../../src/bundle/release-http.ts'

test('a reference without host and tag is refused before anything is requested', async () => {
  const unused = () => Promise.reject(new Error('nothing is to be requested'))
  const images = publishedImages(() => 'http://127.0.0.1:1', {text: unused, file: unused}, httpDefaults)
  const pulled = images.pull({
    reference: 'pause',
    arch: 'amd64',
    dir: '/nonexistent',
    progress: () => undefined,
    signal: AbortSignal.timeout(10_000),
  })
  await expect(pulled).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    message: 'image reference "pause" is not host/repository:tag',
  })
})
