import type {IncomingMessage, RequestListener} from 'node:http'
import {withRecordingProxy} from './recording-api.ts'
import {withTlsServer} from './with-tls-server.ts'

const TENANT = '22222222-3333-4444-5555-666666666666'
const CLIENT = '33333333-4444-5555-6666-777777777777'
const SECRET = 'azure-secret-of-a-test'
const LOGIN = 'login.microsoftonline.com'
const MANAGEMENT = 'management.azure.com'

/** Azure's login and its Resource Manager under their own names, for programs that have these variables. */
export interface AzureLogin {
  readonly environment: Readonly<Record<string, string>>
  /** The host and path of each call, in order. */
  readonly calls: readonly string[]
}

/** Gives a token to who has the secret, and to its bearer `answer` for all that Resource Manager is asked. */
export async function withAzureLogin(
  answer: object,
  use: (azure: AzureLogin) => Promise<void>,
): Promise<void> {
  const calls: string[] = []
  const token = `x.${Buffer.from(JSON.stringify({appid: CLIENT, tid: TENANT})).toString('base64url')}.y`
  const listener: RequestListener = (request, response) => {
    const {host = ''} = request.headers
    const url = new URL(request.url ?? '/', `https://${host}`)
    calls.push(`${host}${url.pathname}`)
    const reply = (status: number, body: object): void => {
      response.writeHead(status, {'content-type': 'application/json'}).end(JSON.stringify(body))
    }
    if (host === MANAGEMENT) {
      if (request.headers.authorization === `Bearer ${token}`) reply(200, answer)
      else reply(401, {error: {code: 'InvalidAuthenticationToken', message: 'who are you'}})
    } else if (url.pathname.endsWith('/discovery/instance')) reply(200, INSTANCE)
    else if (url.pathname.endsWith('/openid-configuration')) reply(200, CONFIGURATION)
    else {
      void bodyOf(request).then((form) => {
        if (form.get('client_id') === CLIENT && form.get('client_secret') === SECRET)
          reply(200, {token_type: 'Bearer', expires_in: 3600, ext_expires_in: 3600, access_token: token})
        else reply(401, {error: 'invalid_client', error_description: 'AADSTS7000215: another secret'})
      })
    }
  }
  await withTlsServer([LOGIN, MANAGEMENT], listener, async ({port, certFile}) => {
    const through = async (proxy: {readonly port: number}): Promise<void> => {
      const environment = {
        AZURE_TENANT_ID: TENANT,
        AZURE_CLIENT_ID: CLIENT,
        AZURE_CLIENT_SECRET: SECRET,
        HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`,
        NO_PROXY: '',
        NODE_EXTRA_CA_CERTS: certFile,
      }
      await use({environment, calls})
    }
    await withRecordingProxy(through, undefined, port)
  })
}

const INSTANCE = {
  tenant_discovery_endpoint: `https://${LOGIN}/${TENANT}/v2.0/.well-known/openid-configuration`,
  metadata: [{preferred_network: LOGIN, preferred_cache: LOGIN, aliases: [LOGIN]}],
}
const CONFIGURATION = {
  issuer: `https://${LOGIN}/${TENANT}/v2.0`,
  token_endpoint: `https://${LOGIN}/${TENANT}/oauth2/v2.0/token`,
  authorization_endpoint: `https://${LOGIN}/${TENANT}/oauth2/v2.0/authorize`,
  jwks_uri: `https://${LOGIN}/${TENANT}/discovery/v2.0/keys`,
}

async function bodyOf(request: IncomingMessage): Promise<URLSearchParams> {
  let text = ''
  request.setEncoding('utf8')
  for await (const piece of request) text += String(piece)
  return new URLSearchParams(text)
}
