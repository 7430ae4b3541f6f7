import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect} from 'vitest'
import {z} from 'zod'
import {PROGRAM_REFERENCE} from '../../src/bundle/catalogue.ts'
import {API_VERSION} from '../../src/api/names.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {
  checkpointOf,
  expectDone,
  expectSame,
  identityOf,
  kubectl,
  makeNamespace,
  NAMESPACE,
  nodeOf,
  run,
  startTraveller,
  waitForValue,
} from '../support/e2e-checkpoints.ts'
import {makeSharedClaim, offerSharedFolder} from '../support/e2e-claim.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {
  applyBusyPod,
  applyObject,
  applyPolicy,
  eventsOf,
  figuresOfControllers,
  killLeader,
  leaderOf,
  madeBy,
  pretendCloud,
  sumOf,
  waitForMade,
} from '../support/e2e-policies.ts'
import {endOf, errorSchema, lastLine, resultOf} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'

const WORKERS = ['worker-1', 'worker-2']
const MINUTE_MS = 60_000
const {signal} = new AbortController()

/** `…-202611211003`: the minute that a checkpoint of a policy is of, since the epoch. */
function minuteOf(name: string): number {
  const [, year, month, day, hour, minute] = /-(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(name) ?? []
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`) / MINUTE_MS
}

/** A server that holds a token and a buffer in memory, reads a Secret when it is asked, and says what it hears. */
const SESSION = `
  const {createHash, randomBytes} = require('crypto'), {readFileSync} = require('fs')
  const token = randomBytes(16).toString('hex'), memory = randomBytes(8 << 20)
  let count = 0
  setInterval(() => count++, 200)
  process.on('SIGTERM', () => process.exit(0))
  process.stdin.on('data', (text) => console.log('heard ' + String(text).trim()))
  require('http').createServer(({url}, response) => {
    response.setHeader('connection', 'close')
    const sha256 = createHash('sha256').update(memory).digest('hex')
    response.end(url === '/memory' ? 'sha256=' + sha256 + ' bytes=' + memory.length : 'token=' + token + ' count=' + count)
  }).listen(8080)
  console.log('up')`
const READ_WORD = `process.stdout.write(require('fs').readFileSync('/run/secrets/word/word', 'utf8'))`
const WRITE_NOTES = `const {writeFileSync: write} = require('fs'); write('/home/note', 'at home'); write('/shared/note', 'shared')`
const READ_NOTES = `process.stdout.write(['/home/note', '/shared/note'].map((path) => require('fs').readFileSync(path, 'utf8')).join(', '))`

const setWord = (cluster: E2eCluster, word: string): Promise<string> =>
  applyObject(cluster, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'word', namespace: NAMESPACE},
    stringData: {word},
  })

const outputSchema = z.looseObject({exitCode: z.int(), stdout: z.string()})
/** `clouder runtime exec … -- node -e PROGRAM`. */
async function execIn(cluster: E2eCluster, place: string, program: string): Promise<string> {
  const argv = ['runtime', 'exec', place, '--cluster', cluster.name, '--json', '--', 'node', '-e', program]
  return resultOf(await cluster.clouder(argv), outputSchema).stdout
}

const hostsSchema = z.looseObject({
  hosts: z.array(
    z.looseObject({
      metadata: z.looseObject({name: z.string()}),
      status: z
        .looseObject({
          running: z.array(z.string()).optional(),
          conditions: z.array(z.looseObject({status: z.string(), reason: z.string()})).optional(),
        })
        .optional(),
    }),
  ),
})
/** Waits until `clouder byoc ls` has this of a host: whether it is ready, why, and the runtimes that are there. */
const expectHost = (cluster: E2eCluster, name: string, wanted: string): Promise<string> =>
  waitFor({
    what: `host ${name}`,
    check: async () => {
      const {hosts} = resultOf(await run(cluster, 'byoc ls'), hostsSchema)
      const {status} = hosts.find(({metadata}) => metadata.name === name) ?? {}
      const {status: ready, reason} = status?.conditions?.[0] ?? {}
      const seen = [ready, reason, ...(status?.running ?? [])].join(' ')
      return seen === wanted ? {value: seen, seen} : {seen}
    },
    timeoutMs: MINUTE_MS,
    intervalMs: 1000,
    signal,
  })

/** Waits until `clouder runtime logs` ends with this line. */
const expectLogged = (cluster: E2eCluster, place: string, line: string): Promise<string> =>
  waitFor({
    what: `${place} to write ${line}`,
    check: async () => {
      const {stdout} = resultOf(await run(cluster, `runtime logs ${place}`), outputSchema)
      return stdout.endsWith(`${line}\n`) ? {value: stdout, seen: stdout} : {seen: stdout}
    },
    timeoutMs: MINUTE_MS,
    intervalMs: 1000,
    signal,
  })

const anotherLeads = (cluster: E2eCluster, than: string, timeoutMs: number): Promise<string> =>
  waitFor({
    what: `another controller than ${than} to lead`,
    check: async () => {
      const now = await leaderOf(cluster)
      return now === than || now === '' ? {seen: now} : {value: now, seen: now}
    },
    timeoutMs,
    intervalMs: 500,
    signal,
  })

scenario('policies, runtimes and clean-up in a cluster', {prefix: 'e2e-pol', workers: 2}, (chapter) => {
  chapter('a cluster comes up, with pods and policies for them', async (cluster) => {
    const made = await cluster.init()
    expect(made.exitCode, endOf(made)).toBe(0)
    await makeNamespace(cluster, NAMESPACE)
    for (const name of ['clock-1', 'clock-2'])
      await startTraveller(cluster, name, {node: 'worker-1', labels: {group: 'clock'}})
    await startTraveller(cluster, 'idle', {node: 'worker-2', labels: {group: 'sleepy'}})
    await applyBusyPod(cluster, 'busy', {group: 'sleepy'}, 'worker-2')
    await applyPolicy(cluster, 'sleepy', {
      selector: {matchLabels: {group: 'sleepy'}},
      idle: {cpu: '25m', durationSeconds: 20, podPolicy: 'Delete'},
    })
    const selector = {matchLabels: {group: 'clock'}}
    await applyPolicy(cluster, 'every', {selector, schedule: '* * * * *'})
    await applyPolicy(cluster, 'last', {selector, schedule: '* * * * *', retention: {keepLast: 1}})
  })

  chapter(
    'each minute is followed once, also when the controller that leads is killed in the middle of one',
    async (cluster) => {
      await waitForMade(cluster, 'every', (made) => made.length > 0)
      const killed = await killLeader(cluster)
      await anotherLeads(cluster, killed, MINUTE_MS)
      const made = await waitForMade(
        cluster,
        'every',
        (all) => new Set(all.map(({name}) => minuteOf(name))).size >= 2,
      )
      const suspend = `-n ${NAMESPACE} --type merge -p '{"spec":{"suspend":true}}'`
      for (const name of ['every', 'last']) await kubectl(cluster, `patch ckptpolicy ${name} ${suspend}`)
      const runs = made.map(({name, pod}) => `${pod} ${minuteOf(name)}`)
      expect(new Set(runs).size).toBe(runs.length)
      const minutes = [...new Set(made.map(({name}) => minuteOf(name)))].toSorted()
      expect(minutes).toEqual(minutes.map((_, index) => (minutes[0] ?? 0) + index))
      const whole = await waitForMade(cluster, 'every', (all) =>
        all.every(({phase}) => phase === 'Ready' || phase === 'Failed'),
      )
      expect(whole.map(({phase}) => phase)).toEqual(whole.map(() => 'Ready'))
      const kept = await waitForMade(cluster, 'last', (all) => all.length === 2)
      expect(kept.map(({pod}) => pod).toSorted()).toEqual(['clock-1', 'clock-2'])
      expect(await eventsOf(cluster, 'CheckpointPolicy', 'every')).toContain('Scheduled')
      // Of the minute in which it was suspended there may be more than were seen.
      const counted = '.status.pods} {.status.checkpoints} {.status.conditions[0].reason'
      await waitFor({
        what: 'the policy to count what it made',
        check: async () => {
          const count = (await madeBy(cluster, 'every')).length
          const path = `get ckptpolicy/every -n ${NAMESPACE} -o 'jsonpath={${counted}}'`
          const seen = `${await kubectl(cluster, path)}, of ${count}`
          return {seen, ...(seen === `2 ${count} Valid, of ${count}` ? {value: true} : {})}
        },
        timeoutMs: 4 * MINUTE_MS,
        intervalMs: 1000,
        signal,
      })
    },
  )

  chapter('an idle pod is saved and ended, a busy one is left', async (cluster) => {
    const made = await waitForMade(cluster, 'sleepy', (all) => all.some(({phase}) => phase === 'Ready'))
    expect(made.map(({pod}) => pod)).toEqual(['idle'])
    await kubectl(cluster, `wait --for=delete pod/idle -n ${NAMESPACE} --timeout=60s`)
    expect(await nodeOf(cluster, 'busy')).toBe('worker-2')
    expect(await eventsOf(cluster, 'CheckpointPolicy', 'sleepy')).toContain('Idle')
    await kubectl(cluster, `delete pod busy -n ${NAMESPACE}`)
  })

  chapter('Prometheus reads what the controllers did', async (cluster) => {
    const figures = await figuresOfControllers(cluster)
    const leader = await leaderOf(cluster)
    expect(figures.size).toBe(2)
    for (const [name, text] of figures)
      expect([name, sumOf(text, 'clouder_controller_leader')]).toEqual([name, name === leader ? 1 : 0])
    const text = figures.get(leader) ?? ''
    expect(sumOf(text, 'clouder_checkpoints_total', 'result="Ready"')).toBeGreaterThan(0)
    expect(sumOf(text, 'clouder_checkpoint_duration_seconds_count')).toBeGreaterThan(0)
    expect(sumOf(text, 'clouder_checkpoint_policies')).toBe(3)
    expect(sumOf(text, 'clouder_controller_reconciles_total', 'result="done"')).toBeGreaterThan(0)
  })

  chapter('a controller that is ended lets another one lead at once', async (cluster) => {
    const leader = await leaderOf(cluster)
    await kubectl(cluster, `delete pod ${leader} -n clouder-system --wait=false`)
    // A lease that is not given back runs out after 15 seconds.
    await anotherLeads(cluster, leader, 10_000)
  })

  chapter(
    'what a policy opts in leaves a machine that its cloud takes back: AWS, Azure, and where there is no other',
    async (cluster) => {
      await kubectl(cluster, `delete pod clock-2 -n ${NAMESPACE} --wait=false`)
      await applyPolicy(cluster, 'spot', {
        selector: {matchLabels: {group: 'clock'}},
        checkpointOnInterruption: true,
      })
      const before = await identityOf(cluster, 'clock-1')
      const onNode = (node: string): Promise<string> =>
        waitForValue(
          cluster,
          'pod -l app=clock-1',
          '.items[*].spec.nodeName} {.items[*].status.phase',
          (seen) => seen === `${node} Running`,
        )
      const reportAwsProblems = await pretendCloud(cluster, 'worker-1', 'aws')
      const reportAzureProblems = await pretendCloud(cluster, 'worker-2', 'azure')
      await reportAwsProblems(JSON.stringify({action: 'terminate', time: '2026-11-21T09:02:00Z'}))
      await onNode('worker-2')
      expectSame(await identityOf(cluster, 'clock-1'), before)
      expect(await eventsOf(cluster, 'CheckpointPolicy', 'spot')).toContain('Move')
      await reportAwsProblems('')
      const preempted = (EventId: string, vm: string) =>
        JSON.stringify({
          DocumentIncarnation: 2,
          Events: [{EventId, EventType: 'Preempt', Resources: [vm]}],
        })
      // One of another machine first: it is nothing to this one.
      await reportAzureProblems(preempted('other', 'vmss_other'))
      await kubectl(cluster, 'cordon worker-1')
      await reportAzureProblems(preempted('full', 'worker-2'))
      const saved = await waitForMade(cluster, 'spot', (all) => all.some(({phase}) => phase === 'Ready'))
      expect(saved.map(({pod}) => pod)).toEqual(['clock-1'])
      expect(await nodeOf(cluster, 'clock-1')).toBe('worker-2')
      await kubectl(cluster, 'uncordon worker-1')
      await reportAzureProblems(preempted('room', 'worker-2'))
      await onNode('worker-1')
      expectSame(await identityOf(cluster, 'clock-1'), before)
      await reportAzureProblems('')
      const machines = WORKERS.map((machine) => `pod/metadata-${machine}`).join(' ')
      await kubectl(cluster, `delete ckptpolicy/spot ${machines} -n ${NAMESPACE}`)
    },
  )

  chapter(
    'a runtime is placed by what hosts have, paused, and resumed elsewhere with its memory, its volumes and a new Secret',
    async (cluster) => {
      for (const host of WORKERS) await expectDone(cluster, `byoc register ${host} --capability disk=fast`)
      const place = `${NAMESPACE}/anna`
      await setWord(cluster, 'first')
      await makeSharedClaim(cluster, NAMESPACE, WORKERS)
      await offerSharedFolder(cluster, 'worker-1', {namespace: NAMESPACE, claimName: 'anna-home'})
      const create = `runtime create ${place} --image ${PROGRAM_REFERENCE} --secret word --port 8080 --home 4Mi --volume shared=/shared --placement capability.clouder.dev/disk=fast`
      const made = await cluster.clouder([
        ...create.split(' '),
        ...['--cluster', cluster.name, '--json', '--', 'node', '-e', SESSION],
      ])
      expect(made.exitCode, endOf(made)).toBe(0)
      const before = await identityOf(cluster, 'anna')
      const was = await nodeOf(cluster, 'anna')
      expect(await execIn(cluster, place, READ_WORD)).toBe('first')
      await execIn(cluster, place, WRITE_NOTES)
      // It sees the process until that ends with the pause.
      const attached = cluster.clouder(['runtime', 'attach', place, '--cluster', cluster.name], {
        stdin: 'hello\n',
        timeoutMs: 2 * MINUTE_MS,
      })
      expect(await expectLogged(cluster, place, 'heard hello')).toBe('up\nheard hello\n')
      await expectHost(cluster, was, `True Joined ${place}`)

      await expectDone(cluster, `runtime pause ${place}`)
      expect((await attached).signal).toBeNull()
      await expect(nodeOf(cluster, 'anna')).rejects.toThrow(/NotFound/)
      const refused = await run(cluster, `runtime exec ${place}`)
      expect(lastLine(refused, errorSchema).code).toBe('POD_NOT_FOUND')
      await setWord(cluster, 'second')
      // A checkpoint on the disk of a node is fetched from there, so that node stays.
      await expectDone(cluster, `byoc drain ${was}`)
      await expectHost(cluster, was, 'False Draining')
      await expectDone(cluster, `runtime resume ${place}`)
      expect(await nodeOf(cluster, 'anna')).toBe(WORKERS.find((name) => name !== was))
      expectSame(await identityOf(cluster, 'anna'), before)
      expect(await execIn(cluster, place, READ_WORD)).toBe('second')
      expect(await execIn(cluster, place, READ_NOTES)).toBe('at home, shared')

      const listed = z.looseObject({
        runtimes: z.array(z.looseObject({status: z.looseObject({phase: z.string()})})),
      })
      const {runtimes} = resultOf(await run(cluster, `runtime ls --namespace ${NAMESPACE}`), listed)
      expect(runtimes.map(({status}) => status.phase)).toEqual(['Running'])
      await expectDone(cluster, `runtime delete ${place} --yes`)
      await waitForValue(
        cluster,
        'pod,ckpt,restores,svc,pvc -l clouder.dev/runtime=anna',
        '.items[*].kind',
        (kinds) => kinds === '',
      )
      await expectDone(cluster, `byoc register ${was}`)
      for (const host of WORKERS) await expectDone(cluster, `byoc remove ${host} --yes`)
      const left = await kubectl(cluster, `get nodes -l capability.clouder.dev/disk -o name`)
      expect(left).toBe('')
    },
  )

  chapter('a host that is no node tells that it is there, until it is removed', async (cluster) => {
    const file = join(cluster.home, 'outside.sh')
    await expectDone(cluster, `byoc register outside --capability arch=amd64 --script ${file}`)
    await expectHost(cluster, 'outside', 'False NeverReported')
    // As it would be on a host that reaches the API server by its own address.
    const address = await kubectl(cluster, `get node cp-1 -o 'jsonpath={.status.addresses[0].address}'`)
    const script = (await readFile(file, 'utf8')).replace(/127\.0\.0\.1:\d+/, `${address}:6443`)
    const coded = Buffer.from(script).toString('base64')
    const beat = (): Promise<string> =>
      cluster.read(
        'worker-1',
        `umask 077; base64 -d <<<${coded} >/root/outside.sh; timeout 5 sh /root/outside.sh 2>&1 || true`,
      )
    expect(await beat()).toBe('')
    await expectHost(cluster, 'outside', 'True HeartbeatReceived')
    await expectDone(cluster, 'byoc remove outside --yes')
    expect(await beat()).toMatch(/error: 40[134]/)
  })

  chapter(
    'checkpoints are listed, looked into, checked and collected; what is over goes',
    async (cluster) => {
      const names = [await checkpointOf(cluster, 'clock-1'), await checkpointOf(cluster, 'clock-1')]
      const place = `${NAMESPACE}/${names[1] ?? ''}`
      const listed = z.looseObject({
        checkpoints: z.array(z.looseObject({metadata: z.looseObject({name: z.string()})})),
      })
      const list = async (): Promise<readonly string[]> => {
        const {checkpoints} = resultOf(await run(cluster, `checkpoint ls --namespace ${NAMESPACE}`), listed)
        return checkpoints.map(({metadata}) => metadata.name)
      }
      expect(await list()).toEqual(expect.arrayContaining(names))
      const inspected = z.looseObject({
        checkpoint: z.looseObject({
          status: z.looseObject({
            summary: z.looseObject({
              containers: z.array(z.looseObject({processes: z.array(z.looseObject({command: z.string()}))})),
            }),
          }),
        }),
      })
      const {checkpoint} = resultOf(await run(cluster, `checkpoint inspect ${place}`), inspected)
      expect(checkpoint.status.summary.containers[0]?.processes[0]?.command).toBe('smoke')
      await expectDone(cluster, `checkpoint verify ${place}`)
      const gc = `checkpoint gc --keep-last 1 --namespace ${NAMESPACE}`
      await expectDone(cluster, `${gc} --dry-run`)
      expect(await list()).toEqual(expect.arrayContaining(names))
      await expectDone(cluster, gc)
      await waitForValue(
        cluster,
        'ckpt',
        '.items[*].metadata.name',
        (left) => !left.split(' ').includes(names[0] ?? ''),
      )
      expect(await list()).toContain(names[1])

      await applyObject(cluster, {
        apiVersion: API_VERSION,
        kind: 'Restore',
        metadata: {name: 'over', namespace: NAMESPACE},
        spec: {checkpointName: 'absent', ttlSecondsAfterFinished: 5},
      })
      await waitForValue(cluster, 'restores', '.items[*].metadata.name', (left) => !left.includes('over'))
    },
  )
})
