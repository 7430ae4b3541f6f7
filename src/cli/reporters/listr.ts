import {Listr, ProcessOutput, ListrLogger, type ListrTask} from 'listr2'
import type {RunEvent} from '../../engine/types.ts'
import {formatDuration} from '../duration.ts'
import type {Palette} from '../terminal.ts'
import {stepsText} from './lines.ts'
import type {Reporter} from './reporter.ts'

/** More hosts than this are drawn as one line with a count. */
const drawnHosts = 12
/** Phases and tasks that can be drawn at the same time. */
const drawnItems = 8

interface Lane {
  readonly steps: number
  done: number
  failed: boolean
  text: string
}

/** A phase or a task while it is drawn. */
interface Item {
  readonly title: string
  readonly startedAt: number
  readonly lanes: Map<string, Lane>
  text: string
}

type Outcome = {readonly failed: boolean; readonly line: string}
interface Slot {
  item: Item | undefined
  show: (title: string, output: string) => void
  end: (outcome: Outcome) => void
}

/**
 * Draws a run on a terminal: what is running with a spinner, hosts below it, and one line for everything that ended.
 * listr2 only draws. It runs no work: each of its tasks waits for the event that ends what it shows.
 */
export function listrReporter(options: {
  stream: NodeJS.WriteStream
  colours: Palette
  now: () => number
}): Reporter {
  const drawing = new Drawing(options.stream, options.colours, options.now)
  return {
    report: (event) => drawing.take(event),
    pause: () => drawing.stop(),
  }
}

class Drawing {
  readonly #stream: NodeJS.WriteStream
  readonly #colours: Palette
  readonly #now: () => number
  readonly #slots = new Map<string, Slot>()
  #free: Slot[] = []
  #session: Promise<void> | undefined
  #clock: NodeJS.Timeout | undefined

  constructor(stream: NodeJS.WriteStream, colours: Palette, now: () => number) {
    this.#stream = stream
    this.#colours = colours
    this.#now = now
  }

  take(event: RunEvent): void {
    switch (event.type) {
      case 'phase-started':
        this.#begin(event.phase, event.title)
        break
      case 'task-started':
        this.#begin(event.task, event.title)
        break
      case 'phase-planned':
        this.#change(event.phase, (item) => addLanes(item, event.steps))
        break
      case 'step-started':
        this.#lane(event.phase, event.host, (lane) => (lane.text = event.step))
        break
      case 'step-progress':
        this.#lane(event.phase, event.host, (lane) => (lane.text = `${event.step}: ${event.text}`))
        break
      case 'step-done':
        this.#lane(event.phase, event.host, (lane) => lane.done++)
        break
      case 'step-failed':
        this.#lane(event.phase, event.host, (lane) => {
          lane.failed = true
          lane.text = `${event.step}: ${event.message}`
        })
        break
      case 'task-progress':
        this.#change(event.task, (item) => (item.text = event.text))
        break
      case 'phase-done':
        this.#finish(event.phase, false, event.steps === 0 ? 'already done' : this.#took(event))
        break
      case 'phase-failed':
        this.#finish(event.phase, true, `failed after ${formatDuration(event.durationMs)}`)
        break
      case 'task-done':
        this.#finish(event.task, false, [event.text, this.#took(event)].filter(Boolean).join(', '))
        break
      case 'task-failed':
        this.#finish(event.task, true, event.message)
        break
      case 'note':
        this.#note(event)
        break
    }
  }

  /** Ends the drawing; what is still open is left as it stands. */
  async stop(): Promise<void> {
    for (const [key, slot] of this.#slots) {
      slot.end({failed: true, line: `${slot.item?.title ?? key}  stopped`})
    }
    this.#slots.clear()
    for (const slot of this.#free) slot.end({failed: false, line: ''})
    this.#free = []
    clearInterval(this.#clock)
    await this.#session
    this.#session = undefined
  }

  #took(event: {steps?: number; durationMs: number}): string {
    const steps = event.steps === undefined ? [] : [stepsText(event.steps)]
    return [...steps, formatDuration(event.durationMs)].join(', ')
  }

  #begin(key: string, title: string): void {
    if (this.#session === undefined) this.#open()
    const slot = this.#free.shift()
    // More at once than there are lines: the end of it is told, the middle isn't drawn.
    if (slot === undefined) return
    slot.item = {title, startedAt: this.#now(), lanes: new Map(), text: ''}
    this.#slots.set(key, slot)
    this.#refresh(slot)
  }

  #change(key: string, change: (item: Item) => void): void {
    const slot = this.#slots.get(key)
    if (slot?.item === undefined) return
    change(slot.item)
    this.#refresh(slot)
  }

  #lane(phase: string, host: string | undefined, change: (lane: Lane) => void): void {
    this.#change(phase, (item) => {
      const lane = item.lanes.get(host ?? 'cluster') ?? {steps: 0, done: 0, failed: false, text: ''}
      item.lanes.set(host ?? 'cluster', lane)
      change(lane)
    })
  }

  #finish(key: string, failed: boolean, text: string): void {
    const slot = this.#slots.get(key)
    if (slot?.item === undefined) return
    this.#slots.delete(key)
    slot.end({failed, line: `${slot.item.title}  ${this.#colours.dim(text)}`})
    // Nothing runs: what was drawn becomes ordinary lines, and the next event begins a new drawing.
    if (this.#slots.size === 0) this.#settle()
  }

  #settle(): void {
    const session = this.#session
    for (const slot of this.#free) slot.end({failed: false, line: ''})
    this.#free = []
    clearInterval(this.#clock)
    this.#session = undefined
    this.#previous = session
  }

  #previous: Promise<void> | undefined

  #note(event: Extract<RunEvent, {type: 'note'}>): void {
    const mark = event.level === 'warning' ? this.#colours.yellow('!') : this.#colours.dim('i')
    const host = event.host === undefined ? '' : `${event.host}: `
    this.#stream.write(`${mark} ${host}${event.text}\n`)
  }

  #refresh(slot: Slot): void {
    const {item} = slot
    if (item === undefined) return
    const elapsed = formatDuration(this.#now() - item.startedAt)
    slot.show(`${item.title}  ${this.#colours.dim(elapsed)}`, laneLines(item, this.#colours).join('\n'))
  }

  #open(): void {
    const slots = Array.from({length: drawnItems}, newSlot)
    const output = new ProcessOutput(this.#stream, this.#stream, {dump: ['stdout'], leaveEmptyLine: false})
    const listr = new Listr(
      slots.map(({task}) => task),
      {
        concurrent: true,
        exitOnError: false,
        // Ctrl-C is ours: listr2 would end the process while steps run.
        registerSignalListeners: false,
        rendererOptions: {
          logger: new ListrLogger({processOutput: output, useIcons: true, toStderr: []}),
          collapseErrors: true,
          formatOutput: 'truncate',
        },
      },
    )
    this.#free = slots.map(({slot}) => slot)
    const before = this.#previous ?? Promise.resolve()
    this.#session = before.then(() => listr.run()).then(() => undefined)
    this.#clock = setInterval(() => {
      for (const slot of this.#slots.values()) this.#refresh(slot)
    }, 200)
    this.#clock.unref()
  }
}

