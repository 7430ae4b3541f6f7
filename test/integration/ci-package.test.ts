import {execFile} from 'node:child_process'
import {randomBytes} from 'node:crypto'
import {readdir, readFile, stat, writeFile} from 'node:fs/promises'
import {isBuiltin} from 'node:module'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {CreateBucketCommand, S3Client} from '@aws-sdk/client-s3'
import {CreateKeyCommand, KMSClient} from '@aws-sdk/client-kms'
import {satisfies, subset} from 'semver'
import {afterAll, beforeAll, expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import type * as KmsModule from '../../src/checkpoint/sealed/kms.ts'
import {digestOf} from '../../src/checkpoint/stores/content.ts'
import type * as StoresModule from '../../src/checkpoint/stores/open.ts'
import type * as ForeignModule from '../../src/kubernetes/foreign.ts'
import {withAzureLogin} from '../support/azure-login.ts'
import {clouder, packageRoot, type CliResult} from '../support/cli.ts'
import {installPackage, type InstalledPackage} from '../support/installed-package.ts'
import {needMoto, type Moto} from '../support/moto.ts'
import {withRecordingApi} from '../support/recording-api.ts'
import {withRecordingIssuer} from '../support/recording-issuer.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {startAzurite} from '../support/with-azurite.ts'

const run = promisify(execFile)
const MAX_PACKED_BYTES = 8_000_000
const MAX_INSTALLED_BYTES = 60_000_000
const MAX_HELP_RATIO = 1.5
const HELP_ROUNDS = 6
const RUNS_IN_ROUND = 8
const REGION = 'eu-central-1'
const SUBSCRIPTION = '11111111-2222-3333-4444-555555555555'
const PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFAkKFBhY2thZ2VUZXN0S2V5MDEyMzQ1Njc4OWFi test'
const NOTICES = 'dist/libraries/THIRD-PARTY-NOTICES.txt'

const manifestSchema = z.looseObject({
  engines: z.object({node: z.string()}),
  dependencies: z.record(z.string(), z.string()),
  devDependencies: z.record(z.string(), z.string()),
})
const lockSchema = z.looseObject({
  packages: z.record(
    z.string(),
    z.looseObject({
      version: z.string().optional(),
      dev: z.boolean().default(false),
      engines: z.looseObject({node: z.string().optional()}).optional().catch(undefined),
    }),
  ),
})
const stackSchema = z.looseObject({
  terraform: z.looseObject({required_providers: z.record(z.string(), z.unknown())}),
  resource: z.record(z.string(), z.record(z.string(), z.unknown())),
  output: z.looseObject({machines: z.unknown()}),
})

let built: InstalledPackage | undefined
let moto: Moto | undefined

beforeAll(async () => {
  await stat(join(packageRoot, NOTICES)).catch((cause: unknown) => {
    throw new Error('the package is not built: npm run build', {cause})
  })
  built = await installPackage()
})

afterAll(async () => {
  await built?.[Symbol.asyncDispose]()
  await moto?.[Symbol.asyncDispose]()
})

const installed = (context: TestContext): InstalledPackage =>
  built ?? context.skip('npm reaches no registry and has not all packages in its cache')

const manifest = async () =>
  manifestSchema.parse(JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')))

/** A module of the installed package, by its name in the sources. */
const moduleOf = (root: string, name: string): Promise<unknown> =>
  import(join(root, 'dist/src', `${name}.js`)) as Promise<unknown>

const resultOf = ({stdout}: CliResult): unknown => JSON.parse(stdout.trim().split('\n').at(-1) ?? '')

test('the package is small, also with all that is installed with it', async (context) => {
  const {sizeBytes, installedBytes, files, root} = installed(context)
  expect(sizeBytes).toBeLessThan(MAX_PACKED_BYTES)
  expect(installedBytes).toBeLessThan(MAX_INSTALLED_BYTES)
  expect(files.filter((path) => path.startsWith('test/') || path.includes('node_modules'))).toEqual([])
  const {devDependencies} = await manifest()
  const names = (await readdir(join(root, 'node_modules'), {recursive: true})).filter(
    (path) => path in devDependencies,
  )
  // They come with others.
  const brought = ['semver', 'string-width', 'cli-truncate']
  expect(names.filter((name) => !brought.includes(name))).toEqual([])
})

test('whatever the package imports is a part of it, of Node.js, or a dependency', async (context) => {
  const {root, files} = installed(context)
  const known = Object.keys((await manifest()).dependencies)
  const missing: string[] = []
  // Optional in the SDK, whose own error says how to have it.
  const optional = ['@aws-sdk/signature-v4-crt']
  for (const file of files.filter((path) => path.startsWith('dist/') && path.endsWith('.js'))) {
    const text = await readFile(join(root, file), 'utf8')
    const found = [...text.matchAll(/\b(?:from|import|import\(|__require\()\s*"([\w@./:-]+)"/g)]
    for (const [, name = ''] of found) {
      const isKnown = known.some((each) => name === each || name.startsWith(`${each}/`))
      if (name.startsWith('.') || isBuiltin(name) || isKnown || optional.includes(name)) continue
      missing.push(`${file}: ${name}`)
    }
  }
  expect(missing).toEqual([])
  const modules = files.filter((path) => path.startsWith('dist/src/') && path.endsWith('.js'))
  expect(modules.length).toBeGreaterThan(300)
  const all = modules.map((path) => `await import(${JSON.stringify(join(root, path))})`).join('\n')
  await run(process.execPath, ['--input-type=module', '-e', `${all}\nprocess.exit()`], {cwd: root})
})

test('the licence of everything that the package holds is in it', async (context) => {
  const {root} = installed(context)
  const notices = await readFile(join(root, NOTICES), 'utf8')
  expect(notices).toMatch(/^cdktf 0\.21\.0 \(MPL-2\.0\)/m)
  for (const name of ['@aws-sdk/client-ec2', '@azure/identity', '@kubernetes/client-node', 'dockerode'])
    expect(notices).toContain(`\n${name} `)
  expect(notices).toContain('Apache License')
  expect(notices).toContain('Permission is hereby granted')
})

test('engines says what everything that is installed, and everything that the package holds, needs', async (context) => {
  const {root} = installed(context)
  const {engines} = await manifest()
  const lock = lockSchema.parse(JSON.parse(await readFile(join(packageRoot, 'package-lock.json'), 'utf8')))
  const notices = await readFile(join(root, NOTICES), 'utf8')
  const held = new Set([...notices.matchAll(/^(\S+ \d\S*) \(.*\), source: /gm)].map(([, name = '']) => name))
  expect(held.size).toBeGreaterThan(50)
  const needed = Object.entries(lock.packages).flatMap(([path, {version = '', dev, engines: wanted}]) => {
    const name = path.split('node_modules/').at(-1) ?? ''
    const counts = path !== '' && (!dev || held.has(`${name} ${version}`))
    return counts && wanted?.node !== undefined ? [{name, node: wanted.node}] : []
  })
  expect(needed.filter(({node}) => !subset(engines.node, node))).toEqual([])
  // An older Node.js would not do: the numbers are no guess.
  const without = (range: string) => needed.filter(({node}) => !subset(range, node)).map(({name}) => name)
  expect(without('^22.18.0')).toContain('undici')
  expect(without('^23.4.0')).toContain('@inquirer/core')
})

test('a Node.js that engines does not name is refused at the start', async (context) => {
  const {bin} = installed(context)
  const {engines} = await manifest()
  for (const version of ['20.19.0', '22.18.0', '22.19.0', '23.4.0', '23.5.0', '24.0.0', '26.1.0']) {
    const told = `Object.defineProperty(process, 'versions', {value: {node: '${version}'}})`
    const argv = ['--import', `data:text/javascript,${encodeURIComponent(told)}`, bin, '--version']
    const starts = await run(process.execPath, argv).then(
      () => true,
      () => false,
    )
    expect({version, starts}).toEqual({version, starts: satisfies(version, engines.node)})
  }
})

test('help comes nearly as quickly as Node.js starts', async (context) => {
  const {bin} = installed(context)
  const times = {node: [] as number[], help: [] as number[]}
  for (let round = 0; round < HELP_ROUNDS; round += 1) {
    times.node.push(await processorSeconds(['-e', '0']))
    times.help.push(await processorSeconds([bin, '--help']))
  }
  // The least of each, of the processor's time: what else the machine does only adds.
  expect(Math.min(...times.help) / Math.min(...times.node)).toBeLessThan(MAX_HELP_RATIO)
})

/** What several runs of a program take of the processor, by the shell's own account. */
async function processorSeconds(argv: readonly string[]): Promise<number> {
  const script = `for run in ${'x '.repeat(RUNS_IN_ROUND)}; do "$@" > /dev/null; done; times`
  const {stdout} = await run('sh', ['-c', script, 'sh', process.execPath, ...argv])
  const [, , ...ofChildren] = [...stdout.matchAll(/(\d+)m([\d.]+)s/g)]
  return ofChildren.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0)
}

test('the installed package makes a stack of each cloud without what its build needs', async (context) => {
  const {root, bin} = installed(context)
  await withTempFolder(async (dir) => {
    for (const [kind, place] of [
      ['aws', 'aws: {region: eu-central-1}'],
      ['azure', 'azure: {location: westeurope}'],
    ] as const) {
      const file = join(dir, `${kind}.yaml`)
      await writeFile(file, clusterYaml(kind, place))
      const made = await run(process.execPath, [join(root, 'dist/stacks/main.js'), file], {
        cwd: dir,
        env: {...process.env, CLOUDER_SSH_PUBLIC_KEY: PUBLIC_KEY},
      })
      const path = join(dir, 'cdktf.out/stacks', `packed-${kind}`, 'cdk.tf.json')
      expect(made.stdout.trim()).toBe(join('cdktf.out/stacks', `packed-${kind}`, 'cdk.tf.json'))
      const synthesised = await run(process.execPath, [bin, 'infra', 'synth', '--config', file], {
        cwd: dir,
        env: {
          ...process.env,
          CLOUDER_SSH_PUBLIC_KEY: PUBLIC_KEY,
          CLOUDER_HOME: join(dir, 'home'),
          NODE_ENV: undefined,
        },
        maxBuffer: 64 * 2 ** 20,
      })
      expect(JSON.parse(synthesised.stdout)).toEqual(JSON.parse(await readFile(path, 'utf8')))
      const stack = stackSchema.parse(JSON.parse(await readFile(path, 'utf8')))
      expect(Object.keys(stack.terraform.required_providers)).toEqual([kind === 'aws' ? 'aws' : 'azurerm'])
      expect(Object.keys(stack.resource)).toContain(
        kind === 'aws' ? 'aws_instance' : 'azurerm_virtual_network',
      )
    }
  })
})

const clusterYaml = (kind: string, place: string): string => `apiVersion: clouder.dev/v1alpha1
kind: Cluster
metadata: {name: packed-${kind}}
spec:
  provider: {kind: ${kind}, ${place}}
  access: {adminCidrs: [203.0.113.0/24]}
`

const KEYS = {AccessKeyId: 'testing', SecretAccessKey: 'testing', SessionToken: 'testing'}

/** What gives credentials of AWS, each alone: variables, and the configuration file. */
const WAYS: Readonly<
  Record<string, {readonly variables?: Readonly<Record<string, string>>; readonly config?: string}>
> = {
  variables: {variables: {AWS_ACCESS_KEY_ID: 'testing', AWS_SECRET_ACCESS_KEY: 'testing'}},
  'a profile': {config: '[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n'},
  'a process': {
    config: `[default]\ncredential_process = echo '${JSON.stringify({Version: 1, ...KEYS})}'\n`,
  },
  'a role of another profile': {
    config: `[profile base]\naws_access_key_id = testing\naws_secret_access_key = testing\n[default]\nrole_arn = arn:aws:iam::123456789012:role/test\nsource_profile = base\n`,
  },
  'a web identity': {
    config: `[default]\nrole_arn = arn:aws:iam::123456789012:role/test\nweb_identity_token_file = TOKEN\n`,
  },
}

for (const [way, {variables = {}, config = ''}] of Object.entries(WAYS)) {
  test(`the installed package asks AWS with credentials of ${way}`, async (context) => {
    const {root} = installed(context)
    const emulator = (moto ??= await needMoto(context, {region: REGION}))
    await withTempFolder(async (home) => {
      const [file, token] = [join(home, 'aws-config'), join(home, 'token')]
      await writeFile(token, 'header.e30.signature')
      await writeFile(file, config.replace('TOKEN', token))
      const {AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...where} = emulator.environment
      const environment = {...where, AWS_CONFIG_FILE: file, ...variables}
      const answer = await clouder(['aws', 'info', '--json'], {home, root, environment})
      expect(answer, answer.stderr).toMatchObject({exitCode: 0})
      expect(resultOf(answer)).toMatchObject({account: '123456789012', region: REGION})
    })
  })
}

test('the installed package says it when AWS has no credentials for it', async (context) => {
  const {root} = installed(context)
  const emulator = (moto ??= await needMoto(context, {region: REGION}))
  await withTempFolder(async (home) => {
    const {AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...environment} = emulator.environment
    const answer = await clouder(['aws', 'info', '--json'], {home, root, environment})
    expect(resultOf(answer)).toMatchObject({code: 'CREDENTIALS_MISSING'})
  })
})

test('the installed package logs in to Azure with a secret, and asks it', async (context) => {
  const {root} = installed(context)
  const subscription = {subscriptionId: SUBSCRIPTION, displayName: 'Production', state: 'Enabled'}
  await withAzureLogin(subscription, async ({environment, calls}) => {
    await withTempFolder(async (home) => {
      const argv = ['azure', 'info', '--subscription', SUBSCRIPTION, '--location', 'westeurope', '--json']
      const answer = await clouder(argv, {home, root, environment})
      expect(answer, answer.stderr).toMatchObject({exitCode: 0})
      expect(resultOf(answer)).toMatchObject({account: SUBSCRIPTION, accountName: 'Production'})
      const wrong = {...environment, AZURE_CLIENT_SECRET: 'another'}
      const refused = await clouder(argv, {home, root, environment: wrong})
      expect(refused.exitCode).toBe(5)
      expect(calls.some((call) => call.endsWith('/oauth2/v2.0/token'))).toBe(true)
    })
  })
})

test('the installed package keeps checkpoints in S3 and in Azure Blob, and wraps keys by KMS', async (context) => {
  const {root} = installed(context)
  const {openStore} = (await moduleOf(root, 'checkpoint/stores/open')) as typeof StoresModule
  const emulator = (moto ??= await needMoto(context, {region: REGION}))
  await using azurite = await startAzurite()
  const login = {accessKeyId: 'testing', secretAccessKey: 'testing'}
  const aws = {region: REGION, endpoint: emulator.url, credentials: login}
  const bucket = `checkpoints-${randomBytes(6).toString('hex')}`
  const where = {LocationConstraint: REGION} as const
  await new S3Client({...aws, forcePathStyle: true}).send(
    new CreateBucketCommand({Bucket: bucket, CreateBucketConfiguration: where}),
  )
  await azurite.client.createContainer('checkpoints')
  const s3 = {bucket, region: REGION, endpoint: emulator.url, forcePathStyle: true}
  const azureBlob = {endpoint: azurite.endpoint, container: 'checkpoints'}
  const stores = [
    await openStore({s3}, {nodeDir: '/nonexistent', credentials: login}),
    await openStore(
      {azureBlob},
      {nodeDir: '/nonexistent', credentials: {connectionString: azurite.connectionString}},
    ),
  ]
  const {signal} = context
  for (const store of stores) {
    // More than one part of an upload.
    for (const sizeBytes of [1 << 10, 20 << 20]) {
      const bytes = randomBytes(sizeBytes)
      const digest = digestOf(bytes)
      const content = async function* () {
        yield await Promise.resolve(bytes)
      }
      await store.put({digest, sizeBytes, content, signal})
      const pieces: Uint8Array[] = []
      for await (const piece of store.get(digest, signal)) pieces.push(piece)
      expect(digestOf(Buffer.concat(pieces))).toBe(digest)
    }
  }
  const {kmsWrapper} = (await moduleOf(root, 'checkpoint/sealed/kms')) as typeof KmsModule
  const {KeyMetadata} = await new KMSClient(aws).send(new CreateKeyCommand({}))
  const key = {keyID: KeyMetadata?.KeyId ?? '', region: REGION, endpoint: emulator.url}
  const wrapper = kmsWrapper(key, login)
  const secret = randomBytes(32)
  const unwrapped = await wrapper.unwrap(await wrapper.wrap(secret, signal), signal)
  expect(Buffer.from(unwrapped ?? [])).toEqual(secret)
})

/** JSON is YAML. */
const kubeconfigOf = ({port, ca}: {readonly port: number; readonly ca: string}, user: object): string => {
  const authority = Buffer.from(ca).toString('base64')
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {name: 'c', cluster: {server: `https://127.0.0.1:${port}`, 'certificate-authority-data': authority}},
    ],
    users: [{name: 'u', user}],
    contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
    'current-context': 'x',
  })
}

