import {execFile, spawnSync} from 'node:child_process'
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {controlPlaneText} from '../../support/azure-made.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

/** Says in which state the address of the balancer is before, while and after something listens as the API would. */
const DRIVER = `
ip link set lo up
bash "$1" & watcher=$!
trap 'kill $watcher' EXIT
has() { ip -4 address show dev lo | grep -q 'inet 10.0.0.9/32'; }
until_true() { for _ in $(seq 150); do if "$@"; then return 0; fi; sleep 0.1; done; return 1; }
has_not() { ! has; }
answers() { timeout 1 bash -c '</dev/tcp/10.0.0.9/6443' 2> /dev/null; }
answers && echo 'answered too early'
"$2" -e "require('node:net').createServer().listen(6443)" & api=$!
until_true has && until_true answers && echo 'its own API answers'
kill $api
until_true has_not && echo 'left to the balancer'
`

const mayMakeNetworks = spawnSync('unshare', ['-n', 'ip', 'link', 'set', 'lo', 'up']).status === 0

test('a control plane answers for the address of the internal balancer only while its own API listens', async (context) => {
  if (!mayMakeNetworks) return context.skip('no right to make a network namespace here, or no unshare or ip')
  await withTempFolder(async (folder) => {
    const watcher = join(folder, 'watcher.sh')
    await writeFile(watcher, watcherText('10.0.0.9'))
    const words = ['-n', 'bash', '-c', DRIVER, 'driver', watcher, process.execPath]
    const {stdout} = await promisify(execFile)('unshare', words, {timeout: 60_000})
    expect(stdout).toBe('its own API answers\nleft to the balancer\n')
  })
})

/** The script that cloud-init leaves on a control plane, out of the stack. */
function watcherText(address: string): string {
  const [, script = ''] = /clouder-api-loopback <<'END'\n(.*?)END\n/s.exec(controlPlaneText(address)) ?? []
  return script
}
