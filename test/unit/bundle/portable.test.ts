import {copyFile, mkdir, realpath, symlink, writeFile} from 'node:fs/promises'
import {basename, dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import type {DebianRecipe} from '../../../src/bundle/debian-recipes.ts'
import type {DebianPackage} from '../../../src/bundle/debian.ts'
import {readElfLinks} from '../../../src/bundle/elf.ts'
import {imageTree, packagesOf, portableFolder, selectFiles} from '../../../src/bundle/portable.ts'
import {temporaryFolder} from '../../support/tiny-bundle.ts'

const TRIPLET = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
const ARCH = process.arch === 'arm64' ? 'arm64' : 'amd64'

const recipe: DebianRecipe = {
  from: 'debian',
  suite: 'stable',
  packages: ['dash'],
  programs: [{path: 'usr/bin/dash', names: ['sh']}],
  plugins: [],
}

function packageOf(name: string): DebianPackage {
  return {name, version: '1', suite: 'stable', sizeBytes: 1, sha256: name.padEnd(64, '0')}
}

/** Two unpacked packages with this machine's own shell and C library, the way Debian 12 lays them out. */
async function unpackedShell(dir: string): Promise<Parameters<typeof selectFiles>[1]> {
  const links = await readElfLinks('/bin/sh')
  const loader = links?.interpreter ?? ''
  const library = join(dir, 'libc6', 'lib', TRIPLET)
  await mkdir(library, {recursive: true})
  await mkdir(join(dir, 'libc6', dirname(loader)), {recursive: true})
  await copyFile(await realpath(loader), join(library, basename(loader)))
  for (const name of links?.needed ?? []) {
    await copyFile(await realpath(join('/usr/lib', TRIPLET, name)), join(library, `real-${name}`))
    await symlink(`real-${name}`, join(library, name))
  }
  if (dirname(loader) !== '/lib')
    await symlink(`/lib/${TRIPLET}/${basename(loader)}`, join(dir, 'libc6', loader))
  await mkdir(join(dir, 'dash', 'bin'), {recursive: true})
  await copyFile('/bin/sh', join(dir, 'dash', 'bin', 'dash'))
  return ['dash', 'libc6'].map((name) => ({item: packageOf(name), dir: join(dir, name)}))
}

test('a program travels with its loader, the libraries it names and a wrapper per name', async () => {
  await using folder = await temporaryFolder()
  const selection = await selectFiles(recipe, await unpackedShell(folder.dir), ARCH)
  const entries = portableFolder(recipe, selection)
  const paths = entries.map((entry) => entry.path)
  expect(paths).toEqual(expect.arrayContaining(['sh', 'libexec/dash', 'lib/libc.so.6']))
  expect(entries.find((entry) => entry.path === 'sh')).toMatchObject({
    text: expect.stringMatching(/^exec "\$dir\/lib\/ld-linux\S+" --argv0 sh --library-path/m) as string,
  })
  expect(packagesOf(selection).map(({name}) => name)).toEqual(['dash', 'libc6'])
})

test('in an image the same files are where programs look for them', async () => {
  await using folder = await temporaryFolder()
  const selection = await selectFiles(recipe, await unpackedShell(folder.dir), ARCH)
  const entries = imageTree(recipe, selection, ARCH)
  expect(entries).toContainEqual({path: 'usr/bin/sh', linkTo: 'dash'})
  expect(entries).toContainEqual({path: 'bin', linkTo: 'usr/bin'})
  expect(entries.map((entry) => entry.path)).toContain(`usr/lib/${TRIPLET}/libc.so.6`)
})

test('a library that no package holds is named', async () => {
  await using folder = await temporaryFolder()
  const trees = await unpackedShell(folder.dir)
  const selecting = selectFiles(recipe, trees.slice(0, 1), ARCH)
  await expect(selecting).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    message: expect.stringMatching(/needs (libc\.so\.6|ld-linux)/) as string,
  })
})

test('a program that no package holds is named', async () => {
  await using folder = await temporaryFolder()
  const trees = await unpackedShell(folder.dir)
  const selecting = selectFiles({...recipe, programs: [{path: 'usr/sbin/absent'}]}, trees, ARCH)
  await expect(selecting).rejects.toThrow('usr/sbin/absent')
})

test('files of one folder become one file of an image, in the order of their names', async () => {
  await using folder = await temporaryFolder()
  const certificates = join(folder.dir, 'authorities', 'usr/share/ca-certificates/mozilla')
  await mkdir(certificates, {recursive: true})
  await writeFile(join(certificates, 'b.crt'), 'second\n')
  await writeFile(join(certificates, 'a.crt'), 'first')
  const trees = [
    ...(await unpackedShell(folder.dir)),
    {item: packageOf('authorities'), dir: join(folder.dir, 'authorities')},
  ]
  const joined = {folder: 'usr/share/ca-certificates/mozilla', path: 'etc/ssl/certs/all.crt'}
  const selection = await selectFiles({...recipe, joined}, trees, ARCH)
  const made = imageTree(recipe, selection, ARCH).find(({path}) => path === joined.path)
  expect(made).toEqual({path: joined.path, text: 'first\nsecond\n', mode: 0o644})
  expect(packagesOf(selection).map(({name}) => name)).toContain('authorities')
  const absent = selectFiles({...recipe, joined}, trees.slice(0, 2), ARCH)
  await expect(absent).rejects.toThrow('usr/share/ca-certificates/mozilla')
})

test('folders of data and given files are in an image, without links to other packages', async () => {
  await using folder = await temporaryFolder()
  const zones = join(folder.dir, 'zones', 'usr/share/zoneinfo')
  await mkdir(join(zones, 'Europe'), {recursive: true})
  await writeFile(join(zones, 'Europe/Zurich'), 'zone')
  await symlink('Europe/Zurich', join(zones, 'Local'))
  await symlink('/etc/localtime', join(zones, 'localtime'))
  const trees = [
    ...(await unpackedShell(folder.dir)),
    {item: packageOf('zones'), dir: join(folder.dir, 'zones')},
  ]
  const wanted = {...recipe, folders: ['usr/share/zoneinfo'], texts: {'etc/passwd': 'root:x:0:0\n'}}
  const selection = await selectFiles(wanted, trees, ARCH)
  const entries = imageTree(wanted, selection, ARCH)
  const file = join(zones, 'Europe/Zurich')
  expect(entries.filter(({path}) => path.startsWith('usr/share/'))).toMatchObject([
    {path: 'usr/share/zoneinfo/Europe/Zurich', file},
    {path: 'usr/share/zoneinfo/Local', file},
  ])
  expect(entries).toContainEqual({path: 'etc/passwd', text: 'root:x:0:0\n', mode: 0o644})
  expect(packagesOf(selection).map(({name}) => name)).toContain('zones')
})

test('an image of files alone has no loader', async () => {
  await using folder = await temporaryFolder()
  const trees = await unpackedShell(folder.dir)
  const nothing = {...recipe, programs: [], texts: {'etc/group': 'root:x:0\n'}}
  const selection = await selectFiles(nothing, trees, ARCH)
  expect(selection.loader).toBeUndefined()
  const files = imageTree(nothing, selection, ARCH).filter((entry) => !('linkTo' in entry))
  expect(files).toEqual([{path: 'etc/group', text: 'root:x:0\n', mode: 0o644}])
  expect(() => portableFolder(nothing, selection)).toThrow('no program of the packages has an ELF')
})
