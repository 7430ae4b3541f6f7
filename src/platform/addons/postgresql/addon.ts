import {randomBytes} from 'node:crypto'
import {z} from 'zod'
import {defineAddon} from '../addon.ts'
import {storageShape} from '../storage.ts'
import {ADDON, credentials, postgresqlObjects} from './objects.ts'
import {smokePostgresql} from './smoke.ts'

/** One database server, for what is small. */
export const postgresqlAddon = defineAddon({
  id: ADDON,
  title: 'PostgreSQL',
  version: '18.6',
  description: 'one PostgreSQL server on a volume, with a generated password',
  stage: 'platform',
  needs: ['pod-network', 'default-storage-class'],
  provides: ['postgresql'],
  images: ['postgresql'],
  parameters: () =>
    z.strictObject({
      ...storageShape('8Gi'),
      maxConnections: z.int().min(10).max(5000).default(100).describe('connections at the same time'),
      sharedBuffersMebibytes: z
        .int()
        .min(16)
        .max(65_536)
        .default(128)
        .describe('memory for pages of tables, in MiB'),
    }),
  objects: (parameters, {image}) => postgresqlObjects({...parameters, image: image('postgresql')}),
  // Letters and digits alone: it is part of a URI and of a statement.
  createdOnce: (_, {spec}) => [credentials(randomBytes(24).toString('hex'), spec.network.dnsDomain)],
  smoke: {proves: 'a row was written and read back', run: smokePostgresql},
})
