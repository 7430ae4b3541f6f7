import {expect, test} from 'vitest'
import {podSchema} from '../../../../src/kubernetes/pod.ts'
import {progressOf} from '../../../../src/programs/controller/restore-status.ts'

function refused(words: string, restartCount: number) {
  return podSchema.parse({
    metadata: {name: 'web', namespace: 'team', uid: 'one'},
    spec: {nodeName: 'worker-1', containers: [{name: 'main', image: 'x'}]},
    status: {
      phase: 'Running',
      containerStatuses: [
        {
          name: 'main',
          restartCount,
          state: {waiting: {reason: 'CrashLoopBackOff', message: 'back-off'}},
          lastState: {terminated: {reason: 'StartError', exitCode: 128, message: words}},
        },
      ],
    },
  })
}

test.for([
  'the node agent refuses: STORE_UNREACHABLE: registry.example.com/team does not answer: ECONNREFUSED',
  'the node agent refuses: KEY_UNREACHABLE: AWS KMS does not answer for key alias/memory: TimeoutError',
  'the node agent refuses: API_UNREACHABLE: the API server did not answer GET /api/v1: socket hang up',
  'the node agent refuses: API_UNAVAILABLE: cannot read Pod team/web: 500 etcdserver: leader changed',
  'clouder restore: the node agent does not answer: dial unix /run/clouder/agent/restore.sock: no such file',
])('what is away is waited for: %s', (words) => {
  expect(progressOf(refused(words, 7)).state).toBe('waiting')
})

test.for([
  'PRIVILEGES_WIDER',
  'NODE_UNLIKE',
  'TOO_LARGE',
  'KEY_WRONG',
  'SIGNATURE_INVALID',
  'BLOB_TAMPERED',
  'BLOB_MISSING',
  'CHECKPOINT_UNKNOWN',
  'RESTORE_UNSUPPORTED',
  'IMAGE_UNAVAILABLE',
])('what another attempt does not change is no reason to try again: %s', (reason) => {
  const words = `the node agent refuses: ${reason}: no`
  expect(progressOf(refused(words, 0))).toEqual({state: 'failed', reason, message: words})
})

test('whatever else fails is tried three times', () => {
  expect(progressOf(refused('CRIU: it did not work', 2)).state).toBe('waiting')
  expect(progressOf(refused('CRIU: it did not work', 3))).toMatchObject({
    state: 'failed',
    reason: 'RESTORE_FAILED',
  })
})

test('what CRIU wrote of its errors is told as cause and fix, and in its own words', () => {
  const words = [
    'failed to create shim task: OCI runtime create failed: web-1 could not be restored: exit status 1:',
    "(00.012345)      7: Error (criu/files-reg.c:2340): Can't open file scratch/log on restore: No such file or directory",
    "(00.012400)      7: Error (criu/files-reg.c:2388): Can't open file /scratch/log",
  ].join('\n')
  const progress = progressOf(refused(words, 3))
  expect(progress).toMatchObject({state: 'failed', reason: 'RESTORE_FAILED'})
  expect(progress.message).toMatch(
    /^process 7: \/scratch\/log does not exist, but was open when the process was dumped; restore with/,
  )
  expect(progress.message).toContain('files-reg.c:2340')
})
