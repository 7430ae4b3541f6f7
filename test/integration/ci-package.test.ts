import {execFile} from 'node:child_process'
import {access, readFile, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {beforeAll, expect, test} from 'vitest'
import {z} from 'zod'
import {packageRoot} from '../support/cli.ts'
import {withTempFolder} from '../support/temp-folder.ts'

const run = promisify(execFile)
const MAX_BYTES = 5_000_000
const PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFAkKFBhY2thZ2VUZXN0S2V5MDEyMzQ1Njc4OWFi test'
const BUILD_TIME_ONLY = ['cdktf', 'constructs', '@cdktf/provider-aws', '@cdktf/provider-azurerm', 'esbuild']

const packedSchema = z.tuple([
  z.looseObject({
    filename: z.string(),
    size: z.number(),
    files: z.array(z.looseObject({path: z.string()})),
  }),
])
const stackSchema = z.looseObject({
  terraform: z.looseObject({required_providers: z.record(z.string(), z.unknown())}),
  resource: z.record(z.string(), z.record(z.string(), z.unknown())),
  output: z.looseObject({machines: z.unknown()}),
})

beforeAll(async () => {
  // What is packed is what was built; a checkout that was only compiled would pack stacks that need cdktf.
  await stat(join(packageRoot, 'dist/stacks/LICENSES.txt')).catch((cause: unknown) => {
    throw new Error('the package is not built: npm run build', {cause})
  })
})

async function pack(dir: string): Promise<z.output<typeof packedSchema>[0]> {
  const argv = ['pack', '--json', '--ignore-scripts', '--pack-destination', dir]
  const {stdout} = await run('npm', argv, {cwd: packageRoot, maxBuffer: 64 * 2 ** 20})
  return packedSchema.parse(JSON.parse(stdout))[0]
}

test('the package is small, and holds the stacks without the packages they are made with', async () => {
  await withTempFolder(async (dir) => {
    const {size, files} = await pack(dir)
    expect(size).toBeLessThan(MAX_BYTES)
    const paths = files.map(({path}) => path)
    expect(paths).toContain('dist/stacks/aws.js')
    expect(paths).toContain('dist/stacks/azure.js')
    expect(paths).toContain('dist/stacks/LICENSES.txt')
    expect(paths.filter((path) => path.startsWith('test/') || path.includes('node_modules'))).toEqual([])
    const manifest = z
      .looseObject({dependencies: z.record(z.string(), z.string())})
      .parse(JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')))
    expect(Object.keys(manifest.dependencies).filter((name) => BUILD_TIME_ONLY.includes(name))).toEqual([])
    const licences = await readFile(join(packageRoot, 'dist/stacks/LICENSES.txt'), 'utf8')
    expect(licences).toMatch(/^cdktf 0\.21\.0 \(MPL-2\.0\)/m)
  })
})

test('the installed package makes a stack of each cloud without what only its build needs', async (context) => {
  await withTempFolder(async (dir) => {
    const {filename} = await pack(dir)
    const install = ['install', '--global', '--prefix', dir, '--prefer-offline', '--ignore-scripts']
    try {
      await run('npm', [...install, '--no-audit', '--no-fund', join(dir, filename)], {
        cwd: dir,
        timeout: 240_000,
      })
    } catch (error) {
      if (
        !(error instanceof Error) ||
        !/E(NOTFOUND|TIMEDOUT|CONNREFUSED|NOTCACHED|AI_AGAIN)/.test(error.message)
      )
        throw error
      context.skip('npm reaches no registry and has not all packages in its cache')
    }
    const installed = join(dir, 'lib/node_modules/clouder')
    for (const name of BUILD_TIME_ONLY)
      await expect(access(join(installed, 'node_modules', name)), name).rejects.toThrow('ENOENT')

    const version = await run(process.execPath, [join(dir, 'bin/clouder'), '--version'])
    expect(version.stdout).toMatch(/^clouder\/\d/)
    for (const [kind, place] of [
      ['aws', 'aws: {region: eu-central-1}'],
      ['azure', 'azure: {location: westeurope}'],
    ] as const) {
      const file = join(dir, `${kind}.yaml`)
      await writeFile(file, clusterYaml(kind, place))
      const made = await run(process.execPath, [join(installed, 'dist/stacks/main.js'), file], {
        cwd: dir,
        env: {...process.env, CLOUDER_SSH_PUBLIC_KEY: PUBLIC_KEY},
      })
      const path = join(dir, 'cdktf.out/stacks', `packed-${kind}`, 'cdk.tf.json')
      expect(made.stdout.trim()).toBe(join('cdktf.out/stacks', `packed-${kind}`, 'cdk.tf.json'))
      const synthesised = await run(
        process.execPath,
        [join(dir, 'bin/clouder'), 'infra', 'synth', '--config', file],
        {
          cwd: dir,
          env: {
            ...process.env,
            CLOUDER_SSH_PUBLIC_KEY: PUBLIC_KEY,
            CLOUDER_HOME: join(dir, 'home'),
            NODE_ENV: undefined,
          },
          maxBuffer: 64 * 2 ** 20,
        },
      )
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
