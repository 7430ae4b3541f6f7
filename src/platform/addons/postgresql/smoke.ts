import {z} from 'zod'
import {KubernetesError} from '../../../kubernetes/errors.ts'
import type {SmokeTools} from '../addon.ts'
import {runPod} from '../smoke-pods.ts'
import {NAMESPACE, PART, PROGRAMS} from './objects.ts'

const SECRET = 'postgresql-smoke'
const WRITTEN = '42'

/** A client with the password of the Secret writes a row and reads it back in another transaction. */
export async function smokePostgresql(tools: SmokeTools): Promise<void> {
  const {kube, namespace, signal, progress, facts} = tools
  const secret = await kube.get({apiVersion: 'v1', kind: 'Secret', namespace: NAMESPACE, name: PART.name})
  const data = z.record(z.string(), z.string()).parse(secret?.['data'] ?? {})
  await kube.apply([{apiVersion: 'v1', kind: 'Secret', metadata: {name: SECRET, namespace}, data}], signal)
  progress('writing a row and reading it')
  // One line of a script each: every statement is a transaction of its own.
  const table = namespace.replaceAll('-', '_')
  const statements = [
    `CREATE TABLE ${table} (value integer)`,
    `INSERT INTO ${table} VALUES (${WRITTEN})`,
    `SELECT value FROM ${table}`,
    `DROP TABLE ${table}`,
  ]
  const read = await runPod(tools, {
    name: 'client',
    image: facts.image('postgresql'),
    command: [`${PROGRAMS}/psql`, '--no-psqlrc', '--quiet', '--tuples-only', '--no-align'],
    args: ['--dbname=postgres', '--set=ON_ERROR_STOP=1', ...statements.map((text) => `--command=${text}`)],
    env: Object.entries({
      PGHOST: 'host',
      PGPORT: 'port',
      PGUSER: 'username',
      PGPASSWORD: 'password',
    }).map(([name, key]) => ({name, valueFrom: {secretKeyRef: {name: SECRET, key}}})),
  })
  if (read.trim() !== WRITTEN)
    throw new KubernetesError(
      'SMOKE_TEST_FAILED',
      `PostgreSQL returned ${JSON.stringify(read)} for ${WRITTEN}`,
    )
}
