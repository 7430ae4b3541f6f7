/** A process that takes a lock, says so, and holds it until it is killed. Arguments: home, name. */
import {diskStore} from '../../src/store/disk.ts'

const [home = '', name = ''] = process.argv.slice(2)
const store = diskStore({home, now: Date.now, pid: process.pid, hostname: 'laptop'})
await store.lock(name, 'kubeadm init')
process.stdout.write('held\n')
process.stdin.resume()
