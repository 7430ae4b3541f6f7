#!/usr/bin/env node
// As `engines` in package.json, which npm only warns of.
const oldestMinors = {22: 19, 23: 5}
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || minor < (oldestMinors[major] ?? 0)) {
  const needed = major === 23 ? '23.5' : '22.19'
  process.stderr.write(
    `clouder needs Node.js ${needed} or newer; this is ${process.versions.node} (${process.execPath})\n`,
  )
  process.exitCode = 1
} else {
  const argv = process.argv.slice(2)
  const root = new URL('..', import.meta.url)
  // --version and --help are answered without loading oclif: a third of the time.
  const {answerQuickly} = await import('../dist/src/cli/quick.js')
  if (!answerQuickly(argv, root)) {
    // What a command loads is compiled once, and kept. A cache that cannot be written is done without.
    const [{enableCompileCache}, {homedir}, {cacheDir}] = await Promise.all([
      import('node:module'),
      import('node:os'),
      import('../dist/src/store/cache-dir.js'),
    ])
    enableCompileCache(`${cacheDir(process.env, homedir())}/compiled`)
    const {main} = await import('../dist/src/cli/main.js')
    await main(argv, root.href)
  }
}
