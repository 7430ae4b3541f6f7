import {expect} from 'vitest'
import {z} from 'zod'
import type {KubeClient} from '../../src/kubernetes/types.ts'
import {endOf} from './e2e-results.ts'
import {
  answering,
  answerOf,
  asked,
  attacked,
  ended,
  scripted,
  secured,
  selfOf,
  told,
  victim,
} from './attack-scene.ts'
import type {Chapter} from './e2e-scenario.ts'

const refused = asked('Restore', 'strict', 'refused', {checkpointName: 'ck', podName: 'again'})

const HOLDS_A_FILE = `
  const held = require('fs').openSync('/about/name')
  ${answering()}`

export function attackRestores(chapter: Chapter): void {
  chapter('a restore is under Pod Security, and says so at once', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('strict')
      const pod = victim('strict', 'loose', 'worker-1')
      await editor.create(pod)
      await ended(editor, pod, 'Running')
      const checkpoint = asked('Checkpoint', 'strict', 'ck', {podRef: {name: 'loose'}})
      await editor.create(checkpoint)
      expect(await ended(editor, checkpoint, 'Ready', 'Failed')).toMatchObject({phase: 'Ready'})
      await secured(root, 'strict', 'restricted', pod)
      await editor.create(refused)
      const status = await told(editor, refused, /violates PodSecurity "restricted/)
      expect(status).toMatchObject({phase: 'Preparing'})
    })
  })

  chapter('a pod that holds a file of its downward API open is not moved, and runs on', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const container = {volumeMounts: [{name: 'about', mountPath: '/about'}]}
      const items = [{path: 'name', fieldRef: {fieldPath: 'metadata.name'}}]
      const spec = {volumes: [{name: 'about', downwardAPI: {items}}]}
      const pod = scripted('team', 'holds', 'worker-1', HOLDS_A_FILE, {container, spec})
      await editor.create(pod)
      await ended(editor, pod, 'Running')
      const before = await selfOf(root, 'team', 'holds')
      const move = asked('Migration', 'team', 'holds', {podName: 'holds', nodeName: 'worker-2'})
      await editor.create(move)
      expect(await ended(editor, move, 'Succeeded', 'RolledBack', 'Failed')).toMatchObject({
        phase: 'Failed',
        reason: 'RESTORE_IMPOSSIBLE',
      })
      expect(await selfOf(root, 'team', 'holds')).toBe(before)
    })
  })
}

/** Answers the limits and the oom_score_adj that its process has at that moment. */
const TELLS_LIMITS = `
  const own = (name) => require('fs').readFileSync('/proc/self/' + name, 'utf8')
  ${answering(`{score: own('oom_score_adj'), limits: own('limits')}`)}`

const toldLimitsSchema = z.object({score: z.coerce.number(), limits: z.string()})

async function limitsOf(kube: KubeClient, namespace: string, name: string) {
  const {score, limits} = toldLimitsSchema.parse(JSON.parse(await answerOf(kube, namespace, name)))
  return {score, messages: /^Max msgqueue size +\S+ +(\S+)/m.exec(limits)?.[1]}
}

/** What a process had been given on its node and for its pod's requests, it does not keep where it gets less. */
export function attackLimits(chapter: Chapter): void {
  chapter('a restored process has the limits of its new container from the first moment', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const requests = (memory: string) => ({resources: {requests: {cpu: '10m', memory}}})
      const pod = scripted('team', 'greedy', 'worker-1', TELLS_LIMITS, {container: requests('2Gi')})
      await editor.create(pod)
      await ended(editor, pod, 'Running')
      const [token, before] = [await selfOf(root, 'team', 'greedy'), await limitsOf(root, 'team', 'greedy')]
      // What protected it from the kernel when memory is short, it asks for no more; the process itself stays as it is.
      const patch = JSON.stringify({spec: {containers: [{name: 'main', ...requests('16Mi')}]}})
      const words = ['patch', 'pod', 'greedy', '-n', 'team', '--subresource', 'resize', '--patch', patch]
      const resized = await cluster.clouder(['kubectl', '-c', cluster.name, '--', ...words])
      expect(resized.exitCode, endOf(resized)).toBe(0)
      expect(await limitsOf(root, 'team', 'greedy')).toEqual(before)
      // A node that gives less to what its runtime starts.
      await cluster.read('worker-2', 'prlimit --pid $(pidof containerd) --msgqueue=4096:8192')
      const move = asked('Migration', 'team', 'greedy', {podName: 'greedy', nodeName: 'worker-2'})
      await editor.create(move)
      const end = await ended(editor, move, 'Succeeded', 'RolledBack', 'Failed')
      expect(end, JSON.stringify(end)).toMatchObject({phase: 'Succeeded'})
      const tokenOf = (self: string): string | undefined => self.split(' ').at(-1)
      expect(tokenOf(await selfOf(root, 'team', 'greedy'))).toBe(tokenOf(token))
      const after = await limitsOf(root, 'team', 'greedy')
      expect(after.score).toBeGreaterThan(before.score + 10)
      expect(after.messages).toBe('8192')
    })
  })
}

/** As late as can be: what refuses a pod is given a minute to change its mind. */
export function attackRefusedRestore(chapter: Chapter): void {
  chapter('the restore that Pod Security refused is over, and made no pod', async (cluster) => {
    await attacked(cluster, async ({root}) => {
      const end = await ended(root, refused, 'Restored', 'Failed')
      expect(end).toMatchObject({phase: 'Failed', reason: 'API_REJECTED'})
      expect(end.message).toContain('violates PodSecurity "restricted')
      const pod = {apiVersion: 'v1', kind: 'Pod', namespace: 'strict', name: 'again'}
      expect(await root.get(pod)).toBeUndefined()
    })
  })
}
