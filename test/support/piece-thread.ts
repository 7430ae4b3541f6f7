// A thread that seals and opens pieces, as the program of the agent starts it.
import {runPieceThread} from '../../src/programs/node-agent/piece-thread.ts'

runPieceThread()
