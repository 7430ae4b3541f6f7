import type {RunEvent, StepEvent} from '../../base/run-events.ts'
import {formatDuration} from '../duration.ts'

/** More names than this are told as a number. */
const NAMED = 5

interface Open {
  readonly title: string
  readonly startedAt: number
  /** Of a phase: steps that it planned and that have ended. */
  steps: number
  done: number
  /** What a task said last, or the steps that run. */
  readonly texts: Map<string, string>
}

/** What of a run has begun and not ended, and which announced tasks have not begun. */
export interface OpenWork {
  follow(event: RunEvent): void
  /** A line for each open phase and task, with its time, and one for what comes; empty: nothing is open. */
  lines(): readonly string[]
}

export function openWork(now: () => number): OpenWork {
  const open = new Map<string, Open>()
  const announced = new Set<string>()
  const begin = (name: string, title: string): void => {
    announced.delete(name)
    open.set(name, {title, startedAt: now(), steps: 0, done: 0, texts: new Map()})
  }
  return {
    follow(event) {
      switch (event.type) {
        case 'tasks-planned':
          for (const {task} of event.tasks) announced.add(task)
          break
        case 'phase-started':
          begin(event.phase, event.title)
          break
        case 'task-started':
          begin(event.task, event.title)
          break
        case 'phase-done':
        case 'phase-failed':
          open.delete(event.phase)
          break
        case 'task-done':
        case 'task-failed':
          open.delete(event.task)
          break
        case 'task-progress':
          open.get(event.task)?.texts.set('', event.text)
          break
        case 'note':
          break
        default:
          followPhase(open.get(event.phase), event)
      }
    },
    lines() {
      const lines = [...open].map(([name, item]) => `${name}  ${lineOf(item, now())}`)
      return lines.length === 0 || announced.size === 0 ? lines : [...lines, `next  ${namesOf(announced)}`]
    },
  }
}

type PhaseEvent = Extract<RunEvent, {type: 'phase-planned'} | {type: `step-${string}`}>

function followPhase(phase: Open | undefined, event: PhaseEvent): void {
  if (phase === undefined) return
  if (event.type === 'phase-planned') {
    phase.steps = event.steps.length
    return
  }
  if (event.type === 'step-started' || event.type === 'step-progress') {
    phase.texts.set(keyOf(event), stepText(event))
    return
  }
  phase.texts.delete(keyOf(event))
  phase.done += 1
}

const keyOf = ({host = '', step}: StepEvent): string => `${host}/${step}`

function stepText(event: Extract<PhaseEvent, {type: 'step-started' | 'step-progress'}>): string {
  const {host, step} = event
  const text = event.type === 'step-progress' ? `${step}: ${event.text}` : step
  return host === undefined ? text : `${host}: ${text}`
}

function lineOf({title, startedAt, steps, done, texts}: Open, at: number): string {
  const what = texts.size === 0 ? title : listOf([...texts.values()], '; ')
  const count = steps === 0 ? '' : `, ${done} of ${steps} steps done`
  return `still running: ${what} (${formatDuration(at - startedAt)}${count})`
}

const namesOf = (names: ReadonlySet<string>): string => `${names.size} more: ${listOf([...names], ', ')}`

function listOf(items: readonly string[], separator: string): string {
  const named = items.slice(0, NAMED).join(separator)
  return items.length > NAMED ? `${named}${separator}and ${items.length - NAMED} more` : named
}
