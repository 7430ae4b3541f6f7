import {lstat, readFile, readdir, readlink} from 'node:fs/promises'
import {basename, dirname, join, normalize} from 'node:path'
import {BundleError} from './errors.ts'
import type {DebianRecipe} from './debian-recipes.ts'
import type {DebianPackage} from './debian.ts'
import {readElfLinks} from './elf.ts'
import type {TreeEntry} from './tar.ts'
import type {Arch} from './types.ts'

interface IndexedFile {
  /** Absolute, of the regular file; links are followed. */
  readonly file: string
  readonly mode: number
  readonly package: DebianPackage
}

/** What programs need to run, found in unpacked packages: paths there -> files. */
export interface Selection {
  /** Program path -> file. */
  readonly programs: ReadonlyMap<string, IndexedFile>
  /** Library name (`libc.so.6`) -> file; the loader is among them by its own name. */
  readonly libraries: ReadonlyMap<string, IndexedFile>
  /** Plugin path below its folder -> file. */
  readonly plugins: ReadonlyMap<string, IndexedFile>
  /** A file made of others, for an image. */
  readonly joined: {readonly path: string; readonly text: string; readonly package: DebianPackage} | undefined
  /** Path -> file of the folders that are taken whole. */
  readonly data: ReadonlyMap<string, IndexedFile>
  /** Absolute path that programs name as their loader, `/lib64/ld-linux-x86-64.so.2`; undefined: all are static. */
  readonly loader: string | undefined
}

