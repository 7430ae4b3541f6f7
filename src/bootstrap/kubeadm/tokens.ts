import {randomBytes, randomInt} from 'node:crypto'
import type {KubeObject} from '../../kubernetes/types.ts'
import {TOKEN_TTL_MINUTES} from './config.ts'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'
/** Marks the tokens that clouder made, so that it finds those of a run that was killed. */
export const TOKEN_LABEL = 'clouder.dev/join-token'

export interface BootstrapToken {
  readonly id: string
  /** `id.secret`; a secret. */
  readonly token: string
  readonly secret: KubeObject
}

const letters = (length: number): string =>
  Array.from({length}, () => ALPHABET[randomInt(ALPHABET.length)]).join('')

/**
 * A new bootstrap token and the Secret that makes it valid, for TOKEN_TTL_MINUTES from `nowMs`.
 * Format: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
 */
export function makeBootstrapToken(nowMs: number): BootstrapToken {
  const id = letters(6)
  const secret = letters(16)
  const expiration = new Date(nowMs + TOKEN_TTL_MINUTES * 60_000).toISOString().replace(/\.\d+Z$/, 'Z')
  return {
    id,
    token: `${id}.${secret}`,
    secret: {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'bootstrap.kubernetes.io/token',
      metadata: {name: `bootstrap-token-${id}`, namespace: 'kube-system', labels: {[TOKEN_LABEL]: 'true'}},
      stringData: {
        description: 'clouder: joins machines, deleted afterwards',
        'token-id': id,
        'token-secret': secret,
        expiration,
        'usage-bootstrap-authentication': 'true',
        'usage-bootstrap-signing': 'true',
        'auth-extra-groups': 'system:bootstrappers:kubeadm:default-node-token',
      },
    },
  }
}

/** Key for the uploaded control-plane certificates: 32 bytes, hex; a secret. */
export const makeCertificateKey = (): string => randomBytes(32).toString('hex')