/** A line of the drawing that waits for something to show. */
function newSlot(): {slot: Slot; task: ListrTask} {
  const ended = Promise.withResolvers<Outcome>()
  let shown: ((title: string, output: string) => void) | undefined
  let last: readonly [string, string] | undefined
  const slot: Slot = {
    item: undefined,
    show: (title, output) => {
      last = [title, output]
      shown?.(title, output)
    },
    end: ended.resolve,
  }
  const task: ListrTask = {
    rendererOptions: {outputBar: 1},
    task: async (_, wrapper) => {
      shown = (title, output) => {
        wrapper.title = title
        wrapper.output = output
      }
      if (last !== undefined) shown(...last)
      const outcome = await ended.promise
      if (outcome.line !== '') wrapper.title = outcome.line
      if (outcome.failed) throw new Error(outcome.line)
    },
  }
  return {slot, task}
}

function addLanes(item: Item, steps: readonly {readonly host?: string}[]): void {
  const counts = new Map<string, number>()
  for (const {host = 'cluster'} of steps) counts.set(host, (counts.get(host) ?? 0) + 1)
  for (const [host, count] of counts) {
    item.lanes.set(host, {steps: count, done: 0, failed: false, text: 'waiting'})
  }
}

function laneLines(item: Item, colours: Palette): readonly string[] {
  const lanes = [...item.lanes]
  if (lanes.length > drawnHosts) {
    const done = lanes.filter(([, lane]) => lane.done >= lane.steps).length
    const failed = lanes.filter(([, lane]) => lane.failed).length
    return [`${done} of ${lanes.length} hosts done${failed === 0 ? '' : `, ${failed} failed`}`]
  }
  const width = Math.max(0, ...lanes.map(([host]) => host.length))
  const lines = lanes.map(([host, lane]) => {
    const count = lane.steps > 1 ? ` ${lane.done}/${lane.steps}` : ''
    const text = lane.failed ? colours.red(lane.text) : lane.done >= lane.steps ? 'done' : lane.text
    return `${host.padEnd(width)}${count}  ${text}`
  })
  return item.text === '' ? lines : [item.text, ...lines]
}
