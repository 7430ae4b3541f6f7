import {chmod, mkdir, mkdtemp, rename, rm, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import type {GoComponent} from './go-components.ts'
import {resolvePackages, unpackPackages} from './debian.ts'
import {isOnPath, requireProgram, runProcess} from './process.ts'
import type {SourceContext} from './source.ts'
import type {Arch} from './types.ts'

const GO_FIX = 'install Go 1.26.8 or newer from https://go.dev/dl and put its bin folder on PATH'
const CROSS_COMPILERS: Readonly<Record<Arch, {program: string; fix: string}>> = {
  amd64: {
    program: 'x86_64-linux-gnu-gcc',
    fix: 'apt-get install -y gcc-x86-64-linux-gnu libc6-dev-amd64-cross',
  },
  arm64: {
    program: 'aarch64-linux-gnu-gcc',
    fix: 'apt-get install -y gcc-aarch64-linux-gnu libc6-dev-arm64-cross',
  },
}
const NATIVE_COMPILER = {program: 'gcc', fix: 'apt-get install -y gcc libc6-dev'}

/** What a component with `seccomp` is linked against. */
export const SECCOMP_PACKAGES: readonly string[] = ['libseccomp-dev']

/** Builds all binaries of a component; gives the folder that holds them by name. Throws BundleError BUILD_FAILED. */
export async function buildGoComponent(component: GoComponent, context: SourceContext): Promise<string> {
  await requireProgram('go', GO_FIX, context.environment)
  const out = join(context.workDir, 'go', context.arch, component.module)
  await mkdir(dirname(out), {recursive: true})
  // A folder of its own: the compiler of a build that was killed may still be writing to another.
  const partial = await mkdtemp(`${out}.partial-`)
  const environment = await buildEnvironment(component, context)
  const cwd = join(context.packageRoot, 'src', 'bundle', 'modules', component.module)
  context.progress(`compiling ${component.upstream ?? component.module}`)
  const paths = Object.values(component.packages)
  const flags = [
    '-mod=readonly',
    '-buildvcs=false',
    '-trimpath',
    '-ldflags',
    linkerFlags(component, environment),
  ]
  const tags = component.tags === undefined ? [] : ['-tags', component.tags.join(',')]
  await runProcess(['go', 'build', ...flags, ...tags, '-o', `${partial}/`, ...paths], {
    cwd,
    environment,
    signal: context.signal,
    onLine: (line) => {
      context.progress(line)
    },
  })
  for (const [name, path] of Object.entries(component.packages)) {
    const built = builtName(path)
    if (built !== name) await rename(join(partial, built), join(partial, name))
  }
  await rm(out, {recursive: true, force: true})
  await rename(partial, out)
  return out
}

/** `go1.26.8`; `none` without Go. */
export async function goVersion(context: SourceContext): Promise<string> {
  if (!(await isOnPath('go', context.environment))) return 'none'
  const output = await runProcess(['go', 'env', 'GOVERSION'], {
    cwd: context.packageRoot,
    environment: context.environment,
    signal: context.signal,
  })
  return output.trim()
}

/** Go names a binary after the last element of its path that is no major version. */
function builtName(path: string): string {
  const elements = path.split('/').filter((element) => !/^v\d+$/.test(element))
  return elements.at(-1) ?? path
}

function linkerFlags(
  component: GoComponent,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const variables = Object.entries(component.variables).map(([name, value]) => `-X ${name}=${value}`)
  const isStaticC = environment['CGO_ENABLED'] === '1'
  return [
    '-s',
    '-w',
    ...(isStaticC ? ['-linkmode', 'external', '-extldflags', '-static'] : []),
    ...variables,
  ].join(' ')
}

async function buildEnvironment(
  component: GoComponent,
  context: SourceContext,
): Promise<Readonly<Record<string, string | undefined>>> {
  const needsCompiler = component.cgo?.includes(context.arch) === true
  // Flags of the user's own could change what is built.
  const base = {...context.environment, GOOS: 'linux', GOARCH: context.arch, GOFLAGS: '', GOWORK: 'off'}
  if (!needsCompiler) return {...base, CGO_ENABLED: '0'}
  const compiler = context.arch === hostArch() ? NATIVE_COMPILER : CROSS_COMPILERS[context.arch]
  await requireProgram(compiler.program, compiler.fix, context.environment)
  const library = component.seccomp === true ? await seccompLibrary(context) : {}
  return {...base, CGO_ENABLED: '1', CC: compiler.program, ...library}
}

function hostArch(): Arch {
  return process.arch === 'arm64' ? 'arm64' : 'amd64'
}

/**
 * libseccomp of the target's architecture, unpacked beside the build instead of installed; a tiny pkg-config answers
 * for it, so that none has to be there.
 */
async function seccompLibrary(context: SourceContext): Promise<Readonly<Record<string, string>>> {
  const closure = await resolvePackages(SECCOMP_PACKAGES, 'stable', context)
  const library = closure.filter(({name}) => name === 'libseccomp-dev')
  const [tree] = await unpackPackages(library, 'stable', context)
  const dir = tree?.dir ?? ''
  const triplet = context.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
  const script = join(context.workDir, `pkg-config-${context.arch}`)
  const answers = [
    '*--modversion*) echo 2.5 ;;',
    `*--cflags*) echo "-I${dir}/usr/include" ;;`,
    `*) echo "-L${dir}/usr/lib/${triplet} -lseccomp" ;;`,
  ]
  await writeFile(script, `#!/bin/sh\ncase "$*" in\n${answers.join('\n')}\nesac\n`)
  await chmod(script, 0o755)
  return {PKG_CONFIG: script}
}
