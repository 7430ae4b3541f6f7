export interface StepEvent {
  readonly phase: string
  readonly step: string
  readonly host?: string
}

/** Everything a run tells; reporters draw it, `--json` prints it a line each with a time. */
export type RunEvent =
  | {readonly type: 'phase-started'; readonly phase: string; readonly title: string}
  | {
      readonly type: 'phase-planned'
      readonly phase: string
      readonly steps: readonly {readonly host?: string; readonly step: string; readonly reason: string}[]
    }
  | ({readonly type: 'step-started'; readonly reason: string} & StepEvent)
  | ({readonly type: 'step-progress'; readonly text: string} & StepEvent)
  | ({readonly type: 'step-done'; readonly durationMs: number} & StepEvent)
  | ({readonly type: 'step-failed'; readonly durationMs: number; readonly message: string} & StepEvent)
  | {
      readonly type: 'phase-done'
      readonly phase: string
      readonly durationMs: number
      readonly steps: number
      /** Set on a dry run: the steps were planned only. */
      readonly dryRun?: true
    }
  | {readonly type: 'phase-failed'; readonly phase: string; readonly durationMs: number}
  /** Tasks that come, told before the first of them starts. */
  | {
      readonly type: 'tasks-planned'
      readonly tasks: readonly {readonly task: string; readonly title: string}[]
    }
  /** Long work that is not a phase: making machines, building the bundle, connecting. */
  | {readonly type: 'task-started'; readonly task: string; readonly title: string}
  | {readonly type: 'task-progress'; readonly task: string; readonly text: string}
  | {readonly type: 'task-done'; readonly task: string; readonly durationMs: number; readonly text?: string}
  | {
      readonly type: 'task-failed'
      readonly task: string
      readonly durationMs: number
      readonly message: string
    }
  | {readonly type: 'note'; readonly level: 'info' | 'warning'; readonly text: string; readonly host?: string}

export type Report = (event: RunEvent) => void
