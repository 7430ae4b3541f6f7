import {BundleError} from './errors.ts'

export interface ImageReference {
  /** With its port, if it has one. */
  readonly host: string
  readonly repository: string
  /** Tag or, where the reference has one, digest: what a registry's manifest URL ends in. */
  readonly selector: string
}

/** Takes `host/repository:tag` and `host/repository[:tag]@sha256:…` apart; the host must be named. */
export function parseReference(reference: string): ImageReference {
  const parts =
    /^([a-z0-9.-]+(?::\d+)?)\/([a-z0-9._\/-]+?)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(
      reference,
    )
  const [, host, repository, tag, digest] = parts ?? []
  const selector = digest ?? tag
  if (host === undefined || repository === undefined || selector === undefined) {
    throw new BundleError('BUILD_FAILED', `image reference "${reference}" is not host/repository:tag`)
  }
  return {host, repository, selector}
}

export interface Challenge {
  readonly realm: string
  readonly service: string | undefined
  readonly scope: string | undefined
}

/** The Bearer challenge of a WWW-Authenticate header, undefined when it holds none. */
export function parseChallenge(header: string | null): Challenge | undefined {
  const bearer = /(?:^|,)\s*bearer\s+(.*)$/i.exec(header ?? '')?.[1]
  if (bearer === undefined) return undefined
  const values = new Map<string, string>()
  for (const [, name = '', quoted, bare] of bearer.matchAll(/([a-z_]+)=(?:"([^"]*)"|([^\s,"]+))/gi)) {
    // A second challenge (Basic realm=…) may follow: the first value of a name is ours.
    if (!values.has(name.toLowerCase())) values.set(name.toLowerCase(), quoted ?? bare ?? '')
  }
  const realm = values.get('realm')
  return realm === undefined ? undefined : {realm, service: values.get('service'), scope: values.get('scope')}
}
