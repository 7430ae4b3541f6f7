import type {RunEvent} from '../../src/base/run-events.ts'

/** Events of a run in which one phase had nothing to do, one worked, and one failed on a host. */
export const recordedRun: readonly RunEvent[] = [
  {type: 'task-started', task: 'machines', title: 'Make 2 machines'},
  {type: 'task-progress', task: 'machines', text: 'starting cp-1'},
  {type: 'note', level: 'warning', text: 'swap is on', host: 'cp-1'},
  {type: 'task-done', task: 'machines', durationMs: 800, text: '2 made'},
  {type: 'phase-started', phase: 'kernel', title: 'Preparing the kernel'},
  {type: 'phase-planned', phase: 'kernel', steps: []},
  {type: 'phase-done', phase: 'kernel', durationMs: 120, steps: 0},
  {type: 'phase-started', phase: 'containerd', title: 'Install and configure containerd'},
  {
    type: 'phase-planned',
    phase: 'containerd',
    steps: [
      {host: 'cp-1', step: 'write /etc/containerd/config.toml', reason: 'absent'},
      {host: 'worker-1', step: 'write /etc/containerd/config.toml', reason: 'differs'},
      {host: 'worker-1', step: 'restart containerd', reason: 'its configuration changes'},
    ],
  },
  step('step-started', 'cp-1', 'write /etc/containerd/config.toml', {reason: 'absent'}),
  step('step-started', 'worker-1', 'write /etc/containerd/config.toml', {reason: 'differs'}),
  step('step-progress', 'worker-1', 'write /etc/containerd/config.toml', {text: '45 %'}),
  step('step-done', 'cp-1', 'write /etc/containerd/config.toml', {durationMs: 400}),
  step('step-failed', 'worker-1', 'write /etc/containerd/config.toml', {
    durationMs: 700,
    message: 'no space left on device',
  }),
  {type: 'phase-failed', phase: 'containerd', durationMs: 1200},
]

function step<Type extends RunEvent['type'], Rest extends object>(
  type: Type,
  host: string,
  summary: string,
  rest: Rest,
): {type: Type; phase: string; host: string; step: string} & Rest {
  return {type, phase: 'containerd', host, step: summary, ...rest}
}
