import {buildRegistry} from './with-registry.ts'

// Builds the registry that tests of stores push to, minutes once; no single test is made to wait for it.
process.stdout.write(`${await buildRegistry()}\n`)
