import type {Palette} from './terminal.ts'

export interface ResultOptions {
  readonly colours: Palette
  readonly columns: number | undefined
}
