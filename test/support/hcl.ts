type Json = string | number | boolean | null | readonly Json[] | {readonly [key: string]: Json}
type Body = {readonly [key: string]: Json}

/** Maps of the user's own keys: arguments, where every other object is a block. */
const MAPS = new Set(['tags'])
const REFERENCE = /^\$\{([a-z_]+\.[\w-]+\.[a-z_.[\]0-9]+)\}$/

/** Resources and data sources of a Terraform configuration in JSON, in Terraform's own language: for tools that read nothing else. */
export function hclOf(document: Body): string {
  const parts = ['data', 'resource'].flatMap((kind) =>
    Object.entries(bodyOf(document[kind])).flatMap(([type, named]) =>
      Object.entries(bodyOf(named)).map(
        ([name, body]) => `${kind} "${type}" "${name}" {\n${blockText(bodyOf(body), '  ')}}\n`,
      ),
    ),
  )
  return parts.join('\n')
}

const isBody = (value: Json | undefined): value is Body =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const bodyOf = (value: Json | undefined): Body => (isBody(value) ? value : {})

function blockText(body: Body, indent: string): string {
  const block = (key: string, value: Body) =>
    `${indent}${key} {\n${blockText(value, `${indent}  `)}${indent}}\n`
  return Object.entries(body)
    .filter(([key]) => key !== '//')
    .map(([key, value]) => {
      if (isBody(value) && !MAPS.has(key)) return block(key, value)
      if (Array.isArray(value) && value.length > 0 && value.every(isBody))
        return value.map((one) => block(key, one)).join('')
      return `${indent}${key} = ${expression(value)}\n`
    })
    .join('')
}

function expression(value: Json): string {
  if (typeof value === 'string') return REFERENCE.exec(value)?.[1] ?? JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(expression).join(', ')}]`
  if (!isBody(value)) return JSON.stringify(value)
  const entries = Object.entries(value).map(([key, one]) => `${JSON.stringify(key)} = ${expression(one)}`)
  return `{${entries.join(', ')}}`
}
