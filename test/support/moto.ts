import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {createInterface} from 'node:readline'
import type {TestContext} from 'vitest'
import {installPipPackage} from './pip-package.ts'

const VERSION = '5.2.5'
const START_TIMEOUT_MS = 120_000

/** An emulator of the AWS API on this machine, empty at first. */
export interface Moto extends AsyncDisposable {
  /** `http://127.0.0.1:34567`. */
  readonly url: string
  /** Variables with which the AWS SDK, Terraform and `clouder` talk to it and to nothing else. */
  readonly environment: Readonly<Record<string, string>>
  /** Forgets everything that was made in it. */
  reset(): Promise<void>
}

export interface MotoOptions {
  /** Further variables for the emulator: `MOTO_ENABLE_ISO_REGIONS`, … */
  readonly environment?: Readonly<Record<string, string>>
  readonly region?: string
  /** Address of this machine to listen at; default: its loopback. */
  readonly address?: string
}

/** Starts the emulator; ends the test as skipped, with the reason, where it cannot be had; as failed where every test must run. */
export async function needMoto(context: TestContext, options: MotoOptions = {}): Promise<Moto> {
  try {
    await installMoto()
  } catch (error) {
    const [reason = ''] = String(error instanceof Error ? error.message : error).split('\n')
    const text = `needs the AWS emulator, python3 with pip and a package index: ${reason}`
    if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw new Error(text, {cause: error})
    return context.skip(text)
  }
  return startMoto(options)
}

/** Starts an emulator of its own for the caller; throws where it cannot be had. */
export async function startMoto(options: MotoOptions = {}): Promise<Moto> {
  const packages = await installMoto()
  const child = spawn('python3', ['-m', 'moto.server', '-H', options.address ?? '127.0.0.1', '-p', '0'], {
    env: {...process.env, ...options.environment, PYTHONPATH: packages},
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const url = await addressOf(child)
  const region = options.region ?? 'eu-central-1'
  return {
    url,
    environment: {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: 'testing',
      AWS_SECRET_ACCESS_KEY: 'testing',
      AWS_REGION: region,
      AWS_DEFAULT_REGION: region,
      // Nothing of this machine's own configuration, and no way to a real account.
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    reset: async () => {
      const answer = await fetch(`${url}/moto-api/reset`, {method: 'POST'})
      if (!answer.ok) throw new Error(`the emulator answers ${answer.status} to its reset`)
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

const installMoto = (): Promise<string> => installPipPackage(`moto-${VERSION}`, `moto[server]==${VERSION}`)

/** What the server says about itself; every later line is a request, and is read away so that the pipe never fills. */
function addressOf(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new TypeError('the emulator was started without a pipe')
  const said: string[] = []
  const lines = createInterface({input: child.stderr})
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
    }, START_TIMEOUT_MS)
    lines.on('line', (line) => {
      const [url] = /http:\/\/[\d.]+:\d+/.exec(line) ?? []
      if (url === undefined) {
        said.push(line)
        return
      }
      clearTimeout(timer)
      resolve(url)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`the emulator ended with ${code ?? signal ?? ''}: ${said.slice(-5).join('\n')}`))
    })
  })
}
