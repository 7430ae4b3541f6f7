// Writes what `clouder --help` prints, so that nothing has to be made of the manifest then. Runs after oclif's manifest.
import {readFile, writeFile} from 'node:fs/promises'

const root = new URL('..', import.meta.url)
const {programFacts} = await import(new URL('dist/src/cli/quick.js', root).href)
const {rootHelp} = await import(new URL('dist/src/cli/root-help.js', root).href)
const {commands} = JSON.parse(await readFile(new URL('oclif.manifest.json', root), 'utf8'))
await writeFile(new URL('dist/help.txt', root), rootHelp(programFacts(root), Object.values(commands)))
