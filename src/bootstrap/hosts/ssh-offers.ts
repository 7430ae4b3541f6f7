import {readFile} from 'node:fs/promises'
import ssh2, {type AnyAuthMethod, type OpenSSHAgent, type ParsedKey} from 'ssh2'
import {fingerprintOf, keyTypeOf} from './known-hosts.ts'
import {publicKeyOf, readKey} from './ssh-keys.ts'
import {authFailed, keyUnreadable, type Destination} from './ssh-login.ts'

/** One key that a server is asked to take. */
export interface Offer {
  /** As `ssh-add -l` shows it: `ssh-ed25519 SHA256:… laptop`. */
  readonly label: string
  readonly method: AnyAuthMethod
}

/**
 * The keys for a machine, in the order to try them. With `keyPath` it is that key and no other, taken from the agent
 * where the file alone will not do; without it all that the agent holds. Throws ConnectionError AUTH_FAILED when there
 * is nothing to log in with: nothing was sent then.
 */
export async function offersOf(
  destination: Destination,
  agentSocket: string | undefined,
): Promise<readonly Offer[]> {
  const {keyPath, user} = destination
  if (keyPath === undefined) return agentOffers(destination, agentSocket)
  const file = readKey(await textOf(destination, keyPath), keyPath)
  if (file.kind === 'private') {
    const label = `${labelOf(file.key)} (${keyPath})`
    return [{label, method: {type: 'publickey', username: user, key: file.key}}]
  }
  const publicKey = file.publicKey ?? publicKeyOf(await readFile(`${keyPath}.pub`, 'utf8').catch(() => ''))
  if (publicKey !== undefined && agentSocket !== undefined) {
    const held = await identitiesOf(agentSocket).catch(() => [])
    const key = held.find((candidate) => candidate.getPublicSSH().equals(publicKey))
    if (key !== undefined) return [agentOffer(agentSocket, key, user)]
  }
  throw authFailed(destination, `the key ${keyPath} ${file.problem}`, undefined, [file.fix])
}

async function agentOffers(
  destination: Destination,
  agentSocket: string | undefined,
): Promise<readonly Offer[]> {
  const nameKey = 'set a key: --key FILE with join, spec.ssh.keyPath in the file'
  if (agentSocket === undefined) {
    throw authFailed(destination, 'there is neither a key file nor a running ssh-agent', undefined, [
      nameKey,
      'or start an agent and load a key: eval "$(ssh-agent)"; ssh-add FILE',
    ])
  }
  const keys = await identitiesOf(agentSocket).catch((error: unknown) => {
    throw authFailed(destination, `the ssh-agent at ${agentSocket} does not respond`, error, [
      'check that it runs: ssh-add -l',
      nameKey,
    ])
  })
  if (keys.length > 0) return keys.map((key) => agentOffer(agentSocket, key, destination.user))
  throw authFailed(
    destination,
    'the ssh-agent holds no usable key (FIDO keys are not supported)',
    undefined,
    ['load one: ssh-add FILE', nameKey],
  )
}

const agentOffer = (socket: string, key: ParsedKey, username: string): Offer => ({
  label: labelOf(key),
  method: {type: 'agent', username, agent: new OneKeyAgent(socket, key)},
})

function labelOf(key: ParsedKey): string {
  const blob = key.getPublicSSH()
  return `${keyTypeOf(blob)} ${fingerprintOf(blob)}${key.comment === '' ? '' : ` ${key.comment}`}`
}

/** An agent that shows one of its keys, so that it is known which one a server refused. */
class OneKeyAgent extends ssh2.OpenSSHAgent {
  readonly #key: ParsedKey

  constructor(socket: string, key: ParsedKey) {
    super(socket)
    this.#key = key
  }

  override getIdentities(done: Parameters<OpenSSHAgent['getIdentities']>[0]): void {
    done(undefined, [this.#key])
  }
}

/** Keys of types that ssh2 does not know are left out. */
function identitiesOf(socket: string): Promise<readonly ParsedKey[]> {
  return new Promise((resolve, reject) => {
    new ssh2.OpenSSHAgent(socket).getIdentities((error, keys) => {
      if (error instanceof Error) reject(error)
      else resolve((keys ?? []).filter((key) => 'getPublicSSH' in key))
    })
  })
}

async function textOf(destination: Destination, keyPath: string): Promise<string> {
  try {
    return await readFile(keyPath, 'utf8')
  } catch (error) {
    throw keyUnreadable(destination, keyPath, error)
  }
}