const TRIPLETS: Readonly<Record<Arch, string>> = {amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu'}
const MERGED = /^(bin|sbin|lib|lib64)\//

/** Finds the programs of a recipe in unpacked packages, with the closure of the libraries they link. Throws BundleError. */
export async function selectFiles(
  recipe: DebianRecipe,
  trees: readonly {readonly item: DebianPackage; readonly dir: string}[],
  arch: Arch,
): Promise<Selection> {
  const index = new Map<string, IndexedFile>()
  const links = new Map<string, string>()
  for (const {item, dir} of trees) await indexTree(dir, '', item, index, links)
  const lookUp = (path: string): IndexedFile | undefined => {
    let at = path
    for (let hops = 0; hops < 8; hops += 1) {
      const found = index.get(at)
      if (found !== undefined) return found
      const target = links.get(at)
      if (target === undefined) return undefined
      at = merged(target.startsWith('/') ? target.slice(1) : normalize(join(dirname(at), target)))
    }
    return undefined
  }
  const triplet = TRIPLETS[arch]
  const programs = new Map(recipe.programs.map(({path}) => [path, wanted(path, lookUp(path))]))
  const plugins = new Map<string, IndexedFile>()
  const namesBelow = (folder: string): readonly string[] =>
    [...index.keys(), ...links.keys()].filter((key) => key.startsWith(`${folder}/`))
  for (const folder of recipe.plugins.map((path) => path.replace('<triplet>', triplet))) {
    for (const path of namesBelow(folder))
      plugins.set(path.slice(folder.length + 1), wanted(path, lookUp(path)))
  }
  // Links of data to packages that are not among these lead nowhere.
  const data = new Map(
    recipe.folders?.flatMap((folder) =>
      namesBelow(folder).flatMap((path): [string, IndexedFile][] => {
        const found = lookUp(path)
        return found === undefined ? [] : [[path, found]]
      }),
    ),
  )
  const findLibrary = (name: string): IndexedFile | undefined =>
    [`usr/lib/${triplet}`, 'usr/lib', 'usr/lib64']
      .map((folder) => lookUp(`${folder}/${name}`))
      .find((found) => found)
  const joined = recipe.joined === undefined ? undefined : await joinFiles(recipe.joined, index)
  return {
    programs,
    plugins,
    joined,
    data,
    ...(await closeOver([...programs.values(), ...plugins.values()], findLibrary)),
  }
}

/** Packages that gave at least one file. */
export function packagesOf(selection: Selection): readonly DebianPackage[] {
  const {programs, libraries, plugins, data} = selection
  const files = [programs, libraries, plugins, data].flatMap((map) => [...map.values()])
  const {joined} = selection
  const packages = [
    ...new Set([...files, ...(joined === undefined ? [] : [joined])].map((file) => file.package)),
  ]
  return packages.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * A folder that runs on any distribution: programs below `libexec`, everything they load below `lib`, and wrappers
 * that start them through the loader in there, so that nothing of the host's C library is used.
 */
export function portableFolder(recipe: DebianRecipe, selection: Selection): readonly TreeEntry[] {
  if (selection.loader === undefined)
    throw new BundleError('BUILD_FAILED', 'no program of the packages has an ELF interpreter')
  const loader = basename(selection.loader)
  const entries: TreeEntry[] = filesBelow('lib', selection.libraries)
  entries.push(...filesBelow('lib/plugins', selection.plugins))
  for (const {path, names} of recipe.programs) {
    const {file} = wanted(path, selection.programs.get(path))
    const program = basename(path)
    entries.push({path: `libexec/${program}`, file, mode: 0o755})
    for (const name of names ?? [program]) {
      const text = wrapper(name, program, loader, selection.plugins.size > 0)
      entries.push({path: name, text, mode: 0o755})
    }
  }
  return entries
}

/** The same files at the places where programs look for them, for an image. */
export function imageTree(recipe: DebianRecipe, selection: Selection, arch: Arch): readonly TreeEntry[] {
  const triplet = TRIPLETS[arch]
  const entries: TreeEntry[] = [
    ...['bin', 'sbin', 'lib', 'lib64'].map((name) => ({path: name, linkTo: `usr/${name}`})),
    ...filesBelow(`usr/lib/${triplet}`, selection.libraries),
  ]
  if (selection.joined !== undefined) {
    const {path, text} = selection.joined
    entries.push({path, text, mode: 0o644})
  }
  if (selection.loader !== undefined) {
    const loader = merged(selection.loader.slice(1))
    entries.push({path: loader, linkTo: `/usr/lib/${triplet}/${basename(loader)}`})
  }
  for (const [path, {file, mode}] of selection.data) entries.push({path, file, mode: mode & 0o755})
  for (const [path, text] of Object.entries(recipe.texts ?? {})) entries.push({path, text, mode: 0o644})
  for (const folder of recipe.plugins) {
    entries.push(...filesBelow(folder.replace('<triplet>', triplet), selection.plugins))
  }
  for (const {path, names = []} of recipe.programs) {
    const {file, mode} = wanted(path, selection.programs.get(path))
    entries.push({path, file, mode})
    for (const name of names) entries.push({path: join(dirname(path), name), linkTo: basename(path)})
  }
  return entries
}

async function joinFiles(
  {folder, path}: NonNullable<DebianRecipe['joined']>,
  index: ReadonlyMap<string, IndexedFile>,
): Promise<NonNullable<Selection['joined']>> {
  const names = [...index.keys()].filter((name) => name.startsWith(`${folder}/`)).sort()
  const found = wanted(folder, index.get(names[0] ?? ''))
  const texts = await Promise.all(names.map((name) => readFile(index.get(name)?.file ?? name, 'utf8')))
  return {path, text: texts.map((text) => `${text.trimEnd()}\n`).join(''), package: found.package}
}

function filesBelow(folder: string, files: ReadonlyMap<string, IndexedFile>): TreeEntry[] {
  return [...files].map(([name, {file, mode}]) => ({path: `${folder}/${name}`, file, mode: mode & 0o755}))
}

function wrapper(name: string, program: string, loader: string, hasPlugins: boolean): string {
  return [
    '#!/bin/sh',
    'dir=$(dirname "$(readlink -f "$0")")',
    ...(hasPlugins ? ['export XTABLES_LIBDIR="$dir/lib/plugins"'] : []),
    `exec "$dir/lib/${loader}" --argv0 ${name} --library-path "$dir/lib" "$dir/libexec/${program}" "$@"`,
    '',
  ].join('\n')
}

async function closeOver(
  roots: readonly IndexedFile[],
  findLibrary: (name: string) => IndexedFile | undefined,
): Promise<{libraries: ReadonlyMap<string, IndexedFile>; loader: string | undefined}> {
  const libraries = new Map<string, IndexedFile>()
  let loader: string | undefined
  const queue = [...roots]
  const require = (name: string, by: string): void => {
    if (libraries.has(name)) return
    const found = findLibrary(name)
    if (found === undefined)
      throw new BundleError('BUILD_FAILED', `${by} needs ${name}, which none of its packages contains`)
    libraries.set(name, found)
    queue.push(found)
  }
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const elf = await readElfLinks(next.file)
    for (const name of elf?.needed ?? []) require(name, next.file)
    if (elf?.interpreter !== undefined) {
      loader = elf.interpreter
      require(basename(loader), next.file)
    }
  }
  // The C library opens it by name when a thread is cancelled.
  if (loader !== undefined && findLibrary('libgcc_s.so.1') !== undefined)
    require('libgcc_s.so.1', 'libc.so.6')
  return {libraries, loader}
}

function wanted(path: string, found: IndexedFile | undefined): IndexedFile {
  if (found === undefined)
    throw new BundleError('BUILD_FAILED', `no Debian package of the recipe contains ${path}`)
  return found
}

async function indexTree(
  root: string,
  folder: string,
  item: DebianPackage,
  index: Map<string, IndexedFile>,
  links: Map<string, string>,
): Promise<void> {
  for (const entry of await readdir(join(root, folder), {withFileTypes: true})) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) {
      await indexTree(root, path, item, index, links)
    } else if (entry.isSymbolicLink()) {
      links.set(merged(path), await readlink(join(root, path)))
    } else if (entry.isFile()) {
      const {mode} = await lstat(join(root, path))
      index.set(merged(path), {file: join(root, path), mode: mode & 0o777, package: item})
    }
  }
}

/** Debian 12's packages still hold `/bin/ip`; on every system it is found below `/usr`. */
function merged(path: string): string {
  return MERGED.test(path) ? `usr/${path}` : path
}
