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
