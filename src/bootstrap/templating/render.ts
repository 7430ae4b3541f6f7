import {readdirSync, readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import {join, sep} from 'node:path'
import type Handlebars from 'handlebars'
import {helpers} from './helpers.ts'
import type {Renderer} from '../../base/renderer.ts'
import {guardView} from './view.ts'

const knownHelpers = Object.fromEntries(Object.keys(helpers).map((name) => [name, true]))

/**
 * Renders `<templatesDir>/<name>.hbs`; each template is read and compiled once per renderer.
 * Files named `_*.hbs` are partials: `{{> kubernetes/_labels}}`. Errors are TypeErrors that name the template.
 */
export function createRenderer(templatesDir: string): Renderer {
  const compiled = new Map<string, HandlebarsTemplateDelegate>()
  let opened: Opened | undefined

  const compile = (name: string): HandlebarsTemplateDelegate => {
    const known = compiled.get(name)
    if (known !== undefined) return known
    const {engine, names} = (opened ??= open(templatesDir))
    if (!names.includes(name) || isPartial(name)) throw new TypeError(`there is no template ${name}.hbs`)
    // Strict mode overlooks block helpers' arguments, which is why the view is guarded as well.
    const template = engine.compile(read(templatesDir, name), {
      noEscape: true,
      strict: true,
      knownHelpersOnly: true,
      knownHelpers,
    })
    compiled.set(name, template)
    return template
  }

  return {
    render(name, view) {
      const template = compile(name)
      try {
        return template(guardView(view))
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error)
        throw new TypeError(`template ${name}: ${text}`, {cause: error})
      }
    },
  }
}

interface Opened {
  readonly engine: typeof Handlebars
  readonly names: readonly string[]
}

/** Loads the engine at its first use: most commands render nothing, and it takes longer to load than they do. */
function open(templatesDir: string): Opened {
  const names = findTemplates(templatesDir)
  const engine = (createRequire(import.meta.url)('handlebars') as typeof Handlebars).create()
  engine.unregisterHelper('log')
  for (const [name, helper] of Object.entries(helpers)) engine.registerHelper(name, helper)
  for (const name of names.filter(isPartial)) engine.registerPartial(name, read(templatesDir, name))
  return {engine, names}
}

/** Names of all templates below a folder, partials included, without `.hbs`. */
export function findTemplates(templatesDir: string): readonly string[] {
  return readdirSync(templatesDir, {recursive: true, encoding: 'utf8'})
    .filter((path) => path.endsWith('.hbs'))
    .map((path) => path.slice(0, -'.hbs'.length).split(sep).join('/'))
    .sort()
}

/** Whether a template is only ever included by others. */
export function isPartial(name: string): boolean {
  return (name.split('/').at(-1) ?? '').startsWith('_')
}

function read(templatesDir: string, name: string): string {
  return readFileSync(join(templatesDir, `${name}.hbs`), 'utf8')
}
