import {expect} from 'vitest'
import {z} from 'zod'
import {
  CHECKPOINT_IMAGE_PREFIX,
  CHECKPOINT_IMAGES_LABEL,
  NODE_STORE_DIR,
  ORIGINAL_ANNOTATION,
} from '../../src/api/names.ts'
import {refOf} from '../../src/kubernetes/refs.ts'
import {agentsOf, asked, attacked, comesTo, ended, posted, refusal, victim} from '../support/attack-scene.ts'
import {attackDefinitions} from '../support/attack-definitions.ts'
import {attackHardening} from '../support/attack-hardening.ts'
import {attackHttp} from '../support/attack-http.ts'
import {attackLimits, attackRefusedRestore, attackRestores} from '../support/attack-restores.ts'
import {attackStored} from '../support/attack-stored.ts'
import {moveWhoIsNotRoot} from '../support/e2e-not-root.ts'
import {endOf} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'

const MEMORY = `${CHECKPOINT_IMAGE_PREFIX}team/ck/main@sha256:${'0'.repeat(64)}`
const FORBIDDEN = 'forbidden'
const nodeStatusSchema = z.looseObject({
  addresses: z.array(z.looseObject({type: z.string(), address: z.string()})),
})

scenario('attacks on a live cluster', {prefix: 'e2e-attack', workers: 2}, (chapter) => {
  chapter('a cluster comes up, with a pod of somebody on each worker', async (cluster) => {
    const made = await cluster.init()
    expect(made.exitCode, endOf(made)).toBe(0)
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      for (const node of ['worker-1', 'worker-2']) await editor.create(victim('team', `on-${node}`, node))
      for (const node of ['worker-1', 'worker-2'])
        await ended(root, victim('team', `on-${node}`, node), 'Running')
    })
  })

  chapter('root of one node has power over that node alone', async (cluster) => {
    await attacked(cluster, async ({root, agentOf}) => {
      const agent = await agentOf('worker-1')
      const exec = (namespace: string, pod: string): Promise<string> =>
        refusal(posted(agent, `/api/v1/namespaces/${namespace}/pods/${pod}/exec?command=id&stdout=true`))
      expect(await exec('team', 'on-worker-2')).toContain(FORBIDDEN)
      expect(await exec('team', 'on-worker-1')).toContain(FORBIDDEN)
      expect(await exec('kube-system', 'etcd-cp-1')).toContain(FORBIDDEN)
      const taken = asked('Checkpoint', 'team', 'taken', {podRef: {name: 'on-worker-2'}, podPolicy: 'Delete'})
      expect(await refusal(agent.create(taken))).toContain(FORBIDDEN)
      const moved = asked('Migration', 'team', 'moved', {podName: 'on-worker-2', nodeName: 'worker-1'})
      expect(await refusal(agent.create(moved))).toContain(FORBIDDEN)
      const other = {apiVersion: 'v1', kind: 'Pod', namespace: 'team', name: 'on-worker-2'}
      expect(await refusal(agent.delete(other))).toContain('pods of its own node only')
      const label = {metadata: {labels: {'node-role.kubernetes.io/control-plane': ''}}}
      for (const name of ['worker-1', 'worker-2'])
        expect(await refusal(agent.patch({apiVersion: 'v1', kind: 'Node', name}, label))).toContain(
          'a node agent',
        )
      const secrets = await agent.fetch('/api/v1/namespaces/kube-system/secrets')
      expect(secrets.status).toBe(403)
      expect((await root.get(other))?.metadata.deletionTimestamp).toBeUndefined()
    })
  })

  chapter('no kubelet does anything for the token of an agent', async (cluster) => {
    await attacked(cluster, async ({root}) => {
      const uid = (await agentsOf(root)).get('worker-1')?.metadata.uid
      const token = `$(cat /var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~projected/token/token)`
      for (const node of ['worker-1', 'worker-2']) {
        const found = await root.get({apiVersion: 'v1', kind: 'Node', name: node})
        const {addresses} = nodeStatusSchema.parse(found?.['status'])
        const ip = addresses.find(({type}) => type === 'InternalIP')?.address
        const answers = (method: string, path: string): Promise<string> =>
          cluster.read(
            'worker-1',
            `curl -sk -m 20 -o /dev/null -w '%{http_code}' -X ${method} -H "Authorization: Bearer ${token}" https://${ip}:10250/${path}`,
          )
        // 401 would be a token that is none.
        expect(await answers('POST', `checkpoint/team/on-${node}/main`), node).toBe('403')
        expect(await answers('GET', 'pods'), node).toBe('403')
      }
    })
  })

  chapter('an agent claims no checkpoint of a pod of another node', async (cluster) => {
    await attacked(cluster, async ({root, agentOf}) => {
      const agent = await agentOf('worker-1')
      const open = asked('Checkpoint', 'team', 'open', {podRef: {name: 'on-worker-2'}})
      const signalled = (name: string) =>
        cluster.read('worker-2', `kill -${name} $(pgrep -f '/[c]luster.js node-agent$')`)
      // Whose it is would claim it at once.
      await signalled('STOP')
      try {
        await root.create(open)
        const claim = {phase: 'Dumping', nodeName: 'worker-1'}
        const refused = async (status: object) =>
          expect(await refusal(agent.patch(refOf(open), {status}, {subresource: 'status'}))).toContain(
            'a node agent writes only',
          )
        // Before the controller has given it to the node of its pod, and then.
        await refused(claim)
        expect(await ended(root, open, 'Pending')).toMatchObject({nodeName: 'worker-2'})
        for (const status of [claim, {phase: 'Failed'}, {nodeName: 'worker-1'}]) await refused(status)
      } finally {
        await signalled('CONT')
      }
      expect(await ended(root, open, 'Ready', 'Failed')).toMatchObject({phase: 'Ready', nodeName: 'worker-2'})
    })
  })

  chapter('an agent does not say what is made of a checkpoint of its own node', async (cluster) => {
    await attacked(cluster, async ({root, agentOf, editorOf}) => {
      const [agent, editor] = [await agentOf('worker-1'), await editorOf('team')]
      const own = asked('Checkpoint', 'team', 'described', {podRef: {name: 'on-worker-1'}})
      await editor.create(own)
      expect(await ended(editor, own, 'Ready', 'Failed')).toMatchObject({phase: 'Ready'})
      const before = (await root.get(refOf(own)))?.['status']
      for (const spec of [
        {serviceAccountName: 'another'},
        {containers: [{name: 'main', image: 'evil:1'}]},
        {volumes: [{name: 'host', hostPath: {path: '/'}}]},
      ])
        expect(
          await refusal(agent.patch(refOf(own), {status: {podTemplate: {spec}}}, {subresource: 'status'})),
        ).toContain('does not say which pod')
      expect((await root.get(refOf(own)))?.['status']).toEqual(before)
    })
  })

  chapter('hooks run through the runtime of the node, and end with their time', async (cluster) => {
    await attacked(cluster, async ({editorOf}) => {
      const editor = await editorOf('team')
      const hooked = async (name: string, command: string[], timeoutSeconds = 30) => {
        const before = {container: 'main', command, timeoutSeconds}
        const object = asked('Checkpoint', 'team', name, {
          podRef: {name: 'on-worker-1'},
          hooks: {preCheckpoint: before},
        })
        await editor.create(object)
        return ended(editor, object, 'Ready', 'Failed')
      }
      expect(await hooked('told', ['/smoke', 'lookup', 'localhost'])).toMatchObject({phase: 'Ready'})
      expect((await hooked('wrong', ['/smoke', 'no-such-word'])).message).toContain('exited with code 2')
      expect((await hooked('long', ['/smoke', 'serve', ':9999'], 2)).message).toContain('was killed')
      const left = await cluster.read('worker-1', 'grep -lz :[9]999 /proc/[0-9]*/cmdline || true')
      expect(left.trim()).toBe('')
    })
  })

  chapter('nobody is given the memory of another pod, nor another past', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const labels = {[CHECKPOINT_IMAGES_LABEL]: 'true'}
      await root.patch({apiVersion: 'v1', kind: 'Namespace', name: 'team'}, {metadata: {labels}})
      const forged = JSON.stringify({containers: {main: {image: MEMORY, imagePullPolicy: 'Never'}}})
      const annotations = {[ORIGINAL_ANNOTATION]: forged}
      const words = 'by the controller alone'
      expect(
        await refusal(
          editor.create(
            victim('team', 'born', 'worker-1', {metadata: {name: 'born', namespace: 'team', annotations}}),
          ),
        ),
      ).toContain(words)
      const own = {apiVersion: 'v1', kind: 'Pod', namespace: 'team', name: 'on-worker-1'}
      expect(await refusal(editor.patch(own, {metadata: {annotations}}))).toContain(words)
      const pods = [
        [{containers: [{name: 'main', image: MEMORY}]}, 'created by a Restore'],
        [{initContainers: [{name: 'first', image: MEMORY}]}, 'created by a Restore'],
        [{volumes: [{name: 'memory', image: {reference: MEMORY}}]}, 'not mounted'],
      ] as const
      const reader = (spec: object): Promise<string> =>
        refusal(editor.create(victim('team', 'reader', 'worker-1', {spec})))
      await comesTo(pods[0][1], () => reader(pods[0][0]))
      for (const [spec, why] of pods) expect(await reader(spec)).toContain(why)
    })
  })

  chapter('a checkpoint removes no archive of another pod', async (cluster) => {
    const file = '/var/lib/kubelet/checkpoints/checkpoint-on-worker-1_team-b-main-2099-01-01T00:00:00Z.tar'
    await cluster.read('worker-1', `mkdir -p /var/lib/kubelet/checkpoints && touch -d 2099-01-01 '${file}'`)
    await attacked(cluster, async ({editorOf}) => {
      const editor = await editorOf('team')
      const grab = asked('Checkpoint', 'team', 'grab', {
        podRef: {name: 'on-worker-1'},
        containers: ['b-main'],
      })
      await editor.create(grab)
      expect((await ended(editor, grab, 'Ready', 'Failed')).message).toContain('no such container')
    })
    await cluster.read('worker-1', `test -e '${file}' && rm '${file}'`)
  })

  chapter('what a namespace stores tells nothing of another', async (cluster) => {
    await attacked(cluster, async ({editorOf}) => {
      const layers: string[][] = []
      for (const namespace of ['red', 'blue']) {
        const editor = await editorOf(namespace)
        const pod = victim(namespace, 'web', 'worker-1')
        await editor.create(pod)
        await ended(editor, pod, 'Running')
        const checkpoint = asked('Checkpoint', namespace, 'ck', {podRef: {name: 'web'}})
        await editor.create(checkpoint)
        const status = await ended(editor, checkpoint, 'Ready', 'Failed')
        expect(status).toMatchObject({phase: 'Ready'})
        expect(Object.keys(status)).not.toContain('newBytes')
        const hex = status.digest?.replace('sha256:', '') ?? ''
        const manifest = await cluster.read('worker-1', `cat ${NODE_STORE_DIR}/manifests/${hex}/*`)
        layers.push([...manifest.matchAll(/sha256:[0-9a-f]{64}/g)].map(([digest]) => digest))
      }
      const [red = [], blue = []] = layers
      expect(red.length).toBeGreaterThan(1)
      expect(red.filter((digest) => blue.includes(digest))).toEqual([])
    })
  })

  chapter('a store is for the namespaces that it is meant for', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const metadata = {name: 'archive'}
      await root.apply([
        {apiVersion: 'clouder.dev/v1alpha1', kind: 'CheckpointStore', metadata, spec: {node: {}}},
      ])
      const spec = {podRef: {name: 'on-worker-1'}, storeName: 'archive'}
      const attempt = (dryRun: boolean): Promise<string> =>
        refusal(editor.create(asked('Checkpoint', 'team', 'friend', spec), {dryRun}))
      // Admission reads stores from a watch, so a new one is unknown to it for a moment.
      await comesTo('may not use this store', () => attempt(true))
      expect(await attempt(false)).toContain('may not use this store')
      const grant = {metadata: {labels: {'stores.clouder.dev/archive': 'true'}}}
      const team = {apiVersion: 'v1', kind: 'Namespace', name: 'team'}
      expect(await refusal(editor.patch(team, grant))).toContain(FORBIDDEN)
      await root.patch(team, grant)
      await comesTo('let in', () => attempt(false))
      expect(await ended(root, asked('Checkpoint', 'team', 'friend', spec), 'Ready', 'Failed')).toMatchObject(
        {phase: 'Ready'},
      )
    })
  })

  attackRestores(chapter)
  moveWhoIsNotRoot(chapter)
  attackLimits(chapter)
  attackDefinitions(chapter)
  attackHttp(chapter)
  attackStored(chapter)
  attackHardening(chapter)
  attackRefusedRestore(chapter)
})
