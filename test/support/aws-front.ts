import {once} from 'node:events'
import {createServer, request, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

/** What an emulator of the AWS API is reached by. */
export interface Emulator {
  readonly url: string
  readonly environment: Readonly<Record<string, string>>
}

/** A call that is refused as AWS itself would. */
export interface Refusal {
  readonly code: string
  readonly message: string
}

export interface AwsFrontOptions {
  readonly emulator: Emulator
  /** What a machine printed to its console; the emulator's own answer is a sample. */
  readonly consoleOf?: (instanceId: string) => Promise<string>
}

/** Stands before an emulator: answers for machines with bodies, and can be told to refuse. */
export interface AwsFront extends Emulator, AsyncDisposable {
  /** Actions that were asked for, in order: `RunInstances`, … Calls of REST and JSON have none. */
  readonly actions: readonly string[]
  /**
   * From now on calls of this action are refused; undefined: answered again. Calls of S3 are named by method and end of
   * the path: `PUT /bucket/key`.
   */
  refuse(action: string, refusal: Refusal | undefined): void
  /** From now on calls of this action, of a service that speaks JSON, get this answer. */
  play(action: string, answer: object): void
}

/** Starts it on a free port of the loopback. */
export async function startAwsFront(options: AwsFrontOptions): Promise<AwsFront> {
  const refusals = new Map<string, Refusal>()
  const descriptions = new Map<string, string>()
  const played = new Map<string, object>()
  const actions: string[] = []
  const server = createServer((incoming, answer) => {
    answerCall(incoming, answer, {...options, refusals, played, actions, descriptions}).catch(
      (error: unknown) => {
        answer.statusCode = 502
        answer.end(String(error))
      },
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${addressOf(server.address()).port}`
  return {
    url,
    environment: {
      ...options.emulator.environment,
      AWS_ENDPOINT_URL: url,
      // S3 Control puts the account before the host, a name that nobody resolves but that goes through a proxy.
      HTTP_PROXY: url,
      NO_PROXY: '127.0.0.1,localhost',
    },
    actions,
    refuse: (action, refusal) => {
      if (refusal === undefined) refusals.delete(action)
      else refusals.set(action, refusal)
    },
    play: (action, json) => void played.set(action, json),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface State extends AwsFrontOptions {
  readonly refusals: ReadonlyMap<string, Refusal>
  readonly played: ReadonlyMap<string, object>
  readonly actions: string[]
  /** Of firewall rules between groups, which the emulator forgets; by id of the rule. */
  readonly descriptions: Map<string, string>
}

async function answerCall(incoming: IncomingMessage, answer: ServerResponse, state: State): Promise<void> {
  // The emulator keeps other tags there than at the bucket; so told, the provider asks the bucket.
  if (/\/v20180820\/tags\//.test(incoming.url ?? '')) {
    endXml(answer, 405, refusalXml(incoming, {code: 'MethodNotAllowed', message: 'not here'}))
    return
  }
  const chunks: Buffer[] = []
  for await (const chunk of incoming) if (chunk instanceof Buffer) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  const isForm = (incoming.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded')
  const form = new URLSearchParams(isForm ? body.toString('utf8') : '')
  const action = form.get('Action')
  if (action === null) {
    const refusal = restRefusal(incoming, state)
    if (refusal !== undefined) {
      endXml(answer, 403, `<Error>${errorXml(refusal)}</Error>`)
      return
    }
    // `Service_20190624.Action`.
    const target = incoming.headers['x-amz-target']
    const json = typeof target === 'string' ? state.played.get(target.split('.').at(-1) ?? '') : undefined
    if (json === undefined) {
      await forward(incoming, body, answer, state)
      await tagBucket(incoming, body.toString('utf8'), state)
      return
    }
    answer.writeHead(200, {'content-type': 'application/x-amz-json-1.1'})
    answer.end(JSON.stringify(json))
    return
  }
  state.actions.push(action)
  const refusal = state.refusals.get(action)
  if (refusal !== undefined) {
    endXml(answer, 403, refusalXml(incoming, refusal))
    return
  }
  const instanceId = form.get('InstanceId') ?? ''
  if (action === 'GetConsoleOutput' && state.consoleOf !== undefined) {
    endXml(answer, 200, consoleXml(instanceId, await state.consoleOf(instanceId)))
    return
  }
  return forward(incoming, body, answer, state, (text) => withDescriptions(action, form, text, state))
}

function restRefusal({method, url = ''}: IncomingMessage, {refusals}: State): Refusal | undefined {
  const {pathname} = new URL(url, 'http://front')
  const found = [...refusals].find(([call]) => {
    const [verb, path] = call.split(' ')
    return path !== undefined && verb === method && pathname.endsWith(path)
  })
  return found?.[1]
}

/** Tags in the call that makes a bucket are passed over by the emulator; those of a call of their own are kept. */
async function tagBucket(
  {method, url = '', headers}: IncomingMessage,
  body: string,
  {emulator}: State,
): Promise<void> {
  const tags = body.match(/<Tag>[^]*?<\/Tag>/g)
  if (method !== 'PUT' || tags === null || !body.includes('<CreateBucketConfiguration')) return
  await fetch(`${emulator.url}${url}?tagging`, {
    method: 'PUT',
    headers: {authorization: headers.authorization ?? '', 'content-type': 'application/xml'},
    body: `<Tagging><TagSet>${tags.join('')}</TagSet></Tagging>`,
  })
}

/** Keeps the description of a rule that is made, and puts it where rules are told. */
function withDescriptions(
  action: string,
  form: URLSearchParams,
  answer: string,
  {descriptions}: State,
): string {
  const RULE = /<securityGroupRuleId>(sgr-\w+)<\/securityGroupRuleId>/g
  if (/^AuthorizeSecurityGroup/.test(action)) {
    const [, description] = [...form].find(([key]) => /\.Groups\.1\.Description$/.test(key)) ?? []
    for (const [, id = ''] of answer.matchAll(RULE))
      if (description !== undefined) descriptions.set(id, description)
  }
  if (action !== 'DescribeSecurityGroupRules') return answer
  return answer.replaceAll(RULE, (found, id: string) => {
    const description = descriptions.get(id)
    return description === undefined ? found : `${found}<description>${description}</description>`
  })
}

function forward(
  incoming: IncomingMessage,
  body: Buffer,
  answer: ServerResponse,
  {emulator}: State,
  change?: (text: string) => string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    // Its body has been put together here.
    const {'transfer-encoding': _chunked, ...headers} = incoming.headers
    // As a proxy it is asked for a whole URL, whose host URL itself takes for a wrong address.
    const path = (incoming.url ?? '/').replace(/^http:\/\/[^/]+/, '')
    const onward = request(`${emulator.url}${path}`, {
      method: incoming.method ?? 'GET',
      headers: {...headers, 'content-length': String(body.length)},
    })
    onward.once('error', reject)
    onward.once('response', (response) => {
      response.once('error', reject)
      if (change === undefined) {
        answer.writeHead(response.statusCode ?? 502, response.headers)
        response.pipe(answer)
        response.once('end', resolve)
        return
      }
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.once('end', () => {
        const told = change(text)
        const headers = {...response.headers, 'content-length': String(Buffer.byteLength(told))}
        answer.writeHead(response.statusCode ?? 502, headers)
        answer.end(told)
        resolve()
      })
    })
    onward.end(body)
  })
}

function endXml(answer: ServerResponse, statusCode: number, xml: string): void {
  answer.writeHead(statusCode, {'content-type': 'text/xml'})
  answer.end(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`)
}

/** https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html */
function consoleXml(instanceId: string, text: string): string {
  const output = Buffer.from(text).toString('base64')
  return `<GetConsoleOutputResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>00000000-0000-0000-0000-000000000000</requestId>
  <instanceId>${instanceId}</instanceId>
  <timestamp>2026-01-01T00:00:00.000Z</timestamp>
  <output>${output}</output>
</GetConsoleOutputResponse>`
}

const errorXml = ({code, message}: Refusal): string => `<Code>${code}</Code><Message>${message}</Message>`

/** EC2 words its errors unlike the other services of the query protocol. */
function refusalXml({headers}: IncomingMessage, refusal: Refusal): string {
  const error = errorXml(refusal)
  return (headers.authorization ?? '').includes('/ec2/')
    ? `<Response><Errors><Error>${error}</Error></Errors><RequestID>0</RequestID></Response>`
    : `<ErrorResponse><Error><Type>Sender</Type>${error}</Error><RequestId>0</RequestId></ErrorResponse>`
}

function addressOf(address: string | AddressInfo | null): AddressInfo {
  if (address === null || typeof address === 'string') throw new TypeError('the server has no port')
  return address
}
