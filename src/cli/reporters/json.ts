import type {Reporter} from './reporter.ts'

/** One JSON object per line for every event, `type` and `time` first. */
export function jsonReporter(options: {write: (text: string) => void; now: () => Date}): Reporter {
  return {
    report(event) {
      const {type, ...rest} = event
      options.write(`${JSON.stringify({type, time: options.now().toISOString(), ...rest})}\n`)
    },
    pause: () => Promise.resolve(),
  }
}
