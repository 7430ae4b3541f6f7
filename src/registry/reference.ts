export interface ImageReference {
  /** With its port, if it has one. */
  readonly host: string
  readonly repository: string
  /** Tag or, where the reference has one, digest: what a registry's manifest URL ends in. */
  readonly selector: string
}

/** The parts of `host/repository:tag` or `host/repository[:tag]@sha256:…`; undefined for anything else, as without a host. */
export function parseReference(reference: string): ImageReference | undefined {
  const parts =
    /^([a-z0-9.-]+(?::\d+)?)\/([a-z0-9._\/-]+?)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(
      reference,
    )
  const [, host, repository, tag, digest] = parts ?? []
  const selector = digest ?? tag
  return host === undefined || repository === undefined || selector === undefined
    ? undefined
    : {host, repository, selector}
}
