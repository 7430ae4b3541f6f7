import {expect, test} from 'vitest'
import {
  watchDump,
  type KernelFiles,
  type WatchTask,
} from '../../../../src/programs/node-agent/freeze-worker.ts'

interface Moment {
  readonly self: '0' | '1'
  readonly tracer: string
}

const POD = {file: '/pod/freezer.state', freeze: 'FROZEN', frozenFile: '/pod/freezer.state', frozen: 'FROZEN'}
const QUIET: Moment = {self: '0', tracer: '0'}
/** containerd pauses, CRIU holds and thaws, sets the freezer again, lets go, containerd resumes. */
const DUMP: readonly Moment[] = [
  QUIET,
  {self: '1', tracer: '0'},
  {self: '1', tracer: '2191'},
  {self: '0', tracer: '2191'},
  {self: '1', tracer: '2191'},
  {self: '1', tracer: '0'},
  {self: '1', tracer: '0'},
  QUIET,
]

/** A kernel that goes on to the next moment with each pause, 0.5 ms later; ends with the kubelet's answer. */
function kernel(moments: readonly Moment[]) {
  const over = new SharedArrayBuffer(4)
  const written: string[] = []
  let at = 0
  const files: KernelFiles = {
    read: (path) => {
      const {self, tracer} = moments[Math.min(at, moments.length - 1)] ?? QUIET
      if (path === POD.file) return written.at(-1) ?? 'THAWED'
      return path === '/self' ? self : `Name:\tsmoke\nTracerPid:\t${tracer}\nUid:\t0`
    },
    write: (_, text) => void written.push(text),
    nowMs: () => at * 0.5,
    pause: () => {
      at++
      if (at >= moments.length) Atomics.store(new Int32Array(over), 0, 1)
    },
  }
  const task: WatchTask = {selfFile: '/self', statusFile: '/proc/7/status', over}
  return {files, task, written}
}

test('the pod is frozen while containerd still holds the container: no moment in which it ran', () => {
  const {files, task, written} = kernel(DUMP)
  expect(watchDump({...task, pod: POD}, files)).toEqual({
    dumped: true,
    frozenMs: 2,
    podFrozen: true,
    gapMs: undefined,
  })
  expect(written).toEqual(['FROZEN'])
})

test('a freeze that comes after the resume tells how long the process may have run', () => {
  const late = DUMP.filter((moment, at) => at < 5 || moment.self === '0')
  const {files, task} = kernel(late)
  expect(watchDump({...task, pod: POD}, files)).toMatchObject({podFrozen: true, gapMs: 0.5})
})

test('a pod that goes on is only watched, and how long it stood still is told', () => {
  const {files, task, written} = kernel(DUMP)
  expect(watchDump(task, files)).toEqual({dumped: true, frozenMs: 3, podFrozen: false, gapMs: undefined})
  expect(written).toEqual([])
})

test('a dump that fails before CRIU holds anything freezes nothing', () => {
  const {files, task, written} = kernel([QUIET, {self: '1', tracer: '0'}, QUIET])
  expect(watchDump({...task, pod: POD}, files)).toMatchObject({dumped: false, podFrozen: false})
  expect(written).toEqual([])
})

test('a process that ends while it is watched ends the watch', () => {
  const {files, task} = kernel(DUMP)
  const gone: KernelFiles = {...files, read: () => undefined}
  expect(watchDump({...task, pod: POD}, gone)).toMatchObject({dumped: false, podFrozen: false})
})
