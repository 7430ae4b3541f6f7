#!/usr/bin/env node
// Runs the TypeScript sources as they are; needs the development dependencies.
import {register} from 'tsx/esm/api'

process.env.NODE_ENV = 'development'
register()
const {main} = await import('../src/cli/main.ts')
await main(process.argv.slice(2), new URL('..', import.meta.url).href)