test('the installed package refreshes the expired OIDC token of a kubeconfig', async (context) => {
  const {root} = installed(context)
  const {openForeignKube} = (await moduleOf(root, 'kubernetes/foreign')) as typeof ForeignModule
  await withRecordingApi((api) =>
    withRecordingIssuer(async (issuer) => {
      const url = `https://localhost:${issuer.port}`
      const nowS = Math.floor(Date.now() / 1000)
      const renewed = [{alg: 'RS256'}, {iss: url, aud: 'c', sub: 'ada', iat: nowS, exp: nowS + 600}, {}]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.')
      issuer.answer = () => ({
        status: 200,
        body: {access_token: 'a', token_type: 'Bearer', id_token: renewed},
      })
      const config = {
        'idp-issuer-url': url,
        'idp-certificate-authority-data': Buffer.from(issuer.ca).toString('base64'),
        'client-id': 'c',
        'client-secret': 's',
        'refresh-token': 'r',
      }
      const text = kubeconfigOf(api, {'auth-provider': {name: 'oidc', config}})
      const kube = await openForeignKube({text, environment: {}, signal: context.signal})
      await kube.fetch('/')
      kube.close()
      expect(api.arrived.at(-1)?.headers.authorization).toBe(`Bearer ${renewed}`)
    }),
  )
})

test('the installed package asks a cluster as the exec plugin of its kubeconfig says', async (context) => {
  const {root} = installed(context)
  const {openForeignKube} = (await moduleOf(root, 'kubernetes/foreign')) as typeof ForeignModule
  await withRecordingApi(async (api) => {
    const file = join(api.folder, 'config')
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: {token: 'of-the-plugin'},
    }
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'echo',
      args: [JSON.stringify(credential)],
      interactiveMode: 'Never',
    }
    await writeFile(file, kubeconfigOf(api, {exec}))
    const environment = {PATH: process.env.PATH}
    const kube = await openForeignKube({files: [file], environment, signal: context.signal})
    await kube.fetch('/api/v1/nodes')
    kube.close()
    expect(api.arrived.at(-1)?.headers.authorization).toBe('Bearer of-the-plugin')
  })
})
