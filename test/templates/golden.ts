import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {parse as parseToml} from 'smol-toml'
import {expect} from 'vitest'
import {parseAllDocuments} from 'yaml'
import {createRenderer} from '../../src/bootstrap/templating/render.ts'

/** One view of a template; its rendering is kept whole in golden/. Case files in cases/ export `cases: TemplateCase[]`. */
export interface TemplateCase {
  /** As `render` takes it: `containerd/config.toml`. */
  readonly template: string
  /** What is special about the view: `cgroup-v2`. */
  readonly name: string
  readonly view: Readonly<Record<string, unknown>>
}

export const templatesDir = join(import.meta.dirname, '../../templates')
const goldenDir = join(import.meta.dirname, 'golden')
const renderer = createRenderer(templatesDir)

export function renderCase({template, view}: Pick<TemplateCase, 'template' | 'view'>): string {
  return renderer.render(template, view)
}

/** `containerd/config.toml` and `cgroup-v2` -> `containerd/config.cgroup-v2.toml`, so that editors still know the language. */
export function goldenPath({template, name}: Pick<TemplateCase, 'template' | 'name'>): string {
  const dot = template.lastIndexOf('.')
  const cut = dot > template.lastIndexOf('/') + 1 ? dot : template.length
  return `${template.slice(0, cut)}.${name}${template.slice(cut)}`
}

/** Compares the rendering with golden/; UPDATE_GOLDEN=1 rewrites the file. Then reads it in the file's own language. */
export function golden(one: TemplateCase): void {
  const text = renderCase(one)
  expectGoldenFile(join(goldenDir, goldenPath(one)), text)
  expectWellFormed(one.template, text)
}

/** Compares text with a committed file; UPDATE_GOLDEN=1 rewrites it. */
export function expectGoldenFile(path: string, text: string): void {
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(path), {recursive: true})
    writeFileSync(path, text)
  }
  const golden = existsSync(path) ? readFileSync(path, 'utf8') : undefined
  expect(golden, `${path} is missing: make it with UPDATE_GOLDEN=1 and read it`).toBeDefined()
  expect(text).toBe(golden)
}

/** A file's own parser must take it: TOML, YAML or JSON by the end of its name. Scripts are parsed all at once. */
function expectWellFormed(template: string, text: string): void {
  if (/\.ya?ml$/.test(template)) {
    const faults = parseAllDocuments(text, {logLevel: 'silent'}).flatMap((document) => [
      ...document.errors,
      ...document.warnings,
    ])
    expect(faults).toEqual([])
  }
  if (template.endsWith('.toml')) parseToml(text)
  if (template.endsWith('.json') || template.endsWith('.conflist')) JSON.parse(text)
}

/** A file for bash by its name or, once rendered, by its first line. */
export function isScript(template: string, text: string): boolean {
  return template.endsWith('.sh') || /^#!\S*\/(env )?(ba)?sh\b/.test(text)
}
