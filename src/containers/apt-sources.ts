/** Where this machine's apt gets Debian from. */
export interface DebianMirror {
  readonly main: string
  /** Absent where the machine has no security source. */
  readonly security: string | undefined
  /** Keyring file or folder of `main`; absent: apt's trusted keys. */
  readonly signedBy: string | undefined
}

interface Stanza {
  readonly uris: readonly string[]
  readonly suites: readonly string[]
  readonly components: readonly string[]
  readonly signedBy: string | undefined
}

const debianSuite =
  /^(oldoldstable|oldstable|stable|testing|sid|buster|bullseye|bookworm|trixie|forky)(-[a-z]+)?$/

/** Finds the Debian mirror in apt's source files; `.sources` files are deb822, all others one line per source. */
export function findDebianMirror(
  files: readonly {readonly name: string; readonly text: string}[],
): DebianMirror | undefined {
  const stanzas = files
    .flatMap(({name, text}) => (name.endsWith('.sources') ? deb822Stanzas(text) : oneLineStanzas(text)))
    .filter(
      ({components, suites}) =>
        components.includes('main') && suites.some((suite) => debianSuite.test(suite)),
    )
  const isSecurity = ({suites}: Stanza) => suites.every((suite) => suite.includes('-security'))
  const main = stanzas.find((stanza) => !isSecurity(stanza))
  const [uri] = main?.uris ?? []
  if (main === undefined || uri === undefined) return undefined
  return {main: uri, security: stanzas.find(isSecurity)?.uris[0], signedBy: main.signedBy}
}

function deb822Stanzas(text: string): readonly Stanza[] {
  return text
    .split(/\n\s*\n/)
    .map((stanza) => stanza.replaceAll(/^#.*\n?/gm, ''))
    .filter((stanza) => /^Types:.*\bdeb\b/m.test(stanza) && !/^Enabled:\s*no/im.test(stanza))
    .map((stanza) => {
      const words = (field: string) =>
        (new RegExp(`^${field}:[ \\t]*(.*)$`, 'mi').exec(stanza)?.[1] ?? '')
          .split(/\s+/)
          .filter((word) => word !== '')
      return {
        uris: words('URIs'),
        suites: words('Suites'),
        components: words('Components'),
        // A key written into the stanza itself starts on the next line and is not a file.
        signedBy: words('Signed-By').find((word) => word.startsWith('/')),
      }
    })
}

function oneLineStanzas(text: string): readonly Stanza[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)/.exec(line)
    const [, options = '', uri, suite, components = ''] = match ?? []
    if (uri === undefined || suite === undefined) return []
    const signedBy = /signed-by=(\/[^\s,]+)/.exec(options)?.[1]
    return [{uris: [uri], suites: [suite], components: components.trim().split(/\s+/), signedBy}]
  })
}

/** Lines of `apt-config dump` about how to fetch: proxies, certificate files, dates of mirrors. */
export function fetchOptions(aptConfigDump: string): string {
  return aptConfigDump
    .split('\n')
    .filter((line) => /^Acquire::(Check-|http|https|Retries|ForceIPv)/i.test(line) && !/^[^"]*"";/.test(line))
    .join('\n')
}
