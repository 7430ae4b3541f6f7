import {parseAllDocuments} from 'yaml'
import {kubeObjectSchema, type KubeObject} from '../../kubernetes/types.ts'
import {z} from 'zod'

/** What is wrong with a text that should hold objects: where in it, and what. */
export interface DocumentProblem {
  /** `document 2`, `line 3, column 1`. */
  readonly place: string
  readonly problem: string
}

export interface ParsedDocuments {
  readonly objects: readonly KubeObject[]
  readonly problems: readonly DocumentProblem[]
}

const listSchema = z.looseObject({kind: z.string().endsWith('List'), items: z.array(z.unknown())})

/** The objects of a text with any number of YAML documents; Lists are taken apart, empty documents left out. */
export function parseObjects(text: string): ParsedDocuments {
  const documents = parseAllDocuments(text, {
    schema: 'core',
    merge: true,
    uniqueKeys: true,
    logLevel: 'error',
  })
  if (!Array.isArray(documents)) return {objects: [], problems: []}
  const objects: KubeObject[] = []
  const problems: DocumentProblem[] = []
  for (const [index, document] of documents.entries()) {
    const [fault] = document.errors
    if (fault !== undefined) {
      const [at] = fault.linePos ?? []
      const place = at === undefined ? `document ${index + 1}` : `line ${at.line}, column ${at.col}`
      problems.push({place, problem: fault.message.split('\n')[0] ?? fault.code})
      continue
    }
    const value: unknown = document.toJS({maxAliasCount: 50})
    if (value === null || value === undefined) continue
    const list = listSchema.safeParse(value)
    for (const item of list.success ? list.data.items : [value]) {
      const parsed = kubeObjectSchema.safeParse(item)
      if (parsed.success) objects.push(parsed.data)
      else problems.push({place: `document ${index + 1}`, problem: problemOf(parsed.error)})
    }
  }
  return {objects, problems}
}

function problemOf(error: z.ZodError): string {
  const [issue] = error.issues
  const path = issue?.path.map(String).join('.') ?? ''
  return path === '' ? 'is not an object of Kubernetes' : `${path} is missing or not valid`
}
