import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {unlessMissing} from './system-errors.ts'

/** One suite and component that apt is configured with. */
export interface AptSource {
  readonly uri: string
  /** `bookworm-updates` */
  readonly suite: string
  readonly component: string
  /** Keyring file or folder; absent: apt's trusted keys. */
  readonly signedBy: string | undefined
}

interface SourceFile {
  readonly name: string
  readonly text: string
}

/** What apt on this machine is configured with, in its order; nothing where there is no apt. */
export async function readAptSources(dir = '/etc/apt'): Promise<readonly AptSource[]> {
  const folder = join(dir, 'sources.list.d')
  const names = ((await readdir(folder).catch(unlessMissing)) ?? []).sort()
  const paths = [
    join(dir, 'sources.list'),
    ...names.filter((name) => /\.(list|sources)$/.test(name)).map((name) => join(folder, name)),
  ]
  const files: SourceFile[] = []
  for (const name of paths) {
    const text = await readFile(name, 'utf8').catch(unlessMissing)
    if (text !== undefined) files.push({name, text})
  }
  return parseAptSources(files)
}

/** Sources of binary packages that are switched on; `.sources` files are deb822, all others one line per source. */
export function parseAptSources(files: readonly SourceFile[]): readonly AptSource[] {
  return files.flatMap(({name, text}) =>
    name.endsWith('.sources') ? deb822Sources(text) : oneLineSources(text),
  )
}

function deb822Sources(text: string): readonly AptSource[] {
  return text
    .split(/\n\s*\n/)
    .map((stanza) => stanza.replaceAll(/^#.*\n?/gm, ''))
    .filter((stanza) => /^Types:.*\bdeb\b/m.test(stanza) && !/^Enabled:\s*no/im.test(stanza))
    .flatMap((stanza) => {
      const words = (field: string) => wordsOf(new RegExp(`^${field}:[ \\t]*(.*)$`, 'mi').exec(stanza)?.[1])
      // A key written into the stanza itself starts on the next line and is not a file.
      const signedBy = words('Signed-By').find((word) => word.startsWith('/'))
      const components = words('Components')
      return words('URIs').flatMap((uri) =>
        words('Suites').flatMap((suite) =>
          components.map((component) => ({uri, suite, component, signedBy})),
        ),
      )
    })
}

function oneLineSources(text: string): readonly AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)/.exec(line)
    const [, options = '', uri, suite, components] = match ?? []
    if (uri === undefined || suite === undefined) return []
    const signedBy = /signed-by=(\/[^\s,]+)/.exec(options)?.[1]
    return wordsOf(components).map((component) => ({uri, suite, component, signedBy}))
  })
}

const wordsOf = (text = ''): readonly string[] => text.split(/\s+/).filter((word) => word !== '')

/** Lines of `apt-config dump` about how to fetch: proxies, certificate files, dates of mirrors. */
export function fetchOptions(aptConfigDump: string): readonly string[] {
  return aptConfigDump
    .split('\n')
    .filter((line) => /^Acquire::(Check-|https?|ftp|Retries|ForceIPv)/i.test(line) && !/^[^"]*"";/.test(line))
}
