import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'

/** Names, versions and licence texts of every package below `root` that one of `inputs` was taken from. */
export async function licencesOf(root, inputs) {
  const folders = new Set(
    inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  )
  const parts = [...folders].sort().map(async (folder) => {
    const {name, version, license} = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'))
    const file = (await readdir(join(root, folder))).find((entry) => /^licen[cs]e/i.test(entry))
    const text = file === undefined ? '' : await readFile(join(root, folder, file), 'utf8')
    return `${name} ${version} (${license}), source: https://www.npmjs.com/package/${name}/v/${version}\n\n${text.trim()}\n`
  })
  return (await Promise.all(parts)).join(`\n${'-'.repeat(80)}\n\n`)
}
