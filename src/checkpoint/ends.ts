import type {Migration, Restore} from '../api/resources.ts'

const ENDS: readonly string[] = ['Succeeded', 'RolledBack', 'Restored', 'Failed']

/** Whether nothing comes of it any more. */
export const isOver = ({status}: Pick<Migration | Restore, 'status'>): boolean =>
  ENDS.includes(status?.phase ?? '')
