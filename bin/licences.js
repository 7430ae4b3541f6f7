import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'

/**
 * Names, versions, licences and notices of every package below `root` of which a bundle holds something, from esbuild's
 * account of it. A text that several packages share is there once.
 */
export async function licencesOf(root, {outputs}) {
  const inputs = Object.values(outputs).flatMap(({inputs}) =>
    Object.entries(inputs).flatMap(([path, {bytesInOutput}]) => (bytesInOutput > 0 ? [path] : [])),
  )
  const folders = new Set(
    inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  )
  const packagesByText = new Map()
  for (const folder of [...folders].sort()) {
    const {title, text} = await licenceOf(join(root, folder))
    packagesByText.set(text, [...(packagesByText.get(text) ?? []), title])
  }
  return [...packagesByText]
    .map(([text, packages]) => `${packages.join('\n')}\n\n${text}\n`)
    .join(`\n${'-'.repeat(80)}\n\n`)
}

async function licenceOf(folder) {
  const {name, version, license} = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  const files = (await readdir(folder)).filter((entry) => /^(licen[cs]e|copying|notice)/i.test(entry)).sort()
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
  return {
    title: `${name} ${version} (${license}), source: https://www.npmjs.com/package/${name}/v/${version}`,
    text: texts.map((text) => text.replaceAll('\r\n', '\n').trim()).join('\n\n'),
  }
}
