import {contextIn, specOf} from './local-cluster.ts'
import {localProviderHere} from './with-engine.ts'

// Provisions 1+1 as a process of its own, so that a test can kill it: <home> <cluster>.
const [home = '', cluster = ''] = process.argv.slice(2)
await localProviderHere().provision(specOf(cluster, {workers: [{count: 1}]}), contextIn(home, cluster))
