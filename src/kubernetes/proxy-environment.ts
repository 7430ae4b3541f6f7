import {BlockList, isIP} from 'node:net'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {bypassesProxy} from '../base/no-proxy.ts'
import type {Proxy} from './tunnel.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The proxy that HTTPS_PROXY names for an address, unless NO_PROXY excludes it: read as Go does, and so kubectl
 * (https://pkg.go.dev/golang.org/x/net/http/httpproxy). Throws StateError KUBECONFIG_UNSUPPORTED.
 */
export function proxyOfEnvironment(host: string, port: number, environment: Environment): Proxy | undefined {
  const said = firstOf(environment.HTTPS_PROXY, environment.https_proxy)
  if (said === undefined || isLoopback(host)) return undefined
  if (bypassesProxy(firstOf(environment.NO_PROXY, environment.no_proxy) ?? '', host, port)) return undefined
  return parseProxy(said, 'HTTPS_PROXY')
}

/** Throws StateError KUBECONFIG_UNSUPPORTED, without the password that may be in the URL. */
export function parseProxy(text: string, where: string): Proxy {
  const parsed = z.url().safeParse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  if (!parsed.success) throw unsupported(`${where} is not a URL`)
  const {protocol, hostname, port, username, password} = new URL(parsed.data)
  if (protocol !== 'http:' && protocol !== 'https:')
    throw unsupported(
      `${where} is a proxy with protocol ${protocol.slice(0, -1)}; http and https are supported`,
    )
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return {
    protocol,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    ...(login === ':' ? {} : {authorization: `Basic ${Buffer.from(login).toString('base64')}`}),
  }
}

const firstOf = (...values: readonly (string | undefined)[]): string | undefined =>
  values.find((value) => value !== undefined && value !== '')

const unsupported = (problem: string): StateError => new StateError('KUBECONFIG_UNSUPPORTED', problem)

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const isLoopback = (host: string): boolean =>
  host === 'localhost' || (isIP(host) !== 0 && loopback.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4'))
