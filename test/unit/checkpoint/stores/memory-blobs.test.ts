import {blobStoreContract} from '../../../support/blob-store-contract.ts'
import {memoryBlobs} from '../../../support/memory-blobs.ts'

blobStoreContract('blobs in memory', {
  largeBytes: 4 * 2 ** 20,
  manyBlobs: 100,
  withStore: async (_context, use) => {
    const store = memoryBlobs()
    await use({
      store,
      collects: true,
      tamper: (digest) => {
        store.tamper(digest)
      },
    })
  },
})
