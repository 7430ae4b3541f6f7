import {parseAddress} from '../base/cidr.ts'

export interface SshAddress {
  readonly address: string
  readonly user?: string
  readonly port?: number
}

const form =
  /^(?:ssh:\/\/)?(?:(?<user>[^@\s:/[\]]+)@)?(?:\[(?<ipv6>[0-9a-fA-F:.]+)\]|(?<name>[^@\s:/[\]]+))(?::(?<port>\d{1,5}))?\/?$/

/** `[ssh://][user@]address[:port]`; an IPv6 address with a port is in brackets. Undefined: it is something else. */
export function parseSshAddress(text: string): SshAddress | undefined {
  if (parseAddress(text) !== undefined) return {address: text}
  const {user, ipv6, name, port} = form.exec(text)?.groups ?? {}
  const address = ipv6 ?? name
  const number = port === undefined ? undefined : Number(port)
  if (address === undefined || (number !== undefined && (number < 1 || number > 65_535))) return undefined
  return {
    address,
    ...(user === undefined ? {} : {user}),
    ...(number === undefined ? {} : {port: number}),
  }
}
