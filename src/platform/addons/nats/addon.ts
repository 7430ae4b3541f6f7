import {randomBytes} from 'node:crypto'
import {z} from 'zod'
import {defineAddon} from '../addon.ts'
import {workersOf} from '../pods.ts'
import {storageShape} from '../storage.ts'
import {ADDON, credentials, natsObjects} from './objects.ts'
import {smokeNats} from './smoke.ts'

/** Messages between programs, kept until they are read. */
export const natsAddon = defineAddon({
  id: ADDON,
  title: 'Messaging with NATS',
  version: '2.15.1',
  description: 'NATS with JetStream: publish and subscribe, streams and key-value stores on volumes',
  stage: 'platform',
  needs: ['pod-network', 'default-storage-class'],
  provides: ['messaging'],
  images: ['nats'],
  parameters: (spec) =>
    z.strictObject({
      ...storageShape('4Gi'),
      replicas: z
        .literal([1, 3])
        .default(workersOf(spec) >= 3 ? 3 : 1)
        .describe('servers, 1 or 3; default: 3 with three workers or more, else 1'),
      memoryMebibytes: z
        .int()
        .min(16)
        .max(65_536)
        .default(64)
        .describe('memory for streams that are kept in it, in MiB'),
    }),
  objects: (parameters, {image}) => natsObjects({...parameters, image: image('nats')}),
  createdOnce: () => [
    credentials({client: randomBytes(24).toString('hex'), cluster: randomBytes(24).toString('hex')}),
  ],
  smoke: {proves: 'JetStream is enabled and has its volume; no message was sent', run: smokeNats},
})
