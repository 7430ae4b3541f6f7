import {existsSync, readFileSync, readdirSync} from 'node:fs'
import {cp, mkdir, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {
  catalogueFor,
  expectedReferences,
  imagesFor,
  PROGRAM_REFERENCE,
  supportedVersions,
} from '../../../src/bundle/catalogue.ts'
import {catalogueHash} from '../../../src/bundle/catalogue-hash.ts'
import {AGENT_SOCKET, MEMORY_DIR, RESTORE_ANNOTATION, RESTORE_DIR} from '../../../src/api/names.ts'
import {DEFAULT_KUBERNETES_VERSION} from '../../../src/spec/cluster-spec.ts'
import {buildTinyBundle, sharedTinyBundle, temporaryFolder, tinySource} from '../../support/tiny-bundle.ts'

const MODULES = join(import.meta.dirname, '../../../src/bundle/modules')

test('the default version can be built', () => {
  expect(supportedVersions()).toContain(DEFAULT_KUBERNETES_VERSION)
})

test.each(supportedVersions())('every binary of %s is built by a component of the catalogue', (version) => {
  const {components, files, images, tools} = catalogueFor(version)
  const built = new Map(components.map(({module, packages}) => [module, Object.keys(packages)]))
  for (const {recipe} of [...files, ...tools]) {
    if (recipe.from === 'go')
      expect(built.get(recipe.module)).toEqual(expect.arrayContaining([...recipe.binaries]))
  }
  for (const {recipe} of images) {
    if ('module' in recipe)
      expect(built.get(recipe.module)).toEqual(expect.arrayContaining(Object.keys(recipe.binaries)))
  }
})

test.each(supportedVersions())('the modules of %s pin the versions that the catalogue names', (version) => {
  for (const {module, upstream} of catalogueFor(version).components) {
    const goMod = readFileSync(join(MODULES, module, 'go.mod'), 'utf8')
    if (upstream === undefined) {
      expect(existsSync(join(MODULES, module, 'main.go'))).toBe(true)
    } else {
      expect(goMod).toContain(upstream.replace('@', ' '))
      expect(existsSync(join(MODULES, module, 'go.sum'))).toBe(true)
    }
  }
})

test('the files of manifests are of a module whose content go.sum pins', () => {
  for (const {recipe} of catalogueFor(DEFAULT_KUBERNETES_VERSION).manifests) {
    const pinned = `${recipe.upstream.replace('@', ' ')} h1:`
    expect(readFileSync(join(MODULES, recipe.module, 'go.sum'), 'utf8')).toContain(pinned)
  }
})

test('no module says where it was downloaded', () => {
  for (const module of readdirSync(MODULES)) {
    expect(readFileSync(join(MODULES, module, 'go.mod'), 'utf8')).not.toMatch(/https?:|GOPROXY/)
  }
})

test.each(supportedVersions())('every image of %s has one reference of its own', (version) => {
  const references = expectedReferences(version)
  expect(new Set(references).size).toBe(references.length)
  expect(references).toContain(`registry.k8s.io/kube-apiserver:v${version}`)
})

test('a worker gets what runs there, a control plane everything', async () => {
  await using folder = await temporaryFolder()
  const bundle = await buildTinyBundle({dir: folder.dir, source: tinySource()})
  const namesFor = (role: 'control-plane' | 'worker', ...chosen: readonly string[]) =>
    imagesFor(bundle, role, new Set(chosen))
      .map((image) => image.name)
      .sort()
  expect(namesFor('worker')).toEqual(['clouder', 'coredns', 'flannel', 'kube-proxy', 'pause', 'smoke'])
  expect(namesFor('control-plane')).toEqual(
    bundle.lock.images.flatMap(({name, addon}) => (addon === true ? [] : [name])).sort(),
  )
})

test('an image of addons is on nodes only where it is chosen, on each of them', async () => {
  const bundle = await sharedTinyBundle()
  const added = (role: 'control-plane' | 'worker') => {
    const before = new Set(imagesFor(bundle, role, new Set()))
    const chosen = new Set(['metrics-server', 'kube-apiserver'])
    return imagesFor(bundle, role, chosen).filter((image) => !before.has(image))
  }
  for (const role of ['control-plane', 'worker'] as const)
    expect(added(role).map(({name}) => name)).toEqual(['metrics-server'])
})

test('the restore handler asks where the node agent listens, and about the annotation that pods have', () => {
  const source = readFileSync(join(MODULES, 'restore', 'main.go'), 'utf8')
  for (const value of [AGENT_SOCKET, RESTORE_DIR, MEMORY_DIR, RESTORE_ANNOTATION])
    expect(source).toContain(`"${value}"`)
})

test('the programs of the cluster have the version of the package', () => {
  const {version} = JSON.parse(readFileSync(join(MODULES, '../../../package.json'), 'utf8')) as {
    version: string
  }
  expect(PROGRAM_REFERENCE).toBe(`clouder.dev/clouder:${version}`)
})

test('another program of the cluster is another bundle', async () => {
  await using folder = await temporaryFolder()
  const hash = () => catalogueHash(DEFAULT_KUBERNETES_VERSION, folder.dir)
  await cp(MODULES, join(folder.dir, 'src/bundle/modules'), {recursive: true})
  const absent = await hash()
  const program = join(folder.dir, 'dist/programs/cluster.js')
  await mkdir(dirname(program), {recursive: true})
  await writeFile(program, 'one')
  const one = await hash()
  await writeFile(join(folder.dir, 'src/bundle/modules/restore/more_test.go'), 'package main')
  expect(await hash(), 'tests are in no binary').toBe(one)
  await writeFile(program, 'two')
  expect(new Set([absent, one, await hash()]).size).toBe(3)
})
