/** One element of DER (X.690): `content` is what its length covers. */
interface Element {
  readonly tag: number
  readonly content: Uint8Array
}

const SEQUENCE = 0x30
const SET = 0x31
const OCTETS = 0x04
const OBJECT_ID = 0x06
const ATTRIBUTES = 0xa0
const DNS_NAME = 0x82
const IP_ADDRESS = 0x87
const STRINGS = new Set([0x0c, 0x13])
const COMMON_NAME = '550403'
const ORGANISATION = '55040a'
const EXTENSION_REQUEST = '2a864886f70d01090e'
const SUBJECT_ALTERNATIVE_NAMES = '551d11'

/** What a certificate request (PKCS #10, RFC 2986) asks for, as far as a serving certificate has it. */
export interface CertificateRequest {
  readonly commonName: string
  readonly organisations: readonly string[]
  readonly dnsNames: readonly string[]
  /** Four bytes or sixteen, hex. */
  readonly ipAddresses: readonly string[]
}

/** Reads a request in PEM. Throws RangeError for anything that it does not know: nothing is signed that was not read. */
export function parseCertificateRequest(pem: string): CertificateRequest {
  const [, base64] =
    /^-----BEGIN CERTIFICATE REQUEST-----([\s\S]*)-----END CERTIFICATE REQUEST-----\s*$/.exec(pem) ?? []
  if (base64 === undefined) throw new RangeError('expected one certificate request in PEM')
  const [request, ...after] = elementsOf(Buffer.from(base64, 'base64'))
  if (request === undefined || after.length > 0) throw new RangeError('expected one ASN.1 element')
  const [info] = elementsOf(contentOf(request, SEQUENCE))
  const [, subject, , attributes] = elementsOf(contentOf(info, SEQUENCE))
  const names = subjectOf(contentOf(subject, SEQUENCE))
  const alternatives = attributes === undefined ? [] : alternativesOf(contentOf(attributes, ATTRIBUTES))
  const [commonName, ...others] = names.get(COMMON_NAME) ?? []
  if (commonName === undefined || others.length > 0)
    throw new RangeError('expected one common name in the subject')
  return {
    commonName,
    organisations: names.get(ORGANISATION) ?? [],
    dnsNames: alternatives.filter(({tag}) => tag === DNS_NAME).map(({content}) => textOf(content)),
    ipAddresses: alternatives.filter(({tag}) => tag === IP_ADDRESS).map(({content}) => hexOf(content)),
  }
}

function subjectOf(content: Uint8Array): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const set of elementsOf(content))
    for (const pair of elementsOf(contentOf(set, SET))) {
      const [id, value] = elementsOf(contentOf(pair, SEQUENCE))
      const name = hexOf(contentOf(id, OBJECT_ID))
      if ((name !== COMMON_NAME && name !== ORGANISATION) || value === undefined || !STRINGS.has(value.tag))
        throw new RangeError(`attribute ${name} (object identifier in hex) is not supported in the subject`)
      found.set(name, [...(found.get(name) ?? []), textOf(value.content)])
    }
  return found
}

/** The names of every extension of that kind, whichever of them the signer would take. */
function alternativesOf(content: Uint8Array): readonly Element[] {
  return elementsOf(content).flatMap((attribute) => {
    const [id, values] = elementsOf(contentOf(attribute, SEQUENCE))
    if (hexOf(contentOf(id, OBJECT_ID)) !== EXTENSION_REQUEST) return []
    return elementsOf(contentOf(values, SET)).flatMap((extensions) =>
      elementsOf(contentOf(extensions, SEQUENCE)).flatMap((extension) => {
        const parts = elementsOf(contentOf(extension, SEQUENCE))
        if (hexOf(contentOf(parts[0], OBJECT_ID)) !== SUBJECT_ALTERNATIVE_NAMES) return []
        const names = elementsOf(contentOf(parts.at(-1), OCTETS)).flatMap((list) =>
          elementsOf(contentOf(list, SEQUENCE)),
        )
        for (const {tag} of names)
          if (tag !== DNS_NAME && tag !== IP_ADDRESS)
            throw new RangeError('a subject alternative name is neither a DNS name nor an IP address')
        return names
      }),
    )
  })
}

function contentOf(element: Element | undefined, tag: number): Uint8Array {
  if (element?.tag !== tag) throw new RangeError(`ASN.1 tag ${element?.tag ?? 'none'}, expected ${tag}`)
  return element.content
}

function elementsOf(bytes: Uint8Array): readonly Element[] {
  const elements: Element[] = []
  for (let at = 0; at < bytes.length;) {
    const tag = byteAt(bytes, at)
    const first = byteAt(bytes, at + 1)
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f
    if ((tag & 0x1f) === 0x1f || first === 0x80 || lengthBytes > 3) throw new RangeError('not encoded in DER')
    let length = first < 0x80 ? first : 0
    for (let index = 0; index < lengthBytes; index += 1) length = length * 256 + byteAt(bytes, at + 2 + index)
    const start = at + 2 + lengthBytes
    at = start + length
    if (at > bytes.length) throw new RangeError('truncated')
    elements.push({tag, content: bytes.subarray(start, at)})
  }
  return elements
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at]
  if (byte === undefined) throw new RangeError('truncated')
  return byte
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const textOf = (bytes: Uint8Array): string => new TextDecoder('utf-8', {fatal: true}).decode(bytes)
