import {Listr, ListrLogger, ProcessOutput, type ListrTask} from 'listr2'
import type {RunEvent} from '../../base/run-events.ts'
import {formatDuration} from '../duration.ts'
import type {Palette} from '../terminal.ts'
import {addLanes, changeLane, laneLines, type Item} from './host-progress.ts'
import {metText, noteHost, stepsText} from './lines.ts'
import type {Reporter} from './reporter.ts'

/** Phases and tasks that are drawn at the same time; of more, only the end is told. */
const drawnItems = 8

interface Outcome {
  readonly failed: boolean
  readonly line: string
}

/** A line of the drawing; it shows an item, or waits for one. */
interface Slot {
  show(title: string): void
  end(outcome: Outcome): void
}

export interface ListrOptions {
  readonly stream: NodeJS.WriteStream
  readonly colours: Palette
  /** Milliseconds, monotonic. */
  readonly now: () => number
}

/**
 * Draws a run on a terminal: what is running with a spinner, hosts below it, and one line for everything that ended.
 * listr2 only draws. It runs no work: each of its tasks waits for the event that ends what it shows.
 */
export function listrReporter(options: ListrOptions): Reporter {
  const drawing = new Drawing(options)
  return {
    report: (event) => drawing.take(event),
    pause: () => drawing.stop(),
  }
}

class Drawing {
  readonly #options: ListrOptions
  readonly #running = new Map<string, {item: Item; slot: Slot | undefined}>()
  #free: Slot[] = []
  #isOpen = false
  /** Lines for after the drawing: listr2 owns the terminal while it draws. */
  #after: string[] = []
  /** Everything that was given to the terminal, one after the other. */
  #tail: Promise<void> = Promise.resolve()
  #clock: NodeJS.Timeout | undefined

  constructor(options: ListrOptions) {
    this.#options = options
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
      case 'step-progress':
      case 'step-done':
      case 'step-failed':
        this.#change(event.phase, (item) => changeLane(item, event))
        break
      case 'task-progress':
        this.#change(event.task, (item) => (item.text = event.text))
        break
      case 'phase-done':
        this.#finish(event.phase, false, phaseText(event))
        break
      case 'phase-failed':
        this.#finish(event.phase, true, `failed after ${formatDuration(event.durationMs)}`)
        break
      case 'task-done':
        this.#finish(event.task, false, [event.text, tookText(event)].filter(Boolean).join(', '))
        break
      case 'task-failed':
        this.#finish(event.task, true, event.message)
        break
      case 'note':
        this.#note(event)
        break
      // What runs is drawn, with its time; what comes is drawn when it does.
      case 'tasks-planned':
        break
    }
  }

  /** Ends the drawing; what still runs is told as stopped. */
  async stop(): Promise<void> {
    for (const key of [...this.#running.keys()]) this.#finish(key, true, 'stopped')
    await this.#tail
  }

  #begin(key: string, title: string): void {
    if (!this.#isOpen) this.#open()
    const item: Item = {title, startedAt: this.#options.now(), lanes: new Map(), text: ''}
    this.#running.set(key, {item, slot: this.#free.shift()})
    this.#refresh(key)
  }

  #change(key: string, change: (item: Item) => void): void {
    const found = this.#running.get(key)
    if (found === undefined) return
    change(found.item)
    this.#refresh(key)
  }

  #finish(key: string, failed: boolean, text: string): void {
    const found = this.#running.get(key)
    if (found === undefined) return
    this.#running.delete(key)
    const {dim, red} = this.#options.colours
    const failures = laneLines(found.item, this.#options.colours, 'failed')
    const line = [`${found.item.title}  ${failed ? red(text) : dim(text)}`, ...failures].join('\n')
    if (found.slot === undefined) this.#after.push(line)
    else found.slot.end({failed, line})
    // Nothing runs: what was drawn becomes ordinary lines, and the next event begins a new drawing.
    if (this.#running.size === 0) this.#close()
  }

  #note(event: Extract<RunEvent, {type: 'note'}>): void {
    const {level, text} = event
    const host = noteHost(event)
    const {dim, yellow} = this.#options.colours
    const mark = level === 'warning' ? yellow('!') : dim('i')
    this.#after.push(`${mark} ${host === undefined ? '' : `${host}: `}${text}`)
    if (!this.#isOpen) this.#flush()
  }

  #refresh(key: string): void {
    const found = this.#running.get(key)
    if (found?.slot === undefined) return
    const {colours, now} = this.#options
    const elapsed = formatDuration(now() - found.item.startedAt)
    const title = `${found.item.title}  ${colours.dim(elapsed)}`
    found.slot.show([title, ...laneLines(found.item, colours, 'all')].join('\n'))
  }

  #open(): void {
    const slots = Array.from({length: drawnItems}, newSlot)
    this.#free = slots.map(({slot}) => slot)
    this.#isOpen = true
    // Made only now that the one before ended: it takes over the stream as it finds it.
    this.#tail = this.#tail.then(() =>
      draw(
        slots.map(({task}) => task),
        this.#options.stream,
      ),
    )
    this.#clock = setInterval(() => {
      for (const key of this.#running.keys()) this.#refresh(key)
    }, 200)
    this.#clock.unref()
  }

  #close(): void {
    clearInterval(this.#clock)
    for (const slot of this.#free) slot.end({failed: false, line: ''})
    this.#free = []
    this.#isOpen = false
    this.#flush()
  }

  #flush(): void {
    const lines = this.#after
    this.#after = []
    if (lines.length === 0) return
    this.#tail = this.#tail.then(() => {
      this.#options.stream.write(lines.map((line) => `${line}\n`).join(''))
    })
  }
}

function phaseText(event: Extract<RunEvent, {type: 'phase-done'}>): string {
  if (event.steps === 0) return metText(event)
  return event.dryRun === true ? `${stepsText(event.steps)} planned` : tookText(event)
}

function tookText({steps, durationMs}: {steps?: number; durationMs: number}): string {
  return [...(steps === undefined ? [] : [stepsText(steps)]), formatDuration(durationMs)].join(', ')
}

async function draw(tasks: ListrTask[], stream: NodeJS.WriteStream): Promise<void> {
  const output = new ProcessOutput(stream, stream, {dump: [], leaveEmptyLine: false})
  const listr = new Listr(tasks, {
    concurrent: true,
    exitOnError: false,
    // Ctrl-C is ours: listr2 would end the process while steps run.
    registerSignalListeners: false,
    rendererOptions: {
      logger: new ListrLogger({processOutput: output, useIcons: true, toStderr: []}),
      collapseErrors: false,
      showErrorMessage: false,
      formatOutput: 'truncate',
    },
  })
  await listr.run()
}

/** A task of listr2 that shows what it is told until it is told the end. Without a title nothing of it is drawn. */
function newSlot(): {slot: Slot; task: ListrTask} {
  const ended = Promise.withResolvers<Outcome>()
  let show: ((title: string) => void) | undefined
  let last: string | undefined
  const slot: Slot = {
    show: (title) => {
      last = title
      show?.(title)
    },
    end: ended.resolve,
  }
  const task: ListrTask = {
    task: async (_, wrapper) => {
      show = (title) => {
        wrapper.title = title
      }
      if (last !== undefined) show(last)
      const {failed, line} = await ended.promise
      if (line !== '') show(line)
      if (failed) throw new Error(line)
    },
  }
  return {slot, task}
}
