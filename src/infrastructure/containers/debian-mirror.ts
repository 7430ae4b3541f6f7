import type {AptSource} from '../../base/apt-sources.ts'

/** Where this machine's apt gets Debian from, whichever release. */
export interface DebianMirror {
  readonly main: string
  /** Absent where the machine has no security source. */
  readonly security: string | undefined
  /** Keyring file or folder of `main`; absent: apt's trusted keys. */
  readonly signedBy: string | undefined
}

const debianSuite =
  /^(oldoldstable|oldstable|stable|testing|sid|buster|bullseye|bookworm|trixie|forky)(-[a-z]+)?$/

/** The Debian mirror among apt's sources; undefined: there is none. */
export function debianMirrorOf(sources: readonly AptSource[]): DebianMirror | undefined {
  const ofDebian = sources.filter(({component, suite}) => component === 'main' && debianSuite.test(suite))
  const isSecurity = ({suite}: AptSource) => suite.includes('-security')
  const main = ofDebian.find((source) => !isSecurity(source))
  if (main === undefined) return undefined
  return {main: main.uri, security: ofDebian.find(isSecurity)?.uri, signedBy: main.signedBy}
}
