import type {RunEvent} from '../../base/run-events.ts'
import type {Palette} from '../terminal.ts'

/** More hosts than this are drawn as one line with a count. */
const drawnHosts = 12

const waiting = 'waiting'
const cluster = 'cluster'

interface Lane {
  steps: number
  done: number
  failed: boolean
  text: string
}

/** A phase or a task while it is drawn; below it a line for each host. */
export interface Item {
  readonly title: string
  readonly startedAt: number
  readonly lanes: Map<string, Lane>
  /** How far a task is. */
  text: string
}

export function addLanes(item: Item, steps: readonly {readonly host?: string}[]): void {
  for (const {host = cluster} of steps) {
    const lane = item.lanes.get(host)
    if (lane === undefined) item.lanes.set(host, {steps: 1, done: 0, failed: false, text: waiting})
    else lane.steps++
  }
}

type StepEvent = Extract<RunEvent, {type: `step-${string}`}>

export function changeLane(item: Item, event: StepEvent): void {
  const lane = item.lanes.get(event.host ?? cluster)
  if (lane === undefined) return
  switch (event.type) {
    case 'step-started':
      lane.text = event.step
      break
    case 'step-progress':
      lane.text = `${event.step}: ${event.text}`
      break
    case 'step-done':
      lane.done++
      lane.text = waiting
      break
    case 'step-failed':
      lane.failed = true
      lane.text = `${event.step}: ${event.message}`
      break
  }
}

/** The lines below an item: every host, or those that failed. */
export function laneLines(item: Item, colours: Palette, which: 'all' | 'failed'): readonly string[] {
  const lanes = [...item.lanes].filter(([host, lane]) => {
    if (which === 'failed') return lane.failed
    // Its steps come before and after those of the hosts; between them it would only look busy.
    return host !== cluster || item.lanes.size === 1 || lane.failed || lane.text !== waiting
  })
  const width = Math.max(0, ...lanes.map(([host]) => host.length))
  const shown = lanes.slice(0, drawnHosts).map(([host, lane]) => {
    const count = lane.steps > 1 ? ` ${lane.done}/${lane.steps}` : ''
    return `  ${host.padEnd(width)}${count}  ${laneText(lane, colours)}`
  })
  if (which === 'all' && lanes.length > drawnHosts) return [`  ${countText(item)}`]
  if (lanes.length > drawnHosts) shown.push(`  and ${lanes.length - drawnHosts} more`)
  return which === 'all' && item.text !== '' ? [`  ${item.text}`, ...shown] : shown
}

function laneText(lane: Lane, colours: Palette): string {
  if (lane.failed) return colours.red(lane.text)
  return lane.done >= lane.steps ? colours.dim('done') : lane.text
}

function countText(item: Item): string {
  const lanes = [...item.lanes.values()]
  const done = lanes.filter((lane) => lane.done >= lane.steps).length
  const failed = lanes.filter((lane) => lane.failed).length
  return `${done} of ${lanes.length} hosts done${failed === 0 ? '' : `, ${failed} failed`}`
}
