import {z} from 'zod'
import {errorMessage, StateError} from '../base/errors.ts'
import {clusterRecordSchema, type ClusterRecord} from './types.ts'

const RECORD_VERSION = 1
const versionSchema = z.looseObject({version: z.int()})

/** A record from its file's text. Throws StateError RECORD_INVALID or RECORD_NEWER, both naming the path. */
export function parseRecord(text: string, name: string, path: string): ClusterRecord {
  const document = parseJson(text, name, path)
  const version = versionSchema.safeParse(document).data?.version
  if (version !== undefined && version > RECORD_VERSION) {
    throw new StateError(
      'RECORD_NEWER',
      `${path} has version ${version}, this clouder supports versions up to ${RECORD_VERSION}`,
      {suggestions: ['use the clouder that wrote it, or a newer one: npm install -g clouder@latest']},
    )
  }
  const record = clusterRecordSchema.safeParse(document)
  if (!record.success) throw invalid(name, path, problemsOf(record.error))
  if (record.data.name !== name) {
    throw invalid(
      name,
      path,
      `name: is ${JSON.stringify(record.data.name)}, expected ${JSON.stringify(name)}`,
    )
  }
  return record.data
}

/** The file's text for a record. */
export function printRecord(record: ClusterRecord): string {
  return `${JSON.stringify(record, undefined, 2)}\n`
}

function parseJson(text: string, name: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(name, path, `not JSON: ${errorMessage(error)}`, error)
  }
}

/** Every problem of a document with its path, on one line. */
export function problemsOf(error: z.ZodError): string {
  return error.issues
    .map((issue) => `${issue.path.length === 0 ? 'the document' : issue.path.join('.')}: ${issue.message}`)
    .join('; ')
}

function invalid(name: string, path: string, problem: string, cause?: unknown): StateError {
  return new StateError('RECORD_INVALID', `${path} is not a cluster record: ${problem}`, {
    cause,
    suggestions: [
      `move it aside: mv ${path} ${path}.broken`,
      `then create it again from the same file, which changes nothing on a running cluster: clouder kubeadm init ${name} --config cluster.yaml`,
    ],
  })
}
