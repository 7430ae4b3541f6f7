import {ConfigError, errorMessage} from '../base/errors.ts'

/** Downloads go through HTTPS_PROXY and its kin where this Node can do that; older ones go straight. */
export async function useProxyOf(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  const http: {
    setGlobalProxyFromEnv?: (environment: Readonly<Record<string, string | undefined>>) => unknown
  } = await import('node:http')
  try {
    http.setGlobalProxyFromEnv?.(environment)
  } catch (cause) {
    const said = errorMessage(cause)
    throw new ConfigError('CONFIG_INVALID', `the proxy of the environment cannot be used: ${said}`, {
      cause,
      suggestions: ['correct HTTPS_PROXY and HTTP_PROXY: http://HOST:PORT'],
    })
  }
}
