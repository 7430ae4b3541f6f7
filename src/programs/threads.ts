import {FREEZE_THREAD, runFreezeWorker} from './node-agent/freeze-worker.ts'
import {PIECE_THREAD, runPieceThread} from './node-agent/piece-thread.ts'

// Threads of the node agent, by their last argument: before it there is no script where that comes as data. What they
// start from is small, as one is started for each dump.
const THREADS: Readonly<Record<string, () => void>> = {
  [FREEZE_THREAD]: runFreezeWorker,
  [PIECE_THREAD]: runPieceThread,
}

THREADS[process.argv.at(-1) ?? '']?.()
